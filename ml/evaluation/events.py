"""Failures and alarms of the rows that a version is evaluated on, their metrics, and how far these could be off."""

from __future__ import annotations

from typing import Any

from ml.arrays import Float32s, Int64s
from ml.config import OrganizationConfig
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.rows import EvaluatedData
from ml.learning.events.detection import Events, find_events
from ml.learning.events.failures import epoch_seconds, event_horizon, onsets
from ml.learning.events.intervals import event_intervals
from ml.learning.events.metrics import event_metrics
from ml.learning.events.ranking_bootstrap import resampled_average_precision
from ml.learning.events.resampling import draw, independent_groups, percentile_interval

Probabilities = Float32s


def evaluated_events(
    config: OrganizationConfig,
    trained: TrainedVersion,
    rows: EvaluatedData,
    probability: Probabilities,
    threshold: float | Probabilities,
) -> Events:
    """Failures and alarms of the scored rows, for probabilities (n_scored,) and a threshold, or one for each."""
    table = rows.table
    return find_events(
        table["asset_id"].to_numpy(),
        epoch_seconds(table["timestamp"]),
        rows.label,
        probability,
        onsets(rows.frame),
        threshold=threshold,
        horizon=event_horizon(rows.frame, trained.metadata.horizon_seconds),
        cooldown=config.validation_config.alarm_cooldown_seconds,
        interval=trained.engineer.interval,
    )


def measured_events(
    config: OrganizationConfig, rows: EvaluatedData, probability: Probabilities, events: Events
) -> dict[str, Any]:
    """Event metrics for the report, with the intervals of these and of the average precision."""
    costs = config.validation_config.costs
    groups, drawn = resampling(config, rows)
    precision = resampled_average_precision(rows.label, probability, groups, drawn)
    intervals = event_intervals(events, groups, drawn, costs) | {"averagePrecision": percentile_interval(precision)}
    return {"savedCost": None} | event_metrics(events, costs, onsets(rows.frame)) | {"intervals": intervals}


def resampling(config: OrganizationConfig, rows: EvaluatedData) -> tuple[Int64s, Int64s]:
    """Group of each scored row, (n_scored,), and how often each bootstrap sample holds it, (n_samples, n_groups)."""
    groups = independent_groups(rows.table["asset_id"])
    return groups, draw(int(groups.max(initial=-1)) + 1, config.training_config.random_state)
