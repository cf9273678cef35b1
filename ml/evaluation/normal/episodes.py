"""The strongest past episodes of a model of normal behaviour, for people to confirm or dismiss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.learning.events.failures import epoch_seconds

MOST = 200
LEAST = 10
"""Episodes that are listed where there are any rows, also if fewer reached the limits."""
COLUMNS = ("asset_id", "start", "end", "peak", "score", "alarm", "sensors", "known_failure", "confirmed")
_STRONGEST_ROWS = 0.002
_NAMED = 3

SharesOf = Callable[[Bools], Float64s]
"""Of some rows of the table, (n_rows,), what each sensor has of the score: (n_wanted, n_sensors)."""


def strongest_episodes(
    table: pd.DataFrame,
    value: npt.NDArray[np.float32],
    sensors: tuple[str, ...],
    shares_of: SharesOf,
    *,
    threshold: float,
    spacing: int,
) -> list[dict[str, Any]]:
    """Rows in alarm put together, the strongest first, under `COLUMNS`; ``confirmed`` is left empty.

    Where few rows reached the threshold, the strongest below it are listed, too.

    Parameters
    ----------
    table
        Scored rows, by asset and time: ``asset_id``, ``timestamp``, ``label``.
    value
        score / (score + 1), (n_rows,).
    spacing
        Seconds that rows of one episode are apart at most.
    """
    if not len(table):
        return []
    found = _grouped(table, value >= np.float32(threshold), spacing)
    if len(found) < LEAST:
        low = min(threshold, float(np.quantile(value, 1 - _STRONGEST_ROWS)))
        found = _grouped(table, value >= np.float32(low), spacing)
    peaks = np.array([rows[int(np.argmax(value[rows]))] for rows in found], dtype=np.int64)
    order = np.argsort(-value[peaks], kind="stable")[:MOST]
    wanted = np.zeros(len(table), dtype=np.bool_)
    wanted[peaks[order]] = True
    named = dict(zip(np.flatnonzero(wanted).tolist(), shares_of(wanted), strict=True))
    times, asset = table["timestamp"], table["asset_id"].astype(str).to_numpy()
    label = table["label"].to_numpy()
    return [
        {
            "asset_id": asset[peak],
            "start": times.iloc[rows[0]].isoformat(),
            "end": times.iloc[rows[-1]].isoformat(),
            "peak": times.iloc[peak].isoformat(),
            "score": round(float(value[peak]), 4),
            "alarm": bool(value[peak] >= np.float32(threshold)),
            "sensors": _largest(named[peak], sensors),
            "known_failure": bool((label[rows] == 1).any()),
            "confirmed": "",
        }
        for peak, rows in ((int(peaks[at]), found[at]) for at in order)
    ]


def _grouped(table: pd.DataFrame, chosen: Bools, spacing: int) -> list[Int64s]:
    """Positions of the rows of each episode."""
    at = np.flatnonzero(chosen)
    if not len(at):
        return []
    asset, seconds = table["asset_id"].factorize()[0][at], epoch_seconds(table["timestamp"])[at]
    begins = np.flatnonzero((np.diff(asset) != 0) | (np.diff(seconds) > spacing)) + 1
    return np.split(at, begins)


def _largest(shares: Float64s, sensors: tuple[str, ...]) -> str:
    order = np.argsort(-shares, kind="stable")[:_NAMED]
    return ", ".join(sensors[at] for at in order if shares[at] > 0)
