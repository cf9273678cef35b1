from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import TooFewFailuresError
from ml.learning.events.alarm_rows import is_alarm
from ml.learning.thresholds.f1 import best_f1_threshold
from tests.reference.events import best_f1

SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, allow_subnormal=False))
CASES = st.lists(st.tuples(st.integers(0, 1), SCORES), min_size=1, max_size=40).filter(
    lambda rows: any(label for label, _ in rows)
)


@given(CASES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_alarms_equal_those_of_the_best_observed_threshold(rows: list[tuple[int, float]]) -> None:
    label, probability = map(list, zip(*rows, strict=True))
    threshold = best_f1_threshold(np.array(label), np.array(probability))
    _, expected = best_f1(label, probability)
    assert is_alarm(np.array(probability), threshold).tolist() == (np.float32(probability) >= expected).tolist()
    assert threshold == float(np.float32(threshold))


def test_the_threshold_lies_midway_to_the_next_lower_probability() -> None:
    assert best_f1_threshold(np.array([0, 1, 1]), np.array([0.25, 0.5, 0.75])) == 0.375


def test_of_equal_f1_the_higher_threshold_wins() -> None:
    # One hit of one alarm, and two hits of four: both F1 are 2/3.
    label, probability = np.array([1, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6])
    assert best_f1_threshold(label, probability) == float(np.float32(0.85))


@pytest.mark.parametrize("upper", [np.float32(0.3), np.nextafter(np.float32(0.3), np.float32(0))])
def test_neighbouring_float32_probabilities_are_kept_apart(upper: np.float32) -> None:
    lower = np.nextafter(upper, np.float32(0))
    probability = np.array([lower, upper], dtype=np.float64)
    threshold = best_f1_threshold(np.array([0, 1]), probability)
    assert is_alarm(probability, threshold).tolist() == [False, True]


def test_the_lowest_probability_is_its_own_threshold() -> None:
    assert best_f1_threshold(np.array([1, 1]), np.array([0.25, 0.5])) == 0.25


def test_a_probability_is_compared_after_rounding_to_float32() -> None:
    threshold = float(np.float32(0.1))
    just_below = threshold - 1e-12
    assert is_alarm(np.array([just_below, np.nan]), threshold).tolist() == [True, False]


def test_no_positive_row_has_no_threshold() -> None:
    with pytest.raises(TooFewFailuresError, match="without a positive one"):
        best_f1_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3]))
