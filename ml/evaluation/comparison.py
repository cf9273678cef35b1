"""What a model is held against: simpler ways to raise alarms, and the version that is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml.evaluation.records import Record

EVENT_NUMBERS = (
    "failures",
    "detected",
    "early",
    "eventRecall",
    "alarms",
    "falseAlarms",
    "falseAlarmsPerAssetDay",
    "alarmPrecision",
    "healthyTimeInAlarm",
    "leadTimeSeconds",
    "detectionDelaySeconds",
    "savedCost",
)
"""The event numbers that a comparison shows, under the names of `ml.learning.events.metrics`."""


@dataclass(frozen=True)
class Baseline(Record):
    """A simpler way to raise alarms, evaluated on the rows of the model."""

    name: str
    description: str
    """What it is, in words; where it was not evaluated, why."""
    average_precision: float | None = None
    events: Mapping[str, Any] | None = None
    """Event metrics under their JSON names; None where it was not evaluated."""

    def to_json(self) -> dict[str, Any]:
        """As of `Record`; of the events only the numbers."""
        return super().to_json() | {"events": event_numbers(self.events)}


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The published version beside the candidate, on the test rows that the published one has not seen."""

    version: str
    rows: int
    """Rows that both were evaluated on."""
    margin: float
    """Average precision that the candidate may lose for certain."""
    required: bool = False
    """Whether a candidate that was not compared is refused."""
    skipped: str | None = None
    """Why there was no comparison; the numbers are None then."""
    average_precision: float | None = None
    candidate_average_precision: float | None = None
    interval: tuple[float, float] | None = None
    """95 % interval of the candidate's average precision minus the champion's."""
    events: Mapping[str, Any] | None = None
    candidate_events: Mapping[str, Any] | None = None

    @property
    def difference(self) -> float | None:
        """The candidate's average precision minus the champion's."""
        if self.average_precision is None or self.candidate_average_precision is None:
            return None
        return self.candidate_average_precision - self.average_precision

    @property
    def certain_loss(self) -> float | None:
        """The average precision that the candidate loses at least, with 97.5 % confidence; negative for a gain."""
        return None if self.interval is None else -self.interval[1]

    @property
    def worse(self) -> bool:
        """Whether the candidate loses more than the margin even at the favourable end of the interval."""
        return self.certain_loss is not None and self.certain_loss > self.margin

    def to_json(self) -> dict[str, Any]:
        """The comparison under its JSON names."""
        return {
            "version": self.version,
            "rows": self.rows,
            "skipped": self.skipped,
            "averagePrecision": self.average_precision,
            "candidateAveragePrecision": self.candidate_average_precision,
            "difference": self.difference,
            "interval": self.interval,
            "margin": self.margin,
            "worse": self.worse,
            "events": event_numbers(self.events),
            "candidateEvents": event_numbers(self.candidate_events),
        }


def event_numbers(events: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Event metrics without their lists per failure and per asset."""
    return None if events is None else {name: events[name] for name in EVENT_NUMBERS if name in events}
