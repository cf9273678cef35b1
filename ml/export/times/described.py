"""What ``metadata.json`` says of the time to failure, and how good it was on rows that the model had not seen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from ml.export.times.curve import LEVELS
from ml.options.base import Section

Share = Annotated[float, Field(ge=0, le=1)]


class Coverage(Section):
    """How often the truth lay between p10 and p90."""

    count: NonNegativeInt = Field(description="Rows or failures counted: those whose truth is known as far as p90.")
    share: Share | None = Field(description="Those of them in which the truth lay inside; null without any.")
    interval: tuple[Share, Share] | None = Field(description="95 % interval of the share; null where it is unknown.")


class MeasuredTimes(Section):
    """The time to failure on rows of the test part (of the validation part where there is none), by unseeing models."""

    part: Literal["test", "validation"] = Field(description="Which rows; validation rows have stopped the fit.")
    rows: Coverage = Field(description="All rows.")
    alarm_rows: Coverage = Field(description="Rows in alarm.")
    first_alarms: Coverage = Field(description="The first row in alarm of each failure, within four horizons of it.")
    median_error_seconds: NonNegativeFloat | None = Field(
        description="Median of |truth - p50| at these first alarms; null if p50 is infinite at most of them."
    )
    median_width_seconds: NonNegativeFloat | None = Field(
        description="Median of p90 - p10 at these first alarms; null if p90 is infinite at most of them."
    )


class TimeToFailure(Section):
    """What ``time_to_failure.onnx`` gives for a row of features: three quantiles of the seconds to the next failure."""

    levels: tuple[Share, ...] = Field(default=LEVELS, description="Of the columns of `time_to_failure`.")
    horizons_seconds: tuple[PositiveInt, ...] = Field(
        min_length=2, description="Where the model was asked; a quantile beyond the last is +Infinity."
    )
    between: Literal["logOddsLinearInTime"] = Field(
        default="logOddsLinearInTime",
        description="How a quantile between two horizons is found; below the first, the probability is linear and "
        "p10 is 0.",
    )
    trees: PositiveInt = Field(description="Trees of the model.")
    measured: MeasuredTimes = Field(description="On rows that the models had not seen.")
    parity_rows: NonNegativeInt = Field(description="Rows in which the graph gave the same bits as numpy.")
