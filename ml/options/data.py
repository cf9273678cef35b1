"""`dataConfig`: from rows to a labelled grid, and how it is split."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, PositiveSeconds, Seconds, Section

DEFAULT_HORIZON_SECONDS = 86_400  # a day: the shortest notice on which a plant can usually plan a repair
MIN_FAILURE_EVENTS = 3  # below three, one lucky event is a third or more of the verdict


def check_timezone(name: str) -> str:
    """A zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise PydanticCustomError(
            "timezone", "is not a time zone of the IANA database, such as UTC or Europe/Berlin"
        ) from error
    return name


class DataConfig(Section):
    """Grid, labels and split."""

    sampling_interval_seconds: PositiveSeconds | None = Field(
        default=None, description="Grid spacing. Default: the median spacing of the organisation's own rows."
    )
    max_gap_seconds: PositiveSeconds | None = Field(
        default=None,
        description="Values are carried forward this long; a longer gap starts a new segment. "
        "Default: 5 sampling intervals; for a machine that logs at less than half that pace (up to 200 times more "
        "slowly), 5 of its own.",
    )
    aggregation: Literal["last", "mean"] = Field(
        default="last",
        description="Value of a continuous column on the grid: the last reading, or the interval's mean.",
    )
    prediction_horizon_seconds: Seconds = Field(
        default=DEFAULT_HORIZON_SECONDS,
        description="H: a row is positive if a failure starts within the next H seconds. 0 means detection.",
    )
    label_column: ColumnName | None = Field(
        default=None, description="Column that already holds the label; no horizon is derived then."
    )
    during_failure: Literal["exclude", "positive"] = Field(
        default="exclude", description="Rows inside a failure: not trained on, or positive."
    )
    recovery_seconds: Seconds = Field(default=0, description="Rows this long after a failure are not trained on.")
    split_by: Literal["time", "asset"] = Field(default="time", description="Hold out the newest time, or whole assets.")
    validation_split: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2, description="Share for early stopping and thresholds."
    )
    test_split: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.2, description="Share held out for the verdict.")
    timezone: Annotated[str, AfterValidator(check_timezone)] | None = Field(
        default=None,
        description="Zone of timestamps that carry none. Default: they are read as UTC, and the data summary says so.",
    )
    min_failure_events: Annotated[int, Field(ge=0, le=10**9)] = Field(
        default=MIN_FAILURE_EVENTS, description="Refuse to learn from or evaluate on fewer failure events in a part."
    )

    prepared_format: Literal["parquet", "csv"] = Field(
        default="parquet",
        description="csv: prepared_data.csv is written beside prepared_data.parquet, which the steps go on reading.",
    )

    @property
    def looks_ahead_only(self) -> bool:
        """Whether no row of a failure has a label: what is known of the failure itself tells none then."""
        return self.prediction_horizon_seconds > 0 and self.during_failure == "exclude" and self.label_column is None

    @property
    def zone(self) -> str:
        """The zone in which timestamps without one are read."""
        return self.timezone or "UTC"

    @model_validator(mode="after")
    def leaves_rows_to_train_on(self) -> Self:
        """Validation and test together must leave most of the history for training."""
        if self.validation_split + self.test_split >= 0.9:
            raise PydanticCustomError(
                "splits", "validationSplit + testSplit must stay below 0.9, or nothing is left to train on"
            )
        return self

    @model_validator(mode="after")
    def gap_spans_an_interval(self) -> Self:
        """A gap limit below the sampling interval would break the series at every row."""
        interval, gap = self.sampling_interval_seconds, self.max_gap_seconds
        if interval is not None and gap is not None and gap < interval:
            raise PydanticCustomError("gap", "maxGapSeconds must be at least samplingIntervalSeconds")
        return self
