"""What each column of a sample is: a time, a number, a two-state signal, words, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Int64s
from ml.cleaning import clock
from ml.cleaning.likely_causes import likely_time_format
from ml.cleaning.notation.detection import Notation, find_times, is_marked, two_numbers
from ml.cleaning.notation.numbers import NUMBER_LIKE, Evidence, NumberFormat, formats_of
from ml.cleaning.notation.times import TimeFormat
from ml.cleaning.parsing import clean_text, is_text, to_flags
from ml.errors import DataError
from ml.ingest.source_notation import TIME_OF_DAY
from ml.inspect.sample import Sample
from ml.options.access.file_format import NUMBERED_TIMES, FormatConfig

Kind = Literal[
    "time", "time of day", "number", "two-state", "words", "text", "row number", "constant", "empty", "other"
]

TIME_NAME = re.compile(r"time|date|datum|zeit|stamp|fecha|heure|hora|uhr|^ts$|^dt$", re.IGNORECASE)
_MOSTLY = 0.9
_SHOWN = 3
_MOST_WORDS = 50
_MOST_CODES = 10
_ZONE = "UTC"  # a zone moves times, and does not change what a column is


@dataclass(frozen=True)
class Column:
    """One column of the sample."""

    name: str
    kind: Kind
    missing: float = 0.0  # share of the rows without a value, words for nothing included
    distinct: int = 0  # different values
    examples: tuple[str, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)
    """Values with the number of rows, of columns of texts, two-state signals and codes."""
    times: Int64s | None = None  # of times, in microseconds
    format: TimeFormat | None = None  # of times; of numbers that are times it is a guess by their size
    trouble: DataError | None = None  # why a column that looks like times or numbers cannot be read for certain

    def to_json(self) -> dict[str, Any]:
        """What is told of the column."""
        return {
            "name": self.name,
            "kind": self.kind,
            "missingShare": round(self.missing, 4),
            "distinctValues": self.distinct,
            "examples": list(self.examples),
        }


def describe_columns(sample: Sample, told: FormatConfig) -> list[Column]:
    """Every column of a sample."""
    evidence = {name: Evidence() for name in sample.columns() if is_text(sample.table.schema.field(name).type)}
    if any(is_marked(_array(sample, name)) for name in evidence):
        for name, found in evidence.items():
            found.add(_array(sample, name))
    formats, undecided = formats_of(evidence)
    marks = NumberFormat(told.decimal_mark or ".", told.thousands_mark)
    if told.decimal_mark is not None or told.thousands_mark is not None:
        formats, undecided = dict.fromkeys(evidence, marks), []
    notation = Notation(numbers=formats)
    trouble = {name: two_numbers(name, evidence[name].example) for name in undecided}
    return [
        _describe(name, _array(sample, name), notation, told, sample.read_all, trouble.get(name))
        for name in sample.columns()
    ]


def _array(sample: Sample, name: str) -> pa.Array:
    column = sample.table.column(name).combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column


def _describe(
    name: str, column: pa.Array, notation: Notation, told: FormatConfig, read: Any, trouble: DataError | None
) -> Column:
    try:
        known = clean_text(column).drop_null()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return Column(name, "other", examples=(str(column.type),))
    found = pc.value_counts(known)
    counted = dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
    about: dict[str, Any] = {
        "missing": 1 - len(known) / max(1, len(column)),
        "distinct": len(counted),
        "examples": tuple(value[:60] for value in list(counted)[:_SHOWN]),
    }
    if not counted:
        return Column(name, "empty", **about)
    if (time := _as_time(name, column, told, read)) is not None:
        return Column(name, "time", times=time[1], format=time[0], trouble=time[2], **about)
    if all(TIME_OF_DAY.fullmatch(value) for value in list(counted)[:1000]):
        return Column(name, "time of day", **about)
    few = len(counted) <= _MOST_WORDS
    if few and not pa.types.is_temporal(column.type):
        flags, strange = to_flags(column, name)
        if not strange.any():
            kind: Kind = "two-state" if len(np.unique(flags[~np.isnan(flags)])) == 2 else "constant"
            return Column(name, kind, words=counted, **about)
    if trouble is not None and len(known.filter(pc.match_substring_regex(known, NUMBER_LIKE))) > len(known) / 2:
        return Column(name, "number", trouble=trouble, **about)
    values, unreadable = notation.read(column, name)
    unreadable &= ~notation.null_values(column, values, unreadable)
    if np.isfinite(values).sum() > unreadable.sum():
        about["missing"] = 1 - float(np.isfinite(values).mean())
        different = np.unique(values[np.isfinite(values)])
        numbered = len(values) > 2 and bool((np.diff(values) == 1).all())
        kind = "constant" if len(different) < 2 else "row number" if numbered else "number"
        codes = len(different) <= _MOST_CODES and bool((different % 1 == 0).all())
        return Column(name, kind, words=counted if codes else {}, trouble=trouble, **about)
    return Column(name, "words" if few else "text", words=counted, trouble=trouble, **about)


def _as_time(
    name: str, column: pa.Array, told: FormatConfig, read: Any
) -> tuple[TimeFormat, Int64s, DataError | None] | None:
    """How a column is read as times, if nearly all values are plausible ones; numbers only under a name for times."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return TimeFormat(), clock.to_microseconds(column, _ZONE, name), None
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (is_text(kind) or numeric):
        return None
    numeric = numeric or bool(pc.all(pc.match_substring_regex(clean_text(column).drop_null(), r"^[\d.,+-]+$")).as_py())
    if numeric and not TIME_NAME.search(name):
        return None
    form, trouble = TimeFormat(told.timestamp_format or "iso"), None
    if told.timestamp_format is None:
        try:
            form = find_times(name, _ZONE, read)
        except DataError as failure:
            forms = re.findall(r'"([^"]*%[^"]*)"', failure.hint or "")
            form, trouble = TimeFormat(forms[0]), failure
        if numeric and form.is_default and (named := _named_numbers(column)) is not None:
            form = TimeFormat(named)
    time = form.to_microseconds(column, _ZONE, name)
    usable = (time != clock.UNREADABLE) & ~form.implausible(time, column)
    enough = usable.sum() >= _MOSTLY * max(1, len(column) - column.null_count)
    return (form, np.where(usable, time, clock.UNREADABLE), trouble) if enough else None


def _named_numbers(column: pa.Array) -> str | None:
    """The name of the kind of numbers that are no Unix epoch and seem to be times."""
    examples = [str(value) for value in column.drop_null().slice(0, 1_000).to_pylist()]
    meaning = likely_time_format(examples)
    time = clock.to_microseconds(column, _ZONE, "")
    usable = (time != clock.UNREADABLE) & ~clock.implausible(time, column)
    if usable.mean() > 1 - _MOSTLY:
        return None
    return next((name for name, words in NUMBERED_TIMES.items() if words == meaning), None)
