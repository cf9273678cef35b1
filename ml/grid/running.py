"""Grid rows while the machine is off."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.options.columns.kinds import Running


def off_rows(frame: pd.DataFrame, running: Running | None) -> Bools:
    """Which rows of a grid frame are known to be off, (n_rows,); a row without a value of the column counts as running.

    The bound is rounded to float32, as the values are, so that a speed of 0.1 equals 0.1 and is not above it.
    """
    if running is None:
        return np.zeros(len(frame), dtype=np.bool_)
    values = frame[running.column].to_numpy(dtype=np.float32)
    bound = np.float32(running.above if running.equals is None else running.equals)
    runs = values > bound if running.equals is None else values == bound
    return np.asarray(~runs & ~np.isnan(values), dtype=np.bool_)
