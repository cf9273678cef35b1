"""`validationConfig`, `conversionConfig`: when a model may be published; `monitoringConfig`: when a new one is due."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat

from ml.options.base import Seconds, Section
from ml.options.costs import MaintenanceCosts
from ml.options.limits import MetricLimits
from ml.options.source import found_path

Score = Annotated[float, Field(ge=0, le=1)]


class ReferenceScore(Section):
    """A score to print beside the model's: an existing alarm, or a simulation's hidden truth."""

    name: Annotated[str, Field(min_length=1, max_length=40)] = Field(description="How the report calls it.")
    path: Annotated[str, AfterValidator(found_path)] = Field(
        min_length=1, description="CSV or Parquet with asset_id, timestamp and the score."
    )
    column: str = Field(default="score", description="Column that holds it; higher means nearer to failure.")


class ValidationConfig(Section):
    """Thresholds that validate_model.py holds the model to; null switches one off.

    The defaults of rows are the product's. A failure counts as much as a row, so events have the same least recall. One
    false alarm per asset and day is what a crew may still look into, and an alarm on a tenth of the healthy time is
    about what the least precision of rows allows where a fifth of the rows are positive.
    """

    min_event_recall: Score | None = Field(default=0.70, description="Share of failures detected.")
    max_false_alarms_per_asset_day: Annotated[float, Field(ge=0)] | None = Field(
        default=1.0, description="False alarms per asset and day."
    )
    max_healthy_time_in_alarm: Score | None = Field(default=0.10, description="Share of healthy time in alarm.")
    min_accuracy: Score | None = Field(default=0.80, description="Share of rows classified correctly.")
    min_precision: Score | None = Field(default=0.75, description="Share of alarm rows that are right.")
    min_recall: Score | None = Field(default=0.70, description="Share of positive rows that are found.")
    min_auc: Score | None = Field(default=0.80, description="Area under the ROC curve.")
    min_f1: Score | None = Field(default=None, description="F1 score.")
    min_average_precision: Score | None = Field(default=None, description="Average precision.")
    max_latency_ms: PositiveFloat | None = Field(
        default=100.0, description="95th percentile for one row, through ONNX."
    )
    limits: MetricLimits = Field(default=MetricLimits(), description="Limits on any other metric of rows or events.")
    champion: Literal["compare", "require", "ignore"] = Field(
        default="compare",
        description="compare: refuse a version that ranks rows worse than the published one; require: refuse it also "
        "where the two cannot be compared; ignore: do not look.",
    )
    champion_margin: Score = Field(
        default=0.01, description="Average precision that may be lost to the published version, beyond chance."
    )
    untuned_model: bool = Field(
        default=False,
        description="Fit the model type with its default parameters too, and print it beside a tuned one; it takes as "
        "long as a training.",
    )
    threshold: Score | None = Field(default=None, description="Alarm threshold. Default: the one chosen in training.")
    alarm_cooldown_seconds: Seconds = Field(default=300, description="Alarm rows closer than this belong to one alarm.")
    costs: MaintenanceCosts | None = Field(
        default=None, description="Prices for the saved cost, in your own currency or hours. Default: none is counted."
    )
    noise_levels: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.05, 0.1, 0.2), description="Noise added to sensors, in training standard deviations."
    )
    missing_rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.05, 0.1, 0.2), description="Share of sensor readings removed."
    )
    stuck_shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.05, 0.2, 0.5), description="Share of sensors that stop moving, those the model relies on most first."
    )
    lost_shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.05, 0.2, 0.5), description="Share of sensors without readings, those relied on most first."
    )
    jitter_steps: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        default=(1, 3, 10), description="Sampling intervals that readings come too late or too early at most."
    )
    robustness_rows: Annotated[int, Field(ge=1, le=10**8)] = Field(
        default=50_000, description="Rows used by the robustness tests at most."
    )
    latency_runs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=300, description="Single-row predictions timed."
    )
    reference_scores: tuple[ReferenceScore, ...] = Field(default=(), description="Scores printed beside the model's.")
    scheme: Literal["holdout", "backtest"] | None = Field(
        default=None,
        description="holdout: the model is judged on a test part. backtest: the whole recipe is fitted again in every "
        "fold, each failure is judged by a model that has not seen it, and the shipped model is fitted on all rows. "
        "Default: backtest where the rows know of fewer than 30 failures and a test part is wanted.",
    )


class ConversionConfig(Section):
    """When convert_to_onnx.py makes the version the organisation's current one."""

    publish: Literal["if_valid", "always", "never"] = Field(
        default="if_valid", description="if_valid: only after a passed validation report."
    )
    parity_rows: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=20_000, description="Rows compared between the model and its ONNX form."
    )


class MonitoringConfig(Section):
    """What a published model is held to in production, and what comes of it."""

    min_precision: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8,
        description="Share of right alarms that is asked for. A new model is due when the share is below this, and "
        "below what validation had shown (the lower end of its interval), beyond chance.",
    )
    max_drift: Annotated[float, Field(gt=0)] = Field(
        default=0.25,
        description="Population stability index of a sensor above which a new model is due; see "
        "[the definitions](monitoring.md#drift).",
    )
    drift_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=28, description="Days of newest rows that drift is looked for in."
    )
    max_age_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        default=None, description="Days after going live at which a new model is due anyway. Default: age is no reason."
    )
    pause_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        default=28, description="Days that `ml.retrain --if-needed` waits after a new model that was not better."
    )
    keep_versions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=5, description="Versions that retraining keeps beside the published one; older ones are removed."
    )
