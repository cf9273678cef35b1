"""`validationConfig.limits`: what any metric must reach or must not pass."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import Section


class Limit(Section):
    """The least and the most that a metric may be; one of them is enough."""

    min: float | None = Field(default=None, description="The value must be at least this.")
    max: float | None = Field(default=None, description="The value must be at most this.")

    @model_validator(mode="after")
    def leaves_room(self) -> Self:
        """A limit says something, and some value meets it."""
        if self.min is None and self.max is None:
            raise PydanticCustomError("limit", 'needs "min", "max" or both')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("limit", '"min" is above "max", which no value can meet')
        return self


def _metric(name: str) -> Limit | None:
    """A limit that is not set, on the metric of that name."""
    limit: Limit | None = Field(default=None, description=name)
    return limit


class MetricLimits(Section):
    """Limits by metric, each ``{"min": ..., "max": ...}``; a value that is not defined fails."""

    accuracy: Limit | None = _metric("Accuracy")
    precision: Limit | None = _metric("Precision")
    recall: Limit | None = _metric("Recall")
    f1: Limit | None = _metric("F1")
    auc: Limit | None = _metric("ROC AUC")
    average_precision: Limit | None = _metric("Average precision")
    brier: Limit | None = _metric("Brier score")
    mcc: Limit | None = _metric("Matthews correlation")
    calibration_error: Limit | None = _metric("Calibration error")
    event_recall: Limit | None = _metric("Share of failures detected")
    missed_failures: Limit | None = _metric("Failures missed")
    lead_time_min_seconds: Limit | None = _metric("Shortest lead time")
    lead_time_q25_seconds: Limit | None = _metric("Lower quartile of the lead time")
    lead_time_median_seconds: Limit | None = _metric("Median lead time")
    lead_time_q75_seconds: Limit | None = _metric("Upper quartile of the lead time")
    lead_time_max_seconds: Limit | None = _metric("Longest lead time")
    detection_delay_median_seconds: Limit | None = _metric("Median detection delay")
    detection_delay_max_seconds: Limit | None = _metric("Longest detection delay")
    false_alarms: Limit | None = _metric("False alarms")
    false_alarms_per_asset_day: Limit | None = _metric("False alarms per asset and day")
    alarm_precision: Limit | None = _metric("Share of alarms that are right")
    healthy_time_in_alarm: Limit | None = _metric("Share of healthy time in alarm")
    named_at_first_row: Limit | None = _metric("Share of detected failures named right at their first alarm row")
    named_at_highest_row: Limit | None = _metric("Share of detected failures named right at their highest alarm row")
    modes_average_precision: Limit | None = _metric("Average precision of the modes of failure, mean")
    saved_cost: Limit | None = _metric("Saved cost")
    latency_p50_ms: Limit | None = _metric("Latency of one row, median")
    latency_p95_ms: Limit | None = _metric("Latency of one row, 95th percentile")
    latency_p99_ms: Limit | None = _metric("Latency of one row, 99th percentile")
    window_latency_p50_ms: Limit | None = _metric("Latency of one window, median")
    window_latency_p95_ms: Limit | None = _metric("Latency of one window, 95th percentile")
    window_latency_p99_ms: Limit | None = _metric("Latency of one window, 99th percentile")
