"""Alerts: rows in alarm put together, with what a person needs to act on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

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
        """Whole seconds, halves up; null where infinite."""
        return {name: math.floor(each + 0.5) if math.isfinite(each) else None for name, each in vars(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, float | None]) -> Self:
        """What `to_json` wrote; infinite where null."""
        p10, p50, p90 = (math.inf if (each := content[name]) is None else each for name in ("p10", "p50", "p90"))
        return cls(p10, p50, p90)


@dataclass(frozen=True)
class Alert:
    """One alarm of one component of one asset.

    Attributes
    ----------
    component
        The most likely mode of failure of its rows; None where the model tells none apart.
    start, end, peak
        Grid instants (UTC): the first and the last row in alarm, and the one of highest probability.
    probability
        Of a failure within the model's horizon, at the peak; of a model of normal behaviour its score, which is none.
    component_probability
        That the failure is of this component, if there is one, at the peak.
    reasons
        The sensors that raised the score most at the peak, largest first; empty if the model gives none.
    time_to_failure
        Counted from `end`, the newest row in alarm; None if the model gives none.
    """

    asset: str
    component: str | None
    start: pd.Timestamp
    end: pd.Timestamp
    peak: pd.Timestamp
    probability: float
    component_probability: float | None
    reasons: tuple[Reason, ...]
    model_version: str
    time_to_failure: TimeToFailure | None = None
    score_name: str = "probability"

    def to_json(self) -> dict[str, Any]:
        """The alert under its JSON names; times in ISO 8601."""
        return {
            "asset": self.asset,
            "component": self.component,
            "start": as_text(self.start),
            "end": as_text(self.end),
            "peak": as_text(self.peak),
            self.score_name: self.probability,
            "componentProbability": self.component_probability,
            "reasons": [{"sensor": each.sensor, "contribution": each.contribution} for each in self.reasons],
            "modelVersion": self.model_version,
            "timeToFailure": self.time_to_failure and self.time_to_failure.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The alert that `to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
        name = "score" if "score" in content else "probability"
        return cls(
            asset=content["asset"],
            component=content["component"],
            start=from_text(content["start"]),
            end=from_text(content["end"]),
            peak=from_text(content["peak"]),
            probability=content[name],
            component_probability=content["componentProbability"],
            reasons=tuple(Reason(each["sensor"], each["contribution"]) for each in content["reasons"]),
            model_version=content["modelVersion"],
            time_to_failure=content["timeToFailure"] and TimeToFailure.from_json(content["timeToFailure"]),
            score_name=name,
        )


@dataclass(frozen=True)
class ScoredRow:
    """What a model says of an asset at one grid instant; what follows `alarm` counts for rows in alarm only."""

    asset: str
    time: pd.Timestamp
    alarm: bool
    probability: float = float("nan")
    component: str | None = None
    component_probability: float | None = None
    reasons: tuple[Reason, ...] = ()
    model_version: str = ""
    time_to_failure: TimeToFailure | None = None
    score_name: str = "probability"

    def as_alert(self) -> Alert:
        """The alert that begins with this row."""
        return Alert(
            self.asset,
            self.component,
            self.time,
            self.time,
            self.time,
            self.probability,
            self.component_probability,
            self.reasons,
            self.model_version,
            self.time_to_failure,
            self.score_name,
        )


def scored_rows(
    scored: pd.DataFrame,
    modes: pd.DataFrame | None,
    reasons: pd.DataFrame | None,
    times: pd.DataFrame | None = None,
    *,
    version: str,
    score_name: str = "probability",
) -> Iterator[ScoredRow]:
    """The rows of a table as `ml.predict.alert_tracker.AlertTracker` takes them.

    Parameters
    ----------
    scored
        ``asset_id``, ``timestamp``, ``probability`` (or ``score``, as `score_name` says) and ``label`` of the rows.
    modes, reasons, times
        Of its alarm rows, in their order: probabilities of the modes given a failure, a column per mode; contributions,
        a column per sensor; ``p10``, ``p50`` and ``p90`` in seconds.
    """
    columns = (scored[name] for name in ("asset_id", "timestamp", score_name, "label"))
    alarms = -1
    for asset, time, probability, label in zip(*columns, strict=True):
        if label != 1:
            yield ScoredRow(str(asset), time, alarm=False)
            continue
        alarms += 1
        component, given = (None, None) if modes is None else _likeliest(modes.iloc[alarms])
        why = () if reasons is None else _reasons(reasons.iloc[alarms])
        when = None if times is None else TimeToFailure(*times.iloc[alarms].tolist())
        yield ScoredRow(str(asset), time, True, float(probability), component, given, why, version, when, score_name)


def as_text(time: pd.Timestamp) -> str:
    """A time in ISO 8601, as all languages write it."""
    return str(time.isoformat()).replace("+00:00", "Z")


def from_text(text: str) -> pd.Timestamp:
    """The time that `as_text` wrote; raises ValueError for anything else, and without a zone."""
    time = pd.Timestamp(text)
    if time is pd.NaT or time.tz is None:
        raise ValueError(f"{text!r} is no time with a zone")
    return time.tz_convert("UTC")


def _likeliest(modes: pd.Series) -> tuple[str, float]:
    """The likeliest mode and its probability; of equal ones the first."""
    at = int(np.argmax(modes.to_numpy()))
    return str(modes.index[at]), float(modes.iloc[at])


def _reasons(contributions: pd.Series) -> tuple[Reason, ...]:
    raised = contributions[contributions > 0].sort_values(ascending=False, kind="stable")
    return tuple(Reason(str(sensor), float(value)) for sensor, value in raised.iloc[:_NAMED].items())
