"""`failureConfig`: how a plant records its failures, where that is not one column of 0 and 1; `feedbackConfig`: answers
to alarms, a list of the same kind."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, DistinctColumns, PositiveSeconds, Section, nearest
from ml.options.tables import TableReference

MOST_MODES = 31
"""Modes of failure that one organisation can have: each is a bit of a number."""


def canonical(value: str) -> str:
    """A code or word as it is compared: without regard to case and outer blanks, numbers by their value.

    >>> canonical(" Trip "), canonical("2.0"), canonical("true")
    ('trip', '2', '1')
    """
    word = value.strip().lower()
    if word in ("true", "false"):
        return "1" if word == "true" else "0"
    try:
        return f"{float(word):.15g}" if "_" not in word and word.strip("+-") not in ("nan", "inf", "infinity") else word
    except ValueError:
        return word


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _different(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted(word for word, times in Counter(map(canonical, values)).items() if times > 1)
    if twice:
        raise PydanticCustomError("not_distinct", "names {names} more than once", {"names": ", ".join(twice)})
    return values


_WORD_SCHEMA = {"anyOf": [{"type": "string", "maxLength": 200}, {"type": "number"}, {"type": "boolean"}]}
Word = Annotated[str, BeforeValidator(_as_text), Field(max_length=200), WithJsonSchema(_WORD_SCHEMA)]
"""A code or word of a column; numbers and true/false may stand for themselves."""
Words = tuple[Word, ...]


class EventTable(TableReference):
    """Rows with a machine and a time, in a table or file of their own."""

    asset_column: ColumnName | None = Field(
        default=None, description="Column that names the machine. Default: schemaConfig.assetColumn, as named there."
    )
    start_column: ColumnName = Field(description="Column with the time at which the event began.")
    end_column: ColumnName | None = Field(
        default=None,
        description="Column with the time at which it ended. An event without an end takes the one grid row in which "
        "it began.",
    )
    mode_column: ColumnName | None = Field(
        default=None, description="Column that says what failed, or what was done: the event's mode."
    )
    include: dict[ColumnName, Annotated[Words, Field(min_length=1)]] = Field(
        default={},
        description='Rows to use, by the values of columns, such as `{"type": ["CORRECTIVE"]}`; all must fit.',
    )
    assets: dict[str, str] = Field(
        default={}, description="Names of machines: as this table has them -> as the readings have them."
    )

    @property
    def texts(self) -> dict[str, str]:
        """Columns of text that come along with each event, by the name that they get."""
        return {}

    @property
    def may_be_empty(self) -> bool:
        """Whether the table may have no rows yet."""
        return False


class MaintenanceTable(EventTable):
    """Maintenance as a list of events."""

    prevents: Words | None = Field(
        default=None,
        description="Values of modeColumn that prevent failures. Default: all of them. Whether a failure would have "
        "come without it is not known, so rows less than the horizon before it have no label, but for those before a "
        "failure that came first.",
    )

    resets: Words = Field(
        default=(),
        description="Values of modeColumn that start a new life of what they name, such as a replaced component; a "
        "failure of the mode of that name starts one, too. Each gives a time since then, `life_<value>`.",
    )

    @model_validator(mode="after")
    def kinds_have_a_column(self) -> Self:
        """Kinds are values of a column, and each is named once."""
        for key, words in (("prevents", self.prevents), ("resets", self.resets or None)):
            if words is not None and self.mode_column is None:
                raise PydanticCustomError(
                    "no_mode_column", "{key} names kinds, and modeColumn does not say where", {"key": key}
                )
        _different(self.resets)
        return self

    @property
    def may_be_empty(self) -> bool:
        """There was none yet."""
        return True


class DowntimeTable(EventTable):
    """Times at which a machine was neither failed nor healthy."""

    end_column: ColumnName = Field(description="Column with the time at which it ended.")

    @property
    def may_be_empty(self) -> bool:
        """There was none yet."""
        return True


class FeedbackTable(EventTable):
    """Answers to alarms, in a table or file of their own: each says what came of one alarm."""

    start_column: ColumnName = Field(
        alias="alarmColumn", description="Column with the time of the alarm: its start, or any time while it lasted."
    )
    end_column: ColumnName | None = Field(
        default=None, alias="answeredColumn", description="Column with the time of the answer."
    )
    mode_column: ColumnName | None = Field(default=None, description="Column that says what was found to fail.")
    verdict_column: ColumnName = Field(description="Column with the answer.")
    confirmed: Annotated[Words, Field(min_length=1)] = Field(
        default=("confirmed", "accurate", "correct", "true"), description="Answers that say the alarm was right."
    )
    dismissed: Annotated[Words, Field(min_length=1)] = Field(
        default=("dismissed", "inaccurate", "wrong", "false"), description="Answers that say it was false."
    )
    unknown: Words = Field(
        default=("unknown",), description="Answers that say nobody knows; an empty cell says so as well."
    )
    match_within_seconds: PositiveSeconds | None = Field(
        default=None,
        description="An answer belongs to an alarm of its asset that lasts at its time, or is at most so far from it. "
        "Default: validationConfig.alarmCooldownSeconds, at least one sampling interval.",
    )
    wrong_answers: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        default=0.1,
        description="Share of answers that may be wrong where no failure followed; the interval of the precision is "
        "wider by it.",
    )
    use_in_training: bool = Field(
        default=False,
        description="Rows less than the horizon before or after a confirmed alarm are no healthy examples: a failure "
        "may have been prevented there. Rows before a failure keep their label.",
    )

    @model_validator(mode="after")
    def words_say_one_thing(self) -> Self:
        """A word cannot confirm and dismiss."""
        every = [canonical(word) for words in (self.confirmed, self.dismissed, self.unknown) for word in words]
        if twice := sorted({word for word in every if every.count(word) > 1}):
            raise PydanticCustomError(
                "said_twice",
                "confirmed, dismissed and unknown name {names} more than once",
                {"names": ", ".join(twice)},
            )
        return self

    @property
    def texts(self) -> dict[str, str]:
        """The answer comes along."""
        return {"verdict": self.verdict_column}

    @property
    def may_be_empty(self) -> bool:
        """Nobody has answered yet."""
        return True


class FailureConfig(Section):
    """Where failures are recorded. Without any key: `schemaConfig.targetColumn`, 1 while failed and 0 while not."""

    columns: DistinctColumns = Field(
        default=(),
        description="Columns that are used in place of schemaConfig.targetColumn, such as trip and fail bits; the "
        "asset has failed while any of them says so.",
    )
    inverse: DistinctColumns = Field(
        default=(), description="Those of the columns (or targetColumn) that are 0 while failed and 1 while not."
    )
    failure_values: Annotated[Words, Field(max_length=1000)] = Field(
        default=(), description="Codes or words that say failed, in the other columns. Default: 1, true, yes, on."
    )
    healthy_values: Annotated[Words, Field(max_length=1000)] = Field(
        default=(),
        description="Codes or words that say not failed. What is in neither list is unknown; without this list all "
        "that is not in failureValues is healthy. An empty cell is unknown, unless a list names it.",
    )
    hold_until_changed: bool = Field(
        default=False,
        description="Whether a column without a value keeps the last one of its asset, however long ago: for flags "
        "that are written down only when they change, as historians do.",
    )
    events: EventTable | None = Field(
        default=None,
        description="List of failures, used in place of a column. What is not in it was healthy, in pauses of the "
        "readings, too.",
    )
    maintenance: MaintenanceTable | None = Field(default=None, description="List of maintenance.")
    downtime: DowntimeTable | None = Field(
        default=None, description="List of times that are neither failed nor healthy, such as planned stops."
    )
    modes: dict[ColumnName, Annotated[Words, Field(min_length=1)]] = Field(
        default={},
        description='Modes of failure, such as `{"heater": ["comp1", "comp2"]}`: groups of values of '
        "events.modeColumn, of columns, or of codes of the one column. What no group names is a mode of its own; "
        "codes are one mode where no group is given. At most 31.",
    )
    allow_as_features: DistinctColumns = Field(
        default=(),
        description="Sensors that may be features though they define failures, or are copies of the target.",
    )

    @model_validator(mode="after")
    def values_differ(self) -> Self:
        """A value says one thing."""
        for words in (self.failure_values, self.healthy_values, *self.modes.values()):
            _different(words)
        both = {canonical(word) for word in self.failure_values} & {canonical(word) for word in self.healthy_values}
        if both:
            raise PydanticCustomError(
                "both_values", "{names} cannot be in failureValues and in healthyValues", {"names": ", ".join(both)}
            )
        _different(tuple(word for words in self.modes.values() for word in words))
        return self

    @model_validator(mode="after")
    def one_record(self) -> Self:
        """Failures are in columns or in a list."""
        given = [name for name in ("columns", "inverse", "failure_values", "healthy_values") if getattr(self, name)]
        if self.events is not None and given:
            raise PydanticCustomError("two_records", "events and {other} exclude each other", {"other": _key(given[0])})
        if self.healthy_values and not self.failed_words:
            raise PydanticCustomError("no_failure_values", "healthyValues needs failureValues")
        if self.columns and (unknown := [name for name in self.inverse if name not in self.columns]):
            raise PydanticCustomError(
                "unknown_column", "inverse names {name}, which is not in columns", {"name": unknown[0]}
            )
        return self

    @model_validator(mode="after")
    def modes_name_what_there_is(self) -> Self:
        """Groups are of values of a mode column, of columns, or of codes."""
        members = [word for words in self.modes.values() for word in words]
        if self.events is not None:
            if self.modes and self.events.mode_column is None:
                raise PydanticCustomError("no_mode_column", "modes groups values, and events.modeColumn is not given")
            return self
        allowed = self.columns or (self.failure_values and tuple(map(canonical, self.failure_values)))
        for word in members:
            if allowed and (word if self.columns else canonical(word)) not in allowed:
                guess = nearest(word, self.columns or self.failure_values)
                raise PydanticCustomError(
                    "unknown_member",
                    "modes names {name}, which is not in {key}{guess}",
                    {
                        "name": word,
                        "key": "columns" if self.columns else "failureValues",
                        "guess": f" (did you mean {guess}?)" if guess else "",
                    },
                )
        if self.modes and self.inverse and not self.columns:
            raise PydanticCustomError("inverse_codes", "a column in inverse has no codes for modes to group")
        if len(self.mode_names) > MOST_MODES:
            raise PydanticCustomError("too_many_modes", "there can be 31 modes at most; group columns in modes")
        return self

    @property
    def records_anything(self) -> bool:
        """Whether failures are recorded otherwise than in the target column."""
        return self.model_copy(update={"allow_as_features": ()}) != FailureConfig()

    @property
    def tables(self) -> dict[str, EventTable]:
        """The tables that are given, by key."""
        given = {"events": self.events, "maintenance": self.maintenance, "downtime": self.downtime}
        return {name: table for name, table in given.items() if table is not None}

    @property
    def failed_words(self) -> Words:
        """Codes that say failed: those listed, or the members of modes where these group codes."""
        if self.failure_values or self.columns or self.events is not None:
            return self.failure_values
        return tuple(word for words in self.modes.values() for word in words)

    @property
    def mode_names(self) -> tuple[str, ...]:
        """Modes that the configuration names, in order; those of a list are known once it has been read."""
        if self.events is not None:
            return tuple(self.modes)
        grouped = {word for words in self.modes.values() for word in words}
        single = self.columns if len(self.columns) > 1 or self.modes else ()
        if self.modes and not self.columns:
            known = {canonical(word) for word in grouped}
            single = tuple(word for word in self.failed_words if canonical(word) not in known)
        return tuple(dict.fromkeys([*self.modes, *(name for name in single if name not in grouped)]))

    @property
    def defining_columns(self) -> frozenset[str]:
        """Columns of the readings that say whether an asset has failed, beside targetColumn."""
        return frozenset({*self.columns, *self.inverse})


def _key(name: str) -> str:
    return {"failure_values": "failureValues", "healthy_values": "healthyValues"}.get(name, name)
