"""What a source's first rows, and where those leave it open all of them, say about how it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Float64s
from ml.cleaning.columns import ColumnPlan
from ml.cleaning.flags import Flag
from ml.cleaning.notation.dates import DateFormats, TwoReadings
from ml.cleaning.notation.numbers import MARKED, Evidence, NumberFormat, formats_of
from ml.cleaning.notation.times import TimeFormat
from ml.cleaning.parsing import clean_text, is_text, plain, to_numbers
from ml.errors import DataError
from ml.options.access.file_format import FormatConfig

Read = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
"""Streams the named columns from the first row on."""

SAMPLE_ROWS = 20_000
NULL_WORDS = frozenset(
    {"bad", "bad input", "bad data", "bad quality", "no data", "nodata", "i/o timeout", "comm fail", "not connect"}
    | {"not connected", "pt created", "no sample", "under range", "over range", "inp outrange", "out of serv"}
    | {"scan off", "scan timeout", "calc failed", "calc off", "no result", "not available", "no good data", "missing"}
    | {"invalid", "undefined", "n.a.", "nil", "\\n", "<null>", "-", "--", "---", "?", "#n/a", "#value!", "#ref!"}
    | {"#div/0!", "#name?", "#num!", "#null!", "-nan", "1.#qnan", "-1.#ind", "nan(ind)", "-nan(ind)"}
)
"""What historians, loggers and spreadsheets write where there is no value, in lower case."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Notation:
    """How the columns of a source are written."""

    times: TimeFormat = field(default_factory=TimeFormat)  # of the time column
    numbers: Mapping[str, NumberFormat] = field(default_factory=dict)
    """By column of the source; those that are not there are written with a decimal point."""
    null_words: frozenset[str] = NULL_WORDS  # texts, in lower case, that stand for no value of a sensor
    null_numbers: frozenset[float] = frozenset()  # numbers that do
    found: Mapping[str, Any] = field(default_factory=dict)  # what was found out, and not told, for the data summary

    def read(
        self, column: pa.Array, source: str, parse: Callable[[pa.Array, str], tuple[Float64s, Bools]] = to_numbers
    ) -> tuple[Float64s, Bools]:
        """A column as `ml.cleaning.parsing.to_numbers` or `to_flags` gives it, by the column's own marks."""
        form = self.numbers.get(source)
        if form is None or not is_text(column.type):
            return parse(column, source)
        text, foreign = form.with_point(column)
        values, unreadable = parse(text, source)
        return np.where(foreign, np.nan, values), unreadable | foreign

    def read_flag(self, column: pa.Array, flag: Flag) -> tuple[Float64s, Bools]:
        """A column as `flag` reads it."""
        return self.read(column, flag.source, lambda text, _: flag.read(text))

    def null_values(self, column: pa.Array, values: Float64s, unreadable: Bools) -> Bools:
        """Which of a sensor's values stand for none: words among those that are `unreadable`, and numbers."""
        nulls = self.null_words_in(column, unreadable)
        return nulls | np.isin(values, list(self.null_numbers)) if self.null_numbers else nulls

    def null_words_in(self, column: pa.Array, unreadable: Bools) -> Bools:
        """Which of the values that are `unreadable` are words for none."""
        nulls = np.zeros(len(unreadable), np.bool_)
        if unreadable.any() and is_text(column.type):
            lower = pc.utf8_lower(pc.utf8_trim_whitespace(column.filter(pa.array(unreadable))))
            words = pc.is_in(lower, value_set=pa.array(sorted(self.null_words)))
            nulls[np.flatnonzero(unreadable)[words.to_numpy(zero_copy_only=False)]] = True
        return nulls


def notation_of(
    plan: ColumnPlan, form: FormatConfig, zone: str, read: Read | None, words: Collection[str] = ()
) -> Notation:
    """How a source is written: as `form` says, else as its rows show.

    Raises DataError if the times or the numbers can be read in two ways, and no row tells which; names the key that
    does.

    Parameters
    ----------
    plan
        Columns of the source and their parts.
    zone
        IANA zone of times that carry none.
    read
        Streams columns of the source. None: nothing can be found out.
    words
        Sensors that are columns of words.
    """
    values = _value_columns(plan, words)
    nothing = {word.strip().lower() for word in form.null_words}
    told = Notation(
        times=TimeFormat() if form.timestamp_format is None else TimeFormat(form.timestamp_format),
        numbers=_told_numbers(values, form),
        null_words=NULL_WORDS | nothing,
        null_numbers=frozenset(number for word in nothing if (number := _as_number(word)) is not None),
    )
    if read is None:
        return told
    found: dict[str, Any] = {}
    times, numbers = told.times, told.numbers
    if form.timestamp_format is None:
        times = find_times(plan.timestamp, zone, read)
        if not times.is_default:
            found["timestampFormat"] = times.name
    if form.decimal_mark is None and form.thousands_mark is None and values:
        numbers = find_numbers(values, read)
        if numbers:
            found |= _marks(numbers)
    return Notation(times, numbers, told.null_words, told.null_numbers, found)


