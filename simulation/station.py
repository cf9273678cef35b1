"""The station as a whole: one seed in, the archive's rows and the hidden truth out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import UsageError
from simulation.disturbances import DisturbanceRates, disturb_sensors, lost_rows, poll_times, repeat_rows
from simulation.instruments import limit_alarm, measure
from simulation.physics import Behaviour, Individuality, Wear, behave, totaliser
from simulation.stochastic import Floats, Mask
from simulation.surroundings import surround
from simulation.wear import Lives, WearLaw, simulate_lives

START = pd.Timestamp("2025-01-01T00:00:00Z")
DEFAULT_SEED = 7
DEFAULT_ASSETS = 12
DEFAULT_DAYS = 180
DEFAULT_INTERVAL_SECONDS = 900

METER_START_LITRES = (2.44e8, 2.58e8)
"""Old meters: a few of them pass the end of their counter within months."""
METER_REPLACEMENT_SHARE = 0.01
"""Share of repairs in which the flow meter is replaced too."""

SENSORS = (
    "temperature",
    "pressure",
    "flow_rate",
    "vibration",
    "current",
    "voltage",
    "rpm",
    "power_consumption",
    "total_volume",
    "load_setpoint",
    "ambient_temperature",
)
SIGNALS = ("pump_status", "valve_open", "alarm_active", "maintenance_mode")
TARGET = "failure_indicator"


@dataclass(frozen=True)
class Station:
    """What a simulated station leaves behind."""

    readings: pd.DataFrame
    """The archive, in the order of arrival: asset_id, created_timestamp (UTC), `SENSORS` (float64, NaN where lost),
    `SIGNALS` and `TARGET` (int8)."""
    hidden: pd.DataFrame
    """asset_id, timestamp (UTC, multiples of the interval), wear, limit: every instant, lost or not."""


def simulate(
    seed: int = DEFAULT_SEED,
    n_assets: int = DEFAULT_ASSETS,
    days: int = DEFAULT_DAYS,
    interval_seconds: int = DEFAULT_INTERVAL_SECONDS,
    *,
    law: WearLaw | None = None,
    rates: DisturbanceRates | None = None,
) -> Station:
    """Run a pumping station for some days; the same arguments give the same rows.

    Each part of the world has random numbers of its own, so a change in one part leaves the others as they are.

    Raises
    ------
    UsageError
        If there is no asset, no day, or the interval is not 1 second to 1 hour.
    """
    _check(seed, n_assets, days, interval_seconds)
    law, rates = law or WearLaw(), rates or DisturbanceRates()
    outside, lives_rng, kind, errors, archive = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(5)
    )
    instants = np.arange(1, days * 86_400 // interval_seconds + 1, dtype=np.float64) * interval_seconds
    around = surround(outside, instants, n_assets, interval_seconds)
    lives = simulate_lives(lives_rng, around.load_percent, interval_seconds, law)
    pumps = Individuality.draw(kind, n_assets)
    truth = behave(around, _split(lives), pumps, interval_seconds)
    readings = measure(errors, truth, around, lives.vibration_gain, interval_seconds)
    alarm = limit_alarm(readings["vibration"], readings["temperature"])
    readings["load_setpoint"] = np.round(around.load_percent, 1)
    readings["total_volume"] = _volume(kind, truth, lives, interval_seconds)
    archived = disturb_sensors(archive, readings, interval_seconds, rates)
    times = poll_times(archive, instants, n_assets, rates)
    kept = ~lost_rows(archive, times.shape, interval_seconds, rates)
    rows = _rows(times, archived, _signals(lives, alarm), kept)
    return Station(readings=repeat_rows(archive, rows, rates), hidden=_hidden(instants, lives))


def _check(seed: int, n_assets: int, days: int, interval_seconds: int) -> None:
    for name, value, low, high in (
        ("seed", seed, 0, 2**63),
        ("n_assets", n_assets, 1, 1000),
        ("days", days, 1, 3660),
        ("interval_seconds", interval_seconds, 1, 3600),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}; allowed is {low} to {high}", field=name)


def _split(lives: Lives) -> Wear:
    """Wear shared out between bearing and hydraulics; at equal shares both equal the wear itself."""
    return Wear(
        running=lives.running,
        hydraulic=2 * (1 - lives.bearing_share) * lives.wear,
        bearing=2 * lives.bearing_share * lives.wear,
    )


def _volume(rng: np.random.Generator, truth: Behaviour, lives: Lives, interval: float) -> Floats:
    """Totaliser readings; now and then a repair brings a new meter."""
    n_assets = truth.flow_lpm.shape[1]
    start = np.floor(rng.uniform(*METER_START_LITRES, n_assets))
    new_life = np.diff(lives.life, axis=0, prepend=0) > 0
    replaced = new_life & (rng.random(new_life.shape) < METER_REPLACEMENT_SHARE)
    return totaliser(truth.flow_lpm, interval, start, replaced)


def _signals(lives: Lives, alarm: Mask) -> dict[str, Mask]:
    """Two-state signals and the target. The valve stays open at a failed pump until the crew closes it."""
    return {
        "pump_status": lives.running,
        "valve_open": ~(lives.repairing | lives.service),
        "alarm_active": alarm,
        "maintenance_mode": lives.repairing | lives.service,
        TARGET: lives.failed,
    }


def asset_names(n_assets: int) -> NDArray[np.object_]:
    """PUMP-01, PUMP-02, ..."""
    width = max(2, len(str(n_assets)))
    return np.array([f"PUMP-{number:0{width}d}" for number in range(1, n_assets + 1)], dtype=object)


def _rows(times: Floats, readings: dict[str, Floats], signals: dict[str, Mask], kept: Mask) -> pd.DataFrame:
    names = np.broadcast_to(asset_names(times.shape[1]), times.shape)
    columns: dict[str, object] = {"asset_id": names[kept], "created_timestamp": _utc(times[kept])}
    columns |= {name: readings[name][kept] for name in SENSORS}
    columns |= {name: signals[name][kept].astype(np.int8) for name in (*SIGNALS, TARGET)}
    return pd.DataFrame(columns).sort_values("created_timestamp", kind="stable", ignore_index=True)


def _hidden(instants: Floats, lives: Lives) -> pd.DataFrame:
    n_steps, n_assets = lives.wear.shape
    return pd.DataFrame(
        {
            "asset_id": np.repeat(asset_names(n_assets), n_steps),
            "timestamp": np.tile(_utc(instants), n_assets),
            "wear": lives.wear.T.ravel(),
            "limit": lives.limit.T.ravel(),
        }
    )


def _utc(seconds: Floats) -> pd.DatetimeIndex:
    """Seconds since `START` as datetime64[us, UTC]."""
    micros = START.value // 1000 + np.round(seconds * 1e6).astype(np.int64)
    return pd.DatetimeIndex(micros.astype("datetime64[us]")).tz_localize("UTC")
