from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings

from ml.learning.events.failures import epoch_seconds, failure_numbers, onsets, positive_runs
from tests.reference import splits as reference
from tests.unit.learning.grid_frames import START, grid_frame, with_given_labels
from tests.unit.learning.strategies import labelled_frames


def same_groups(numbers: np.ndarray, expected: list[object]) -> bool:
    """Whether two numberings agree but for the numbers themselves."""
    pairs = set(zip(numbers.tolist(), expected, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@given(labelled_frames())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_numbers_equal_the_row_by_row_reference(case: tuple[pd.DataFrame, int]) -> None:
    frame, horizon = case
    numbers = failure_numbers(frame, horizon)
    expected = reference.failure_numbers(frame, horizon)
    assert same_groups(numbers, expected)
    assert ((numbers >= 0) == (frame["label"] == 1)).all()


def test_a_positive_row_belongs_to_the_next_onset() -> None:
    frame = grid_frame({"a": list(range(12))}, failures={"a": [(4, 5), (8, 9)]}, horizon=180)
    numbers = failure_numbers(frame, 180)
    assert numbers.tolist() == [-1, 0, 0, 0, -1, -1, 1, 1, -1, -1, -1, -1]


def test_labels_made_elsewhere_are_numbered_by_runs_that_unknown_rows_do_not_end() -> None:
    frame = with_given_labels({"a": [0, 1, 1, -1, 1, 0, 1], "b": [1, 0, 1, 1]})
    assert failure_numbers(frame, 600).tolist() == [-1, 0, 0, -1, 0, -1, 1, 2, -1, 3, 3]


def test_onsets_are_first_rows_of_events_in_seconds() -> None:
    frame = grid_frame({"a": list(range(10)), "b": [3, 4, 5]}, failures={"a": [(4, 6)], "b": [(5, 5)]}, horizon=60)
    found = onsets(frame)
    start = int(START.timestamp())
    assert found["asset_id"].tolist() == ["a", "b"]
    assert found["timestamp"].tolist() == [start + 240, start + 300]


def test_no_event_gives_no_onset() -> None:
    frame = grid_frame({"a": list(range(10))}, failures={}, horizon=60)
    assert onsets(frame).empty


def test_seconds_do_not_depend_on_the_resolution_of_timestamps() -> None:
    instants = pd.Series(pd.to_datetime(["2024-01-01T00:00:01Z"]))
    for unit in ("s", "ms", "us", "ns"):
        assert epoch_seconds(instants.astype(f"datetime64[{unit}, UTC]")).tolist() == [1_704_067_201]


def test_runs_end_with_their_asset() -> None:
    assert positive_runs(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])).tolist() == [-1, 0, 1, -1]
