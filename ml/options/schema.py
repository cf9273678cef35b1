"""`schemaConfig`: which columns an organisation has, and what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, DistinctColumns, PositiveSeconds, Section, distinct, nearest
from ml.options.columns.kinds import Running, RunningWhen, SetPointPair, Words
from ml.options.columns.units import Conversion, conversion, known_units

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

EventName = Annotated[str, Field(max_length=200, pattern=r"^(failure|maintenance)(:.*\S.*)?$")]
"""All failures or maintenance of an asset, or those of one mode or kind: ``failure``, ``maintenance:filter``."""

Unit = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^\S([^\x00-\x1f]*\S)?$")]
"""A unit as people write it (``°C``, ``l/min``); shown to clients, and interpreted for `convertTo` only."""

SHORTEST_WINDOW = 2
LONGEST_WINDOW = 20_000  # samples: two weeks of minutes; time and memory of the window graph grow with it
WindowLength = Annotated[int, Field(ge=1)]  # samples or seconds: ml.options.serving_profile knows, and keeps the bounds

DEFAULT_TIMESTAMP_COLUMNS = ("created_timestamp", "timestamp")


class SchemaConfig(Section):
    """Columns of one organisation, by the names used everywhere after `columnMapping`."""

    continuous_columns: DistinctColumns = Field(default=(), description="Analogue sensors, in order.")
    boolean_columns: DistinctColumns = Field(default=(), description="Two-state signals (0/1, true/false).")
    categorical_columns: dict[ColumnName, Words] = Field(
        default={},
        description='Columns that hold one of some words (recipe, product, state), such as `{"recipe": ["A", "B"]}`; '
        "any other word is missing.",
    )
    column_mapping: dict[ColumnName, ColumnName] = Field(
        default={}, description="Renames on reading: column of the source -> name used in this configuration."
    )
    counter_columns: DistinctColumns = Field(
        default=(), description="Those continuous columns that are totalisers; they become the increase per sample."
    )
    operating_columns: DistinctColumns = Field(
        default=(), description="Those continuous columns that set the operating regime (set points, load)."
    )
    set_point_pairs: tuple[SetPointPair, ...] = Field(
        default=(),
        description='Set values and the present values that follow them, such as `[{"setPoint": "zone1_sv", "value": '
        '"zone1_pv"}]`; each difference `value - setPoint` has the features of a continuous column.',
    )
    running_when: RunningWhen | None = Field(
        default=None,
        description='What tells that the machine runs, such as `{"column": "motor_on", "equals": 1}` or `{"column": '
        '"speed", "above": 5}`; other rows are not learned from, not evaluated and raise no alarm. Default: always.',
    )
    event_inputs: dict[ColumnName, Annotated[tuple[EventName, ...], Field(min_length=1)]] | None = Field(
        default=None,
        description='Times since events, as inputs beside the sensors, such as `{"since_overhaul": '
        '["maintenance:overhaul"]}`: seconds since the newest of these events of failureConfig.events (`failure`, '
        "`failure:<mode>`) and failureConfig.maintenance (`maintenance`, `maintenance:<kind>`). Default: one of all, "
        "and one of each mode and kind, that these tables hold.",
    )
    column_roles: dict[ColumnName, ColumnRole] = Field(
        default={}, description="Physical meaning of columns, for the domain features."
    )
    column_units: dict[ColumnName, Unit] = Field(
        default={}, description="Units of continuous columns in the source, passed on to clients in `metadata.json`."
    )
    convert_to: dict[ColumnName, Unit] = Field(
        default={},
        description='Units to convert continuous columns to as they are read, such as `{"temperature": "°C"}`, from '
        "those in columnUnits; validRange speaks of the new ones.",
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
        """Continuous, boolean, then categorical columns by name: what is read from the source."""
        return self.continuous_columns + self.boolean_columns + tuple(sorted(self.categorical_columns))

    @property
    def window_columns(self) -> tuple[str, ...]:
        """The sensors, then the times since events by name: the columns of every window."""
        return self.sensor_columns + tuple(sorted(self.event_inputs or ()))

    @property
    def running(self) -> Running | None:
        """`running_when` as the grid has it: a word is its code."""
        rule = self.running_when
        return None if rule is None else rule.on_the_grid(self.categorical_columns.get(rule.column, ()))

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column that has one, as converted."""
        return {**self.column_units, **self.convert_to}

    @property
    def conversions(self) -> dict[str, Conversion]:
        """What converted columns are multiplied by, and what is added then."""
        found = {name: conversion(self.column_units.get(name, ""), unit) for name, unit in self.convert_to.items()}
        return {name: each for name, each in found.items() if each is not None}

    @property
    def differences(self) -> dict[str, SetPointPair]:
        """The channels that are made of set point pairs, by name."""
        return {pair.difference: pair for pair in self.set_point_pairs}

    @property
    def continuous_channels(self) -> tuple[str, ...]:
        """Continuous columns, then the differences: what features of continuous readings are made of."""
        return (*self.continuous_columns, *self.differences)

    @property
    def channels(self) -> tuple[str, ...]:
        """The columns of a window, then the differences: everything that features are made of."""
        return (*self.window_columns, *self.differences)

    @model_validator(mode="after")
    def columns_name_one_thing_each(self) -> Self:
        """A name is one sensor, is not the target, and is not one that the prepared grid uses."""
        both = set(self.continuous_columns) & set(self.boolean_columns)
        if both:
            raise _column_error("{names} cannot be both continuous and boolean", both)
        both = {*self.continuous_columns, *self.boolean_columns} & {*self.categorical_columns}
        if both:
            raise _column_error("{names} cannot be categorical and something else", both)
        both = {*self.sensor_columns} & {*(self.event_inputs or ())}
        if both:
            raise _column_error("{names} cannot be a sensor and one of eventInputs", both)
        sensors = set(self.window_columns)
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
            ("convertTo", tuple(self.convert_to)),
            ("validRange", tuple(self.valid_range)),
            ("stuckAfterSeconds", tuple(self.stuck_after_seconds)),
        ):
            for name in names:
                if name not in allowed:
                    raise _unknown_column(f"{key} names {name}, which is not in continuousColumns", name, allowed)
        overlap = set(self.counter_columns) & set(self.operating_columns)
        if overlap:
            raise _column_error("{names} cannot be both a counter and an operating column", overlap)
        return self

    @model_validator(mode="after")
    def pairs_are_of_readings(self) -> Self:
        """Both of a pair are continuous columns, and no difference has a name that something else has."""
        totals = set(self.counter_columns)
        for position, pair in enumerate(self.set_point_pairs):
            for key, name in (("setPoint", pair.set_point), ("value", pair.value)):
                if name in totals or name not in self.continuous_columns:
                    problem = "a counter" if name in totals else "not in continuousColumns"
                    alike = [each for each in self.continuous_columns if each not in totals and name not in totals]
                    raise _unknown_column(
                        f"setPointPairs[{position}].{key} names {name}, which is {problem}", name, alike
                    )
        names = [pair.difference for pair in self.set_point_pairs]
        others = {*self.window_columns, *RESERVED_COLUMNS, self.target_column, self.asset_column, self.timestamp_column}
        taken = {name for name in names if names.count(name) > 1 or name in others}
        if taken:
            raise _column_error("setPointPairs: the name {names} is taken; give the difference another name", taken)
        return self

    @model_validator(mode="after")
    def running_is_told_by_a_sensor(self) -> Self:
        """What tells that a machine runs is read where predictions are made, too; a total never says it."""
        column = None if self.running_when is None else self.running_when.column
        if column is not None and (column not in self.sensor_columns or column in self.counter_columns):
            problem = "a counter" if column in self.counter_columns else "not one of the sensors"
            message = f"runningWhen.column names {column}, which is {problem}"
            raise _unknown_column(message, column, () if column in self.counter_columns else self.sensor_columns)
        rule, words = self.running_when, self.categorical_columns.get(column or "")
        word = rule is not None and (isinstance(rule.equals, str) or words is not None)
        if rule is not None and word and rule.word not in (words or ()):
            raise PydanticCustomError(
                "unknown_word",
                "runningWhen.equals is {word}, which is no word of {name} in categoricalColumns",
                {"word": rule.word or "missing", "name": str(column)},
            )
        return self

    @model_validator(mode="after")
    def units_can_be_converted(self) -> Self:
        """Both units are known, and of one quantity."""
        for name, unit in self.convert_to.items():
            source, how = self.column_units.get(name), self.conversions.get(name)
            if how is None or (name in self.counter_columns and how.offset):
                problem = f"{source} cannot be converted to {unit}; known are {known_units()}"
                if source is None:
                    problem = "columnUnits must name the unit that it has in the source"
                elif how is not None:
                    problem = f"a total in {source} cannot be one in {unit}"
                raise PydanticCustomError("unit", "convertTo of {name}: {problem}", {"name": name, "problem": problem})
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


def _unknown_column(message: str, name: str, others: Iterable[str]) -> PydanticCustomError:
    """With the column that is probably meant, if one of the others is like it."""
    guess = nearest(name, others)
    words = {"message": message, "guess": f" (did you mean {guess}?)" if guess else ""}
    return PydanticCustomError("unknown_column", "{message}{guess}", words)
