"""`schemaConfig`: which columns an organisation has, and what they are."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, DistinctColumns, PositiveSeconds, Section, distinct, nearest

ColumnRole = Literal[
    "temperature",
    "pressure",
    "flow",
    "vibration",
    "current",
    "voltage",
    "speed",
    "power",
    "load",
    "ambient",
]

# Columns that the prepared grid adds beside the sensors; a sensor of that name could not be told from them.
RESERVED_COLUMNS = ("asset_id", "timestamp", "segment", "target", "event", "label", "status", "modes")

Unit = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^\S([^\x00-\x1f]*\S)?$")]
"""A unit as people write it (``°C``, ``l/min``); shown to clients, never interpreted."""

SHORTEST_WINDOW = 2
LONGEST_WINDOW = 20_000  # samples: two weeks of minutes; time and memory of the window graph grow with it
WindowLength = Annotated[int, Field(ge=1)]  # samples or seconds: ml.options.serving_profile knows, and keeps the bounds

DEFAULT_TIMESTAMP_COLUMNS = ("created_timestamp", "timestamp")


class SchemaConfig(Section):
    """Columns of one organisation, by the names used everywhere after `columnMapping`."""

    continuous_columns: DistinctColumns = Field(default=(), description="Analogue sensors, in order.")
    boolean_columns: DistinctColumns = Field(default=(), description="Two-state signals (0/1, true/false).")
    column_mapping: dict[ColumnName, ColumnName] = Field(
        default={}, description="Renames on reading: column of the source -> name used in this configuration."
    )
    counter_columns: DistinctColumns = Field(
        default=(), description="Those continuous columns that are totalisers; they become the increase per sample."
    )
    operating_columns: DistinctColumns = Field(
        default=(), description="Those continuous columns that set the operating regime (set points, load)."
    )
    column_roles: dict[ColumnName, ColumnRole] = Field(
        default={}, description="Physical meaning of columns, for the domain features."
    )
    column_units: dict[ColumnName, Unit] = Field(
        default={}, description="Units of continuous columns, passed on to clients in `metadata.json`."
    )
    asset_column: ColumnName | None = Field(default=None, description="Column that names the machine; none: one asset.")
    organization_column: ColumnName | None = Field(
        default=None,
        description="Column of a shared table, as the source names it, that holds the organisation; only rows in which "
        "it equals organizationId are read.",
    )
    timestamp_column: ColumnName | None = Field(
        default=None, description="Time of a row. Default: the first of created_timestamp, timestamp that exists."
    )
    target_column: ColumnName = Field(
        default="failure_indicator",
        description="1 while the asset is failed, 0 while it is not; anything else is unknown.",
    )
    lag_seconds: Annotated[tuple[PositiveSeconds, ...], AfterValidator(distinct)] | None = Field(
        default=None,
        description="Lags in seconds, each read at the nearest sample; an empty list means none. "
        'Default: derived from interval and horizon; under featureConfig.servingProfile "backend": 60, 120.',
    )
    rolling_windows: Annotated[tuple[WindowLength, ...], Field(min_length=1), AfterValidator(distinct)] | None = Field(
        default=None,
        description="Window lengths in samples, 2 to 20,000, at least one. Default: derived from interval and horizon. "
        'Under featureConfig.servingProfile "backend" in seconds, of any length that 20,000 samples hold; '
        "default there: 300.",
    )
    valid_range: dict[ColumnName, tuple[float | None, float | None]] = Field(
        default={},
        description="Lowest and highest possible value of continuous columns, null for none, such as "
        '`{"temperature": [-40, 200]}`; what lies outside is counted and missing.',
    )
    stuck_after_seconds: dict[ColumnName, PositiveSeconds] = Field(
        default={},
        description="After how long without any change continuous columns are reported as stuck. Default: an hour, and "
        "20 times the usual time between changes.",
    )
    table: str | None = Field(default=None, description="Table to read, where scadaDbConfig does not name it.")

    @property
    def sensor_columns(self) -> tuple[str, ...]:
        """Continuous columns, then boolean columns: the channel order of every window."""
        return self.continuous_columns + self.boolean_columns

    @model_validator(mode="after")
    def columns_name_one_thing_each(self) -> Self:
        """A name is one sensor, is not the target, and is not one that the prepared grid uses."""
        both = set(self.continuous_columns) & set(self.boolean_columns)
        if both:
            raise _column_error("{names} cannot be both continuous and boolean", both)
        sensors = set(self.sensor_columns)
        reserved = sensors & set(RESERVED_COLUMNS)
        if reserved:
            raise _column_error("{names}: reserved for the prepared grid; rename with columnMapping", reserved)
        structural = sensors & {self.target_column, self.asset_column, self.timestamp_column}
        if structural:
            raise _column_error("{names} cannot be a sensor: it is the target, asset or timestamp column", structural)
        return self

    @model_validator(mode="after")
    def subsets_name_continuous_columns(self) -> Self:
        """Counters, operating columns, roles and units speak of columns that exist."""
        allowed = dict.fromkeys(self.continuous_columns)
        for key, names in (
            ("counterColumns", self.counter_columns),
            ("operatingColumns", self.operating_columns),
            ("columnRoles", tuple(self.column_roles)),
            ("columnUnits", tuple(self.column_units)),
            ("validRange", tuple(self.valid_range)),
            ("stuckAfterSeconds", tuple(self.stuck_after_seconds)),
        ):
            for name in names:
                if name not in allowed:
                    guess = nearest(name, allowed)
                    raise PydanticCustomError(
                        "unknown_column",
                        "{key} names {name}, which is not in continuousColumns{guess}",
                        {"key": key, "name": name, "guess": f" (did you mean {guess}?)" if guess else ""},
                    )
        overlap = set(self.counter_columns) & set(self.operating_columns)
        if overlap:
            raise _column_error("{names} cannot be both a counter and an operating column", overlap)
        return self

    @model_validator(mode="after")
    def ranges_are_not_empty(self) -> Self:
        """A range that no value lies in would make its column missing throughout."""
        for name, (low, high) in self.valid_range.items():
            if low is not None and high is not None and low >= high:
                raise PydanticCustomError(
                    "empty_range",
                    "validRange of {name}: {low} must be below {high}",
                    {"name": name, "low": low, "high": high},
                )
        return self

    @model_validator(mode="after")
    def organization_is_no_sensor(self) -> Self:
        """The column that separates organisations cannot be anything else."""
        renamed = self.column_mapping.get(self.organization_column or "", self.organization_column)
        others = {*self.sensor_columns, self.target_column, self.asset_column, self.timestamp_column}
        if renamed is not None and renamed in others:
            raise _column_error("{names} is the organizationColumn and cannot be anything else", {renamed})
        return self

    @model_validator(mode="after")
    def mapping_is_one_to_one(self) -> Self:
        """Two source columns under one name would silently lose one of them."""
        twice = {name for name, times in Counter(self.column_mapping.values()).items() if times > 1}
        if twice:
            raise _column_error("columnMapping gives the name {names} to more than one column", twice)
        return self


def _column_error(template: str, names: set[str | None] | set[str]) -> PydanticCustomError:
    return PydanticCustomError("columns", template, {"names": ", ".join(sorted(str(name) for name in names))})
