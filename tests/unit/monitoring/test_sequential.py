from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.monitoring.sequential import confidence_sequence


def mixture(right: int, wrong: int, share: float) -> float:
    """The mixture of likelihood ratios by its definition: the integral over alternatives, by the midpoint rule."""
    grid = (np.arange(200_000) + 0.5) / 200_000
    return float(np.mean(grid**right * (1 - grid) ** wrong)) / (share**right * (1 - share) ** wrong)


@pytest.mark.parametrize(("right", "wrong"), [(8, 2), (1, 6), (40, 10), (3, 3)])
def test_at_its_ends_the_mixture_is_twenty(right: int, wrong: int) -> None:
    for end in confidence_sequence(right, wrong):
        assert mixture(right, wrong, end) == pytest.approx(20, rel=1e-3)


def test_without_answers_all_is_possible() -> None:
    assert confidence_sequence(0, 0) == (0.0, 1.0)


def test_with_right_answers_only_the_end_has_a_closed_form() -> None:
    low, high = confidence_sequence(9, 0)
    assert high == 1.0
    assert low == pytest.approx((0.05 / 10) ** (1 / 9))


@given(st.integers(0, 500), st.integers(0, 500))
def test_it_holds_the_share_seen_and_mirrors(right: int, wrong: int) -> None:
    low, high = confidence_sequence(right, wrong)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low <= right / (right + wrong) <= high
    assert confidence_sequence(wrong, right) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def ever_left_out(
    share: float, looks: int, interval: Callable[[int, int], tuple[float, float]], first: int = 1
) -> float:
    """Probability that the true share lies outside at one of the looks after each answer: exact, by enumeration."""
    alive = {0: 1.0}  # right answers -> probability, of histories in which it has always been inside
    for n in range(1, looks + 1):
        following: dict[int, float] = {}
        for right, chance in alive.items():
            following[right] = following.get(right, 0.0) + chance * (1 - share)
            following[right + 1] = following.get(right + 1, 0.0) + chance * share
        inside = {right: interval(right, n - right) for right in following}
        alive = {
            right: chance
            for right, chance in following.items()
            if n < first or inside[right][0] <= share <= inside[right][1]
        }
    return 1 - sum(alive.values())


@pytest.mark.parametrize("share", [0.8, 0.97])
def test_looked_at_after_every_answer_it_leaves_out_the_truth_in_less_than_a_twentieth_of_histories(
    share: float,
) -> None:
    assert ever_left_out(share, 80, confidence_sequence) < 0.05


def test_a_usual_interval_leaves_it_out_far_more_often() -> None:
    def usual(right: int, wrong: int) -> tuple[float, float]:
        n = right + wrong
        half = 1.96 * math.sqrt(right * wrong / n) / n
        return right / n - half, right / n + half

    assert ever_left_out(0.8, 150, usual, first=20) > 0.2


def test_a_bad_model_is_found_out() -> None:
    assert confidence_sequence(30, 30)[1] < 0.8
    assert not math.isnan(confidence_sequence(10_000, 1)[0])
