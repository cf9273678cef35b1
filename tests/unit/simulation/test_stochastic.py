from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.stochastic import episodes, first_order_lag, hold, ornstein_uhlenbeck
from tests.reference.plant_series import held, lagged


def test_noise_has_the_same_spread_at_every_instant_and_the_promised_memory() -> None:
    noise = ornstein_uhlenbeck(np.random.default_rng(0), (200, 20_000), std=2.0, time_constant=3600, interval=600)
    spread = noise.std(axis=1)
    assert spread == pytest.approx(np.full(200, 2.0), rel=0.04)
    assert np.corrcoef(noise[10], noise[16])[0, 1] == pytest.approx(np.exp(-1), abs=0.03)


def test_lag_equals_the_recursion_and_starts_at_its_target() -> None:
    target = np.random.default_rng(1).normal(40, 5, (50, 3))
    response = first_order_lag(target, time_constant=5400, interval=900)
    for asset in range(3):
        assert response[:, asset] == pytest.approx(lagged(target[:, asset].tolist(), np.exp(-900 / 5400)))
    assert response[0] == pytest.approx(target[0])


def test_episodes_take_the_expected_share_of_time() -> None:
    inside = episodes(np.random.default_rng(2), (50_000, 4), per_day=0.5, mean_seconds=7200, interval=60)
    # Poisson starts with mean duration m cover 1 - exp(-rate m) of the time (an M/G/infinity queue).
    assert inside.mean() == pytest.approx(1 - np.exp(-0.5 * 7200 / 86_400), rel=0.2)


def test_no_starts_no_episodes() -> None:
    assert not episodes(np.random.default_rng(2), (100, 2), per_day=0, mean_seconds=7200, interval=60).any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-10, 10), st.booleans()), min_size=1, max_size=30))
def test_hold_repeats_the_last_free_value(entries: list[tuple[float, bool]]) -> None:
    values, frozen = map(list, zip(*entries, strict=True))
    result = hold(np.array(values)[:, None], np.array(frozen)[:, None])
    assert result[:, 0].tolist() == held(values, frozen)
