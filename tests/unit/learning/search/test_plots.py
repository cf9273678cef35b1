from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from ml.learning.search.plots import _numbers, _scaled


def test_a_column_of_numbers_keeps_its_scale_and_leaves_a_gap_for_none() -> None:
    axes = Figure().add_subplot()
    heights = _scaled(axes, 0, [0.01, None, 0.1, 1.0], log=True)
    assert heights[[0, 2, 3]] == pytest.approx([0, 0.5, 1])
    assert np.isnan(heights[1])
    assert [text.get_text() for text in axes.texts] == ["0.01", "1"]
    assert _scaled(axes, 0, [3, 3], log=False) == pytest.approx([0.5, 0.5])


def test_choices_are_written_one_by_one() -> None:
    numbers, marks = _numbers([[5, 10], True, None, [5, 10]])
    assert marks == {"-": 0, "[5, 10]": 1, "true": 2}
    assert numbers.tolist() == [1, 2, 0, 1]
