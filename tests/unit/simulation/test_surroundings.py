from __future__ import annotations

import numpy as np
import pytest

from simulation.surroundings import DAY, REGIME_DWELL_SECONDS, REGIME_LOADS, YEAR, ambient, demand

INTERVAL = 900.0


def _seconds(days: int) -> np.ndarray:
    return np.arange(1, days * 96 + 1) * INTERVAL


def test_demand_stays_in_a_regime_for_hours_and_has_all_four() -> None:
    load = demand(np.random.default_rng(0), _seconds(100), 8, INTERVAL)
    changes = (np.diff(load, axis=0) != 0).mean()
    assert changes == pytest.approx(INTERVAL / REGIME_DWELL_SECONDS, rel=0.05)
    nearest = np.abs(load[:, :, None] - REGIME_LOADS).argmin(axis=2)
    assert np.bincount(nearest.ravel(), minlength=4).min() > 0.05 * load.size


def test_demand_is_low_at_night_and_peaks_in_the_evening() -> None:
    seconds = _seconds(60)
    load = demand(np.random.default_rng(0), seconds, 8, INTERVAL).mean(axis=1)
    hour = seconds % DAY // 3600
    assert load[hour == 3].mean() + 15 < load[hour == 19].mean()


def test_air_is_coldest_in_january_and_before_dawn() -> None:
    seconds = np.arange(1, 366 * 24) * 3600.0
    air = ambient(np.random.default_rng(0), seconds, 4, 3600.0).mean(axis=1)
    hour = seconds % DAY // 3600
    assert air[hour == 4].mean() + 4 < air[hour == 16].mean()
    assert air[seconds < 31 * DAY].mean() + 8 < air[np.abs(seconds - YEAR / 2) < 15 * DAY].mean()
