"""Failures whose record looks wrong, by the scores of models that had not seen the rows; proposals, never applied.

Every failure of the record is in the table, and behind it what is proposed in its place or beside it:

``ONSET_EARLIER``
    One alarm stood from more than twice the horizon before the failure until it. Proposed: a start one horizon after
    the alarm's.
``ONSET_LATER``
    No alarm came before the failure, and one began within the horizon after its end. Proposed: a start at that alarm.
``REPEATED``
    It starts at most a tenth of the horizon, or two rows, after another failure of the asset has ended. Proposed: one.
``LOOKS_HEALTHY``
    No row before it scores higher than half of all healthy rows. Proposed: none; is it another asset's?
``LOOKS_LIKE_FAILURE``
    An alarm of at least half a horizon that scores as alarms before failures do, and no failure on record. Proposed: a
    failure at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml import wording
from ml.arrays import Float64s, Int64s
from ml.learning.events.failures import epoch_seconds
from ml.monitoring.alarms import Alarms, Outcome, find_alarms

COLUMNS = ("asset", "start", "end", "source", "finding", "evidence")
RECORDED, PROPOSED = "recorded", "proposed"


def suspects(
    frame: pd.DataFrame, score: Float64s, threshold: float, *, horizon: int, interval: int, spacing: int
) -> pd.DataFrame:
    """Recorded failures and proposals as `COLUMNS`, by asset and time; times in UTC.

    Parameters
    ----------
    frame
        Labelled grid rows, by asset and time.
    score
        (n_rows,); NaN where no model that had not seen the row has judged it.
    """
    seconds, asset = epoch_seconds(frame["timestamp"]), frame["asset_id"].astype(str).to_numpy(dtype=object)
    alarm = score >= np.float32(threshold)
    alarms = find_alarms(frame, alarm, horizon=horizon, spacing=spacing)
    peak = np.array(
        [_best(score, asset, seconds, *which) for which in zip(alarms.asset, alarms.start, alarms.end, strict=True)]
    )
    failures = _failures(frame, asset, seconds)
    label = frame["label"].to_numpy()
    judged = score[(label == 0) & ~np.isnan(score)]
    healthy = float(np.median(judged)) if len(judged) else np.nan
    rows = [(*failure, RECORDED, "", "") for failure in failures]
    before: tuple[str, int, int] | None = None
    for name, start, end in failures:
        if before is not None and before[0] == name and start - before[2] <= max(horizon // 10, 2 * interval):
            told = f"it starts {wording.duration(start - before[2])} after another one has ended"
            rows.append((name, before[1], end, PROPOSED, "REPEATED", told))
        before = (name, start, end)
        rows += _odd(
            name, start, end, alarms, _best(score, asset, seconds, name, start - horizon, start - 1), healthy, horizon
        )
    usual = (
        np.median(peak[alarms.outcome == Outcome.FOLLOWED]) if (alarms.outcome == Outcome.FOLLOWED).any() else np.inf
    )
    lasting = alarms.end - alarms.start + interval >= horizon // 2
    for at in np.flatnonzero((alarms.outcome == Outcome.NOT_FOLLOWED) & lasting & (peak >= usual)):
        told = f"an alarm since {_text(alarms.start[at])} scores up to {peak[at]:.2f}, and no failure is on record"
        rows.append((alarms.asset[at], int(alarms.end[at]), int(alarms.end[at]), PROPOSED, "LOOKS_LIKE_FAILURE", told))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["asset", "start"], kind="stable", ignore_index=True)
    return table.assign(start=table["start"].map(_text), end=table["end"].map(_text))


def _odd(
    name: str, start: int, end: int, alarms: Alarms, highest: float, healthy: float, horizon: int
) -> list[tuple[Any, ...]]:
    """What is proposed about one failure by the alarms around it, and by the highest score before it."""
    own = alarms.asset == name
    leading = own & (alarms.start < start) & (alarms.end >= start - horizon)
    standing = leading & (alarms.start < start - 2 * horizon)
    if standing.any():
        since = int(alarms.start[standing][0])
        told = f"an alarm stands since {_text(since)}, {wording.duration(start - since)} before"
        return [(name, since + horizon, end, PROPOSED, "ONSET_EARLIER", told)]
    if leading.any() or np.isnan(highest):
        return []
    after = own & (alarms.start > end) & (alarms.start <= end + horizon)
    if after.any():
        told = "no alarm came before it, and one began after it"
        return [(name, int(alarms.start[after][0]), int(alarms.end[after][0]), PROPOSED, "ONSET_LATER", told)]
    if highest <= healthy:
        told = f"scores before it reach {highest:.2f}, and half of all healthy rows have more than {healthy:.2f}"
        return [(name, start, end, PROPOSED, "LOOKS_HEALTHY", told)]
    return []


def _failures(frame: pd.DataFrame, asset: np.ndarray[Any, Any], seconds: Int64s) -> list[tuple[str, int, int]]:
    """Asset, first and last second of each failure event."""
    inside = np.flatnonzero(frame["event"].to_numpy() >= 0)
    numbers = frame["event"].to_numpy()[inside]
    first = inside[np.flatnonzero(np.diff(numbers, prepend=-1))]
    last = inside[np.append(np.flatnonzero(np.diff(numbers)), len(numbers) - 1)] if len(numbers) else first
    return [(str(asset[a]), int(seconds[a]), int(seconds[b])) for a, b in zip(first, last, strict=True)]


def _best(score: Float64s, asset: np.ndarray[Any, Any], seconds: Int64s, name: str, start: int, end: int) -> float:
    """The highest score of an asset between two instants; NaN where it has none."""
    mine = score[(asset == name) & (seconds >= start) & (seconds <= end)]
    return float(np.nanmax(mine)) if (~np.isnan(mine)).any() else np.nan


def _text(second: Any) -> str:
    return str(pd.Timestamp(int(second), unit="s").strftime("%Y-%m-%dT%H:%M:%SZ"))