def _told_numbers(columns: list[str], form: FormatConfig) -> dict[str, NumberFormat]:
    told = NumberFormat(form.decimal_mark or ".", form.thousands_mark)
    return {} if told.is_default else dict.fromkeys(columns, told)


def _value_columns(plan: ColumnPlan, words: Collection[str]) -> list[str]:
    """Columns that are read as numbers; those of words are not."""
    flags = [flag.source for flag in plan.flags if flag.failed is None]
    sensors = [source for name, source in plan.sensors.items() if name not in words]
    return list(dict.fromkeys([*sensors, *flags]))


def _as_number(word: str) -> float | None:
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return None


def find_times(column: str, zone: str, read: Read, key: str = "formatConfig.timestampFormat") -> TimeFormat:
    """The format of a time column; the default where none is certain; raises as `notation_of`, and names `key`."""
    formats = DateFormats(zone)
    for batch in _sample(read([column])):
        formats.add(_texts(batch.column(0)))
    found = formats.result()
    if isinstance(found, TwoReadings):
        found = _ask_all_rows(read([column]), DateFormats(zone))
    if isinstance(found, TwoReadings):
        readings = [f"{form.name} ({_day(form, found.example)})" for form in found.formats]
        raise DataError(
            f'times such as "{found.example}" of the time column "{column}" can be read as '
            f"{' or as '.join(readings)}, and no row tells which",
            field=key,
            hint=f"set {key} to " + " or ".join(f'"{form.name}"' for form in found.formats),
        )
    return found


def _ask_all_rows(batches: Iterator[pa.RecordBatch], formats: DateFormats) -> TimeFormat | TwoReadings:
    """The result as soon as a row decides."""
    found: TimeFormat | TwoReadings = TimeFormat()
    with closing(batches):  # type: ignore[type-var]
        for batch in batches:
            formats.add(_texts(batch.column(0)))
            found = formats.result()
            if not isinstance(found, TwoReadings):
                break
    return found


def _day(form: TimeFormat, example: str) -> str:
    """The day that an example is, as nobody mistakes it."""
    day = datetime.fromtimestamp(int(form.to_microseconds(pa.array([example]), "UTC", "")[0]) / 1e6, UTC)
    return f"{day.day} {day:%B %Y}"


def find_numbers(columns: list[str], read: Read) -> dict[str, NumberFormat]:
    """The formats of columns that are not written with a decimal point alone; raises as `notation_of`."""
    sample = list(_sample(read(columns)))
    if not any(is_marked(plain(column)) for batch in sample for column in batch.columns):
        return {}
    evidence: dict[str, Evidence] = {name: Evidence() for name in columns}
    for batch in sample:
        _take(batch, evidence)
    formats, undecided = formats_of(evidence)
    if undecided:
        evidence = {name: Evidence() for name in columns}
        batches = read(columns)
        with closing(batches):  # type: ignore[type-var]
            for batch in batches:
                _take(batch, evidence)
                formats, undecided = formats_of(evidence)
                if not undecided:
                    break
    if undecided:
        raise two_numbers(undecided[0], evidence[undecided[0]].example)
    return formats


def two_numbers(column: str, example: str) -> DataError:
    """The refusal of a column of numbers with two readings."""
    return DataError(
        f'values such as "{example}" of the column "{column}" can be {example.replace(",", "").replace(".", "")} or '
        f"{example.replace(',', '.')}, and no value tells which",
        field="formatConfig.decimalMark",
        hint='set formatConfig.decimalMark to "," or to ".", and then thousandsMark to the other',
    )


def is_marked(column: pa.Array) -> bool:
    """Whether a column holds texts that need a format to be numbers."""
    return is_text(column.type) and bool(pc.any(pc.match_substring_regex(column, MARKED)).as_py())


def _take(batch: pa.RecordBatch, evidence: dict[str, Evidence]) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        text = plain(column)
        if is_text(text.type):
            evidence[name].add(text)


def _marks(formats: Mapping[str, NumberFormat]) -> dict[str, Any]:
    """The marks of most columns, by key of the configuration."""
    form, _ = Counter(formats.values()).most_common(1)[0]
    marks = {"decimalMark": form.decimal, "thousandsMark": form.thousands}
    return {key: mark for key, mark in marks.items() if mark is not None}


def _sample(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = 0
    with closing(batches):  # type: ignore[type-var]
        for batch in batches:
            yield batch.slice(0, SAMPLE_ROWS - rows)
            rows += batch.num_rows
            if rows >= SAMPLE_ROWS:
                return


def _texts(column: pa.Array) -> pa.Array:
    """Texts and whole numbers as text; of any other type nothing, as it needs no format."""
    column = plain(column)
    if is_text(column.type) or pa.types.is_integer(column.type):
        return clean_text(column)
    return pa.nulls(0, pa.string())
