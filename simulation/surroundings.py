"""What acts on the pumps from outside: demand, weather, the mains. None of it knows about wear.

Arrays are (n_steps, n_assets); `seconds` (n_steps,) counts from the start of a year, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.stochastic import Floats, hold, ornstein_uhlenbeck

DAY = 86_400.0
YEAR = 365.25 * DAY

REGIME_LOADS = np.array([45.0, 62.0, 80.0, 97.0])
"""Set points of low, normal, high and peak demand, in percent of rated flow."""

# How likely each regime is after a change, by time of day. People use most water in the morning and the evening.
_NIGHT = (0.60, 0.34, 0.05, 0.01)
_DAY = (0.10, 0.50, 0.33, 0.07)
_RUSH = (0.02, 0.20, 0.45, 0.33)
_RUSH_HOURS = frozenset({6, 7, 8, 17, 18, 19, 20})
_NIGHT_HOURS = frozenset({0, 1, 2, 3, 4, 22, 23})
REGIME_DWELL_SECONDS = 2.5 * 3600


@dataclass(frozen=True)
class Surroundings:
    """Inputs of the physics, each (n_steps, n_assets)."""

    load_percent: Floats
    ambient_celsius: Floats
    mains_volt: Floats
    suction_bar: Floats


def surround(rng: np.random.Generator, seconds: Floats, n_assets: int, interval: float) -> Surroundings:
    """Draw demand, weather, mains voltage and suction pressure for a whole station."""
    shape = (len(seconds), n_assets)
    load = demand(rng, seconds, n_assets, interval)
    mains = ornstein_uhlenbeck(rng, (shape[0], 1), std=3.0, time_constant=3 * 3600, interval=interval)
    level = ornstein_uhlenbeck(rng, (shape[0], 1), std=0.08, time_constant=8 * 3600, interval=interval)
    station_load = load.mean(axis=1, keepdims=True)
    return Surroundings(
        load_percent=load,
        ambient_celsius=ambient(rng, seconds, n_assets, interval),
        mains_volt=np.broadcast_to(404.0 + mains - 0.08 * station_load, shape),
        suction_bar=np.broadcast_to(1.4 + level, shape),
    )


def demand(rng: np.random.Generator, seconds: Floats, n_assets: int, interval: float) -> Floats:
    """Load set point in percent: a Markov chain over the four regimes whose jumps follow the hour of the day.

    A pump stays in its regime for `REGIME_DWELL_SECONDS` on average; then the next one is drawn by the hour. The
    operator trims each new set point by some percent.
    """
    shape = (len(seconds), n_assets)
    hour = (seconds % DAY // 3600).astype(np.int64)
    cumulative = np.cumsum(_regime_odds(), axis=1)[hour]  # (n_steps, 4)
    drawn = (rng.random(shape)[:, :, None] > cumulative[:, None, :-1]).sum(axis=2)
    stays = rng.random(shape) >= interval / REGIME_DWELL_SECONDS
    return hold(REGIME_LOADS[drawn] + rng.normal(0.0, 1.5, shape), stays)


def _regime_odds() -> Floats:
    """Probability of each regime by hour, (24, 4)."""
    rows = [_NIGHT if hour in _NIGHT_HOURS else _RUSH if hour in _RUSH_HOURS else _DAY for hour in range(24)]
    return np.array(rows)


def ambient(rng: np.random.Generator, seconds: Floats, n_assets: int, interval: float) -> Floats:
    """Air temperature in °C at each pump: season (coldest in mid January), day (coldest at 4 h), weather, its place."""
    season = -6.0 * np.cos(2 * np.pi * (seconds / YEAR - 15 / 365.25))
    day = -3.5 * np.cos(2 * np.pi * (seconds / DAY - 4 / 24))
    weather = ornstein_uhlenbeck(rng, (len(seconds), 1), std=2.5, time_constant=2 * DAY, interval=interval)
    place = rng.normal(0.0, 1.0, n_assets)
    return 16.0 + (season + day)[:, None] + weather + place
