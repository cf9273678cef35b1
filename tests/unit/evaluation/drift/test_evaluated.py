"""Rows whose lags and windows are still filling up are no drift."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.drift.evaluated import _filled


@pytest.mark.parametrize("look_back", [1, 2, 5, 100])
def test_rows_with_their_whole_past_are_found(look_back: int) -> None:
    lengths = [1, 7, 2, 5, 30]
    frame = pd.DataFrame({"segment": np.repeat(np.arange(3, 8), lengths)})
    expected = [position >= look_back - 1 for length in lengths for position in range(length)]
    assert _filled(frame, look_back).tolist() == expected
