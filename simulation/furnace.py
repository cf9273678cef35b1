"""A table like the one that the backend reads: a hardening line, one row a second, and no failure column.

Pairs of present and set values, bits of oil alarms, and bits of failed or tripped heaters, fans and conveyors. What
matters is the difference of a pair: before a heater fails its zone falls behind its set value.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

TABLE = "jk2"
START = pd.Timestamp("2026-11-23T00:00:00Z")
ZONES = {"hz1": 850.0, "hz2": 860.0, "tz1": 420.0, "tz2": 430.0, "wz": 60.0, "dz": 120.0, "hzc": 3.2, "tzc": 2.8}
"""Pairs ``<zone>pv`` and ``<zone>sv``, with the usual set value."""
PAIRS = (*ZONES, "cp", "oil")
ALARMS = ("oiltemphigh", "oillevelhigh", "oillevellow")
FAILURES = tuple(
    f"{device}{event}"
    for device in ("hz1h", "hz2h", "hz1fan", "hz2fan", "tz1fan", "tz2fan", "hardcon", "tempcon")
    for event in ("fail", "trip")
)
COLUMNS = tuple(f"{pair}{kind}" for pair in PAIRS for kind in ("pv", "sv"))
_SET = ZONES | {"cp": 0.85, "oil": 60.0}
_HOUR = 3600


def furnace_rows(days: float = 4.0, seed: int = 11, hours_between_failures: float = 8.0) -> pd.DataFrame:
    """Rows of the line: id, created_timestamp (UTC), `COLUMNS` (float64), `ALARMS` and `FAILURES` (int8).

    Heater 1 is the one that wears: for half an hour before each of its failures the zone loses up to 40 degrees. The
    other bits come on at random, a few times.
    """
    random = np.random.default_rng(seed)
    rows = int(days * 86_400)
    seconds = np.arange(rows)
    frame = pd.DataFrame({"id": seconds + 1, "created_timestamp": START + pd.to_timedelta(seconds, unit="s")})
    for pair in PAIRS:
        level = _SET[pair]
        batch = np.repeat(random.choice([1.0, 1.0, 0.97], rows // _HOUR + 1), _HOUR)[:rows]
        frame[f"{pair}sv"] = np.round(level * batch, 2)
        noise = _smooth(random.normal(0, 0.004 * level, rows // 60 + 2), rows)
        frame[f"{pair}pv"] = np.round(frame[f"{pair}sv"] + noise, 2)
    bits = {name: np.zeros(rows, dtype=np.int8) for name in (*ALARMS, *FAILURES)}
    for name in bits:
        for begin in random.integers(0, rows, 1 + rows // (2 * 86_400)):
            bits[name][begin : begin + 300] = 1
    bits["hz1hfail"][:] = 0
    lost = np.zeros(rows)
    begin = int(hours_between_failures * _HOUR / 2)
    while begin < rows:
        ramp = slice(max(0, begin - _HOUR // 2), begin)
        lost[ramp] = np.linspace(0, 40, ramp.stop - ramp.start)
        bits["hz1hfail"][begin : begin + 600] = 1
        lost[begin : begin + 600] = 60
        begin += int(random.uniform(0.6, 1.4) * hours_between_failures * _HOUR)
    frame["hz1pv"] = np.round(frame["hz1pv"] - lost, 2)
    return frame.assign(**bits)


WEAR = {"heater": "hz1hfail", "fan": "tz1fanfail", "conveyor": "hardconfail", "oil": "oiltemphigh"}
"""What wears in `wearing_furnace`, and the bit that says that it has failed."""


def wearing_furnace(days: float = 1.0, seed: int = 3, hours_between_failures: float = 0.7) -> pd.DataFrame:
    """As `furnace_rows`, where four parts wear, one after the other in any order, for 20 minutes before each failure.

    A heater lets its zone fall behind, a fan makes its zone swing, a conveyor lets the washing zone overheat, and oil
    grows warm. Each fault lasts ten minutes. Sometimes two parts fail at once.
    """
    random = np.random.default_rng(seed)
    frame = furnace_rows(days, seed, hours_between_failures=10 * days * 24)
    rows, ramp_rows, fault_rows = len(frame), 1200, 600
    for bit in WEAR.values():
        frame[bit] = np.zeros(rows, dtype=np.int8)
    swing = np.sin(np.arange(rows) * 2 * np.pi / 240)
    effect = {
        "heater": ("hz1pv", np.full(rows, -40.0)),
        "fan": ("tz1pv", 25.0 * swing),
        "conveyor": ("wzpv", np.full(rows, 6.0)),
        "oil": ("oilpv", np.full(rows, 9.0)),
    }
    begin = int(hours_between_failures * _HOUR / 2)
    while begin + fault_rows < rows:
        for part in random.choice(list(WEAR), size=2 if random.random() < 0.1 else 1, replace=False):
            worn = np.zeros(rows)
            worn[max(0, begin - ramp_rows) : begin] = np.linspace(0, 1, ramp_rows)[-min(begin, ramp_rows) :]
            worn[begin : begin + fault_rows] = 1.2
            column, size = effect[part]
            frame[column] = np.round(frame[column] + worn * size, 2)
            frame.loc[begin : begin + fault_rows - 1, WEAR[part]] = 1
        begin += int(random.uniform(0.8, 1.2) * hours_between_failures * _HOUR)
    return frame


def write_furnace(rows: pd.DataFrame, path: Path) -> None:
    """Write the rows to the table `jk2` of a new SQLite database; times are text that sorts as time."""
    texts = rows.assign(created_timestamp=rows["created_timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    with closing(sqlite3.connect(path)) as connection:
        texts.to_sql(TABLE, connection, index=False)


def _smooth(
    points: np.ndarray[tuple[int], np.dtype[np.float64]], rows: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Values between points a minute apart."""
    return np.interp(np.arange(rows) / 60, np.arange(points.size), points)
