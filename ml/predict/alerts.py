"""Alerts: rows in alarm put together, with what a person needs to act on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

_NAMED = 3


@dataclass(frozen=True)
class Reason:
    """A sensor and how far it moved the score (log-odds) at the alert's peak."""

    sensor: str
    contribution: float


@dataclass(frozen=True)
class TimeToFailure:
    """Seconds from an instant within which the asset fails with 10, 50 and 90 %; infinite beyond the model's reach."""

    p10: float
    p50: float
    p90: float

    def to_json(self) -> dict[str, float | None]:
        """Whole seconds; null where infinite."""
        return {name: round(each) if np.isfinite(each) else None for name, each in vars(self).items()}


@dataclass(frozen=True)
class Alert:
    """One alarm of one asset.

    Attributes
    ----------
    start, end, peak
        Grid instants (UTC): the first and the last row in alarm, and the one of highest probability.
    probability
        Of a failure within the model's horizon, at the peak; of a model of normal behaviour its score, which is none.
    reasons
        The sensors that raised the score most at the peak, largest first; empty if the model gives none.
    time_to_failure
        Counted from `end`, the newest row in alarm; None if the model gives none.
    """

    asset: str
    start: pd.Timestamp
    end: pd.Timestamp
    peak: pd.Timestamp
    probability: float
    reasons: tuple[Reason, ...]
    model_version: str
    time_to_failure: TimeToFailure | None = None
    score_name: str = "probability"

    def to_json(self) -> dict[str, Any]:
        """The alert under its JSON names; times in ISO 8601."""
        return {
            "asset": self.asset,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "peak": self.peak.isoformat(),
            self.score_name: self.probability,
            "reasons": [{"sensor": each.sensor, "contribution": each.contribution} for each in self.reasons],
            "modelVersion": self.model_version,
            "timeToFailure": self.time_to_failure and self.time_to_failure.to_json(),
        }


def alerts_of(
    alarms: pd.DataFrame,
    reasons: pd.DataFrame | None,
    *,
    gap_seconds: int,
    version: str,
    times: pd.DataFrame | None = None,
    score_name: str = "probability",
) -> list[Alert]:
    """Rows in alarm, by asset and time, as alerts; rows at most `gap_seconds` apart are one.

    Parameters
    ----------
    alarms
        ``asset_id``, ``timestamp`` and ``probability`` (or ``score``, as `score_name` says) of the rows.
    reasons
        Contributions of the same rows, a column per sensor.
    times
        ``p10``, ``p50`` and ``p90`` of the same rows, in seconds.
    """
    return [
        Alert(
            asset=str(group["asset_id"].iloc[0]),
            start=group["timestamp"].iloc[0],
            end=group["timestamp"].iloc[-1],
            peak=group["timestamp"].iloc[peak],
            probability=float(group[score_name].iloc[peak]),
            reasons=() if reasons is None else _reasons(reasons.iloc[first + peak]),
            model_version=version,
            time_to_failure=None if times is None else TimeToFailure(*times.iloc[first + len(group) - 1].tolist()),
            score_name=score_name,
        )
        for first, group in _groups(alarms, gap_seconds)
        for peak in [int(np.argmax(group[score_name].to_numpy()))]
    ]


def _groups(alarms: pd.DataFrame, gap_seconds: int) -> Iterator[tuple[int, pd.DataFrame]]:
    """Position of the first row, and the rows, of each alert."""
    if alarms.empty:
        return
    asset = alarms["asset_id"].astype(str).to_numpy()
    apart = alarms["timestamp"].diff() > pd.Timedelta(seconds=gap_seconds)
    starts = np.flatnonzero(apart.to_numpy() | np.append(True, asset[1:] != asset[:-1]))
    for first, end in zip(starts, np.append(starts[1:], len(alarms)), strict=True):
        yield int(first), alarms.iloc[first:end]


def _reasons(contributions: pd.Series) -> tuple[Reason, ...]:
    raised = contributions[contributions > 0].sort_values(ascending=False, kind="stable")
    return tuple(Reason(str(sensor), float(value)) for sensor, value in raised.iloc[:_NAMED].items())
