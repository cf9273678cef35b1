"""Versions that answer different questions are not compared row by row."""

from __future__ import annotations

import pytest

from ml.command.compare import _on_common_rows, _Version

HOUR = 3600


def version(horizon: int = 48 * HOUR, interval: int = HOUR) -> _Version:
    return _Version("v", {}, {"horizonSeconds": horizon, "samplingIntervalSeconds": interval})


@pytest.mark.parametrize(
    ("other", "words"),
    [(version(horizon=96 * HOUR), "different horizons (2 days and 4 days)"), (version(interval=60), "different grids")],
)
def test_other_horizons_and_grids_are_other_questions(other: _Version, words: str) -> None:
    assert words in _on_common_rows(version(), other, None)


def test_rows_whose_labels_differ_are_told() -> None:
    common = {"rows": 100, "rowsWithOtherLabels": 7, "averagePrecision": [0.5, 0.6], "difference": [0.05, 0.2]}
    told = _on_common_rows(version(), version(), common)
    assert "have the same label in both (7 more do not)" in told
    assert "is beyond chance" in told
