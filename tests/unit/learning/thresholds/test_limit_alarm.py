"""The best limit on one sensor, against every limit tried by a loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from ml.learning.thresholds.limit_alarm import best_limit_alarm
from tests.reference.events import best_limit

READINGS = st.sampled_from([float("nan"), -2.0, -1.0, 0.0, 0.5, 3.0])


@given(st.lists(st.tuples(READINGS, READINGS, st.integers(0, 1)), min_size=1, max_size=25))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_it_is_the_best_of_all_limits(rows: list[tuple[float, float, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "label"]).astype({"a": np.float32, "b": np.float32})
    label = frame["label"].to_numpy()

    found = best_limit_alarm(frame, ["a", "b"], label, np.ones(len(rows), dtype=bool))

    expected = best_limit({name: frame[name].tolist() for name in ("a", "b")}, label.tolist())
    if found is None:
        assert expected is None
        return
    assert found.f1 == pytest.approx(expected)
    alarms = found.alarms(frame[found.sensor].to_numpy())
    assert f1_score(label, alarms, zero_division=0.0) == pytest.approx(found.f1)


def test_it_is_found_on_the_given_rows_alone() -> None:
    frame = pd.DataFrame({"heat": [1.0, 2, 9, 8, 1, 2], "noise": [0.0, 0, 0, 0, 5, 5]})
    label = np.array([0, 0, 1, 1, 1, 1])
    found = best_limit_alarm(frame, ["noise", "heat"], label, np.array([1, 1, 1, 1, 0, 0], dtype=bool))
    assert found is not None
    assert (found.sensor, found.above, found.limit, found.f1) == ("heat", True, 8.0, 1.0)


def test_a_fall_below_a_limit_is_found_as_well() -> None:
    frame = pd.DataFrame({"pressure": [9.0, 8, 1, np.nan, 2]})
    found = best_limit_alarm(frame, ["pressure"], np.array([0, 0, 1, 0, 1]), np.ones(5, dtype=bool))
    assert found is not None
    assert (found.above, found.limit) == (False, 2.0)
    assert found.alarms(np.array([1.9, 2.0, 2.1, np.nan])).tolist() == [True, True, False, False]
    assert found.score(np.array([1.0, np.nan])).tolist()[0] > found.score(np.array([2.0]))[0]


def test_no_reading_no_alarm() -> None:
    frame = pd.DataFrame({"a": [np.nan, np.nan]})
    assert best_limit_alarm(frame, ["a"], np.array([0, 1]), np.ones(2, dtype=bool)) is None
    assert best_limit_alarm(frame, [], np.array([0, 1]), np.ones(2, dtype=bool)) is None
