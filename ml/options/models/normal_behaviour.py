"""`trainingConfig.normalBehaviour`: what counts as normal, and how many alarms a plant can bear."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from ml.errors import ConfigError
from ml.options.base import DistinctColumns, PositiveSeconds, Section

SECONDS_PER_DAY = 86_400
_ALARMS_PER_HORIZON = 0.1
_PERSISTENCE_PER_HORIZON = 1 / 8
_PERSISTENCE_OF_DETECTION = 10  # samples
_MOST_SAMPLES = 24  # of the persistence: neighbours are alike, and more would only make the graph slower
_LONGEST_LOOK_BACK = 19_999  # samples that a window can hold

LEARN_WITHOUT_FAILURES = ("auto", "normal_behaviour")
"""Model types that need no target column."""


class ExcludedDates(Section):
    """Whole days (UTC), the last one included, that are no example of normal operation."""

    from_: date = Field(alias="from", description="First day.")
    to: date = Field(description="Last day.")

    @model_validator(mode="after")
    def is_in_order(self) -> Self:
        """A stretch that ends before it begins excludes nothing."""
        if self.to < self.from_:
            raise PydanticCustomError("dates", '"to" must not be before "from"')
        return self


class ColumnGroup(Section):
    """Sensors of one part of the machine, and what drives them."""

    columns: DistinctColumns = Field(description="Continuous columns that are watched.")
    operating_columns: DistinctColumns = Field(description="Continuous columns that their normal value depends on.")


def _distinct_members(groups: dict[str, ColumnGroup]) -> dict[str, ColumnGroup]:
    names = [name for group in groups.values() for name in group.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PydanticCustomError("not_distinct", "{names} stands in two groups", {"names": ", ".join(twice)})
    return groups


class NormalBehaviourParams(Section):
    """Parameters of normal_behaviour, also where auto chooses it."""

    false_alarms_per_asset_day: PositiveFloat | None = Field(
        default=None,
        description="False alarms that an asset may raise per day of healthy operation. Default: one in ten horizons "
        "(without a horizon, in ten days).",
    )
    persistence_seconds: PositiveSeconds | None = Field(
        default=None,
        description="Deviations count by their mean over this time. Default: an eighth of the horizon (without a "
        "horizon, ten samples).",
    )
    column_groups: Annotated[dict[str, ColumnGroup], AfterValidator(_distinct_members)] = Field(
        default={},
        description="Groups of sensors with operating columns of their own. What no group names depends on "
        "schemaConfig.operatingColumns.",
    )
    baseline: Literal["fleet", "asset"] = Field(
        default="fleet",
        description="fleet: a sensor is held against what is normal for all assets. asset: less the mean deviation of "
        "the asset's own past baselineSeconds, which forgives old differences, repairs and seasons, and slow wear.",
    )
    baseline_seconds: PositiveSeconds = Field(default=7 * SECONDS_PER_DAY, description="Of the baseline asset.")
    history_is_clean: bool | None = Field(
        default=None,
        description="Whether the history holds no failure that is not recorded. If not, limits are not set above what "
        "the middle of the asset-days lets expect, and the rate is a guess. Default: true where failures, maintenance, "
        "downtime or days to exclude are recorded.",
    )
    exclude: tuple[ExcludedDates, ...] = Field(
        default=(), description='Days to leave out of what is normal, such as `[{"from": "2024-05-01", "to": ...}]`.'
    )

    def rate(self, horizon: int) -> float:
        """False alarms per asset-day that are aimed at, for a horizon in seconds."""
        return self.false_alarms_per_asset_day or _ALARMS_PER_HORIZON * SECONDS_PER_DAY / (horizon or SECONDS_PER_DAY)

    def samples(self, horizon: int, interval: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Which samples back make the recent deviation, and which the asset's baseline (none for `fleet`).

        Horizon and interval in seconds. Samples lie at even distances, at most 24 of each; of a longer past than a
        window can hold, the newest are taken. Raises ConfigError where that is shorter than `persistence_seconds`.
        """
        if (self.persistence_seconds or 0) // interval > _LONGEST_LOOK_BACK:
            raise ConfigError(
                f"persistenceSeconds: {self.persistence_seconds:,} s are more than the {_LONGEST_LOOK_BACK:,} samples "
                f"of {interval} s that a window can hold",
                field="trainingConfig.normalBehaviour.persistenceSeconds",
                hint=f"give at most {_LONGEST_LOOK_BACK * interval:,}, or a longer dataConfig.samplingIntervalSeconds",
            )
        wanted = self.persistence_seconds or round(_PERSISTENCE_PER_HORIZON * horizon)
        length = max(1, wanted // interval) if wanted else _PERSISTENCE_OF_DETECTION
        recent = _spread(0, min(length, _LONGEST_LOOK_BACK) - 1)
        if self.baseline == "fleet":
            return recent, ()
        end = min(length + max(1, self.baseline_seconds // interval), _LONGEST_LOOK_BACK)
        return recent, _spread(min(length, end), end)


def _spread(first: int, last: int) -> tuple[int, ...]:
    count = min(last - first + 1, _MOST_SAMPLES)
    return tuple(sorted({first + round(at * (last - first) / max(count - 1, 1)) for at in range(count)}))
