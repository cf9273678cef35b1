"""Which rows are alarms: the one rule by which a probability is compared with the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import Bools


def is_alarm(probability: npt.NDArray[Any], threshold: float | npt.NDArray[Any]) -> Bools:
    """Rows whose probability, as float32, reaches the threshold, as float32.

    The exported model compares in float32. Comparing in float64 here could decide otherwise for a probability within
    half a float32 step of the threshold. NaN is no alarm. There may be a threshold for each row.
    """
    return np.asarray(probability, dtype=np.float32) >= np.asarray(threshold, dtype=np.float32)
