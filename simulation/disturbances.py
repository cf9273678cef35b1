"""What a SCADA archive loses on the way: dropped and stuck sensors, missing and repeated rows, uneven clocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulation.stochastic import Floats, Mask, episodes, hold

NEVER_DROPPED = frozenset({"load_setpoint"})
"""The control system writes its own set point; no wire can break."""
NEVER_STUCK = frozenset({"load_setpoint", "total_volume", "voltage", "ambient_temperature"})


@dataclass(frozen=True)
class DisturbanceRates:
    """How often and how long, per asset and day unless said otherwise."""

    dropouts_per_sensor_day: float = 0.01
    dropout_hours: float = 4.0
    stuck_per_sensor_day: float = 0.002
    stuck_hours: float = 8.0
    asset_gaps_per_day: float = 0.03
    asset_gap_hours: float = 3.0
    station_gaps_per_day: float = 0.05
    station_gap_hours: float = 2.0
    repeated_rows: float = 0.001
    """Share of rows that arrive twice."""
    poll_seconds: float = 180.0
    """The poller goes round all pumps in so long and is done when the interval ends (at most half an interval)."""
    jitter_seconds: float = 3.0
    """Standard deviation of the time of one reading, cut at three of them."""


def disturb_sensors(
    rng: np.random.Generator, readings: dict[str, Floats], interval: float, rates: DisturbanceRates
) -> dict[str, Floats]:
    """The readings with stuck episodes (the last value repeats) and dropouts (NaN); the input stays as it is."""
    return {name: _disturb(rng, name, values, interval, rates) for name, values in readings.items()}


def _disturb(rng: np.random.Generator, name: str, values: Floats, interval: float, rates: DisturbanceRates) -> Floats:
    if name not in NEVER_STUCK:
        stuck = episodes(
            rng,
            values.shape,
            per_day=rates.stuck_per_sensor_day,
            mean_seconds=rates.stuck_hours * 3600,
            interval=interval,
        )
        values = hold(values, stuck)
    if name in NEVER_DROPPED:
        return values
    lost = episodes(
        rng,
        values.shape,
        per_day=rates.dropouts_per_sensor_day,
        mean_seconds=rates.dropout_hours * 3600,
        interval=interval,
    )
    return np.where(lost, np.nan, values)


def lost_rows(rng: np.random.Generator, shape: tuple[int, int], interval: float, rates: DisturbanceRates) -> Mask:
    """Rows that never reached the archive: one pump's link was down, or the whole server, (n_steps, n_assets)."""
    own = episodes(
        rng,
        shape,
        per_day=rates.asset_gaps_per_day,
        mean_seconds=rates.asset_gap_hours * 3600,
        interval=interval,
    )
    shared = episodes(
        rng,
        (shape[0], 1),
        per_day=rates.station_gaps_per_day,
        mean_seconds=rates.station_gap_hours * 3600,
        interval=interval,
    )
    return np.asarray(own | shared)


def poll_times(rng: np.random.Generator, instants: Floats, n_assets: int, rates: DisturbanceRates) -> Floats:
    """Seconds at which each pump was read for each instant, before it and by whole milliseconds, (n_steps, n_assets).

    A reading never bears a time after the instant it was taken for, nor one at or before the instant before.
    """
    interval = float(instants[1] - instants[0])
    tour = min(rates.poll_seconds, interval / 2)
    limit = min(3 * rates.jitter_seconds, interval / 8)
    jitter = np.clip(rng.normal(0.0, rates.jitter_seconds, (len(instants), n_assets)), -limit, limit)
    lead = limit + tour * np.arange(n_assets, 0, -1) / n_assets
    return np.asarray(np.round(instants[:, None] - lead + jitter, 3))


def repeat_rows(rng: np.random.Generator, rows: pd.DataFrame, rates: DisturbanceRates) -> pd.DataFrame:
    """Some rows twice, each directly after itself."""
    times = 1 + (rng.random(len(rows)) < rates.repeated_rows)
    return rows.loc[rows.index.repeat(times)].reset_index(drop=True)
