"""What was odd about the rows of a source on the way in, as findings and sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ml.cleaning.counts import Counts
from ml.cleaning.likely_causes import WORDS, cause_of_unreadable, likely_time_format
from ml.cleaning.refusals import shown, words_seen
from ml.findings import Finding
from ml.ingest.summary.mixed_machines import FIELD as ASSET_COLUMN
from ml.ingest.summary.mixed_machines import MACHINES_SHOWN
from ml.ingest.summary.wording import Told, names_of, percent
from ml.options.base import first_of
from ml.options.schema import SchemaConfig
from ml.wording import plural

MUCH_UNREADABLE = 0.01  # share of a sensor's values; a single odd cell in a long history is told, and is no finding


def tell_reading(counts: Counts, schema: SchemaConfig, label_column: str | None) -> Told:
    """Everything that was odd, the weightiest first."""
    yield from counts.layout
    yield from _machines(counts, schema.asset_column)
    yield from _times(counts)
    yield from _rows(counts)
    yield from _conflicts(counts, {"target": schema.target_column, "label": label_column})
    yield from _values(counts)
    yield from _notation(counts)


def findings_of_reading(counts: Counts, schema: SchemaConfig) -> list[Finding]:
    """Those findings alone, of readings without a target."""
    return [told for told in tell_reading(counts, schema, None) if isinstance(told, Finding)]


def _machines(counts: Counts, asset_column: str | None) -> Told:
    """Columns that seem to name machines and are not used."""
    for column, names in counts.machine_columns.items():
        if asset_column is None:
            yield Finding(
                "MACHINES_MIXED",
                f'All rows are read as one machine, and the column "{column}" seems to name {len(names):,} '
                f"({first_of(names, MACHINES_SHOWN)}).",
                ASSET_COLUMN,
                f'set schemaConfig.assetColumn to "{column}" if it does',
            )
        else:
            yield Finding(
                "MACHINES_MIXED",
                f'Rows of one asset and instant disagree, and the column "{column}" tells them apart '
                f"({first_of(names, MACHINES_SHOWN)}).",
                ASSET_COLUMN,
                "name a column in schemaConfig.assetColumn that tells all machines apart",
            )


def _times(counts: Counts) -> Told:
    if counts.odd_times:
        form = likely_time_format(counts.time_examples)
        implausible = f", {counts.implausible_times:,} of them of a year before 1990 or after next year"
        yield Finding(
            "TIMES_UNUSABLE",
            f"{plural(counts.odd_times, 'row')} of {counts.rows_read:,} have no usable time and were left out"
            + (implausible if counts.implausible_times else "")
            + f", such as {shown(counts.time_examples)}"
            + (f"; they look like {form}." if form else "."),
            "schemaConfig.timestampColumn",
            "write all times in one way" if form else None,
        )
    if counts.newest_first:
        yield "The newest row comes first in the source; rows were sorted by time."
    if counts.clock_steps:
        yield Finding(
            "CLOCK_SET_BACK",
            f"A clock was set back {plural(counts.clock_steps, 'time')}; the rows were sorted by what they say, "
            "and of two at one instant the later one counted.",
            "schemaConfig.timestampColumn",
        )


def _rows(counts: Counts) -> Iterator[str]:
    empty = counts.unreadable_times + counts.implausible_times - counts.odd_times
    for number, meaning in (
        (empty, "have no time and were left out"),
        (counts.without_asset, "name no asset and were left out"),
        (counts.duplicates, "repeat a time of the same asset and were merged with it"),
        (counts.out_of_order, "came out of order in time and were sorted"),
    ):
        if number > 0:
            yield f"{number:,} of {counts.rows_read:,} rows {meaning}."


def _conflicts(counts: Counts, names: dict[str, str | None]) -> Told:
    if counts.conflicts:
        conflicts = {names.get(name) or name: count for name, count in counts.conflicts.items()}
        listed = [f"{name} at {plural(count, 'instant')}" for name, count in conflicts.items()]
        flags = [name for name in names.values() if name and name in conflicts]
        rule = f" Of {' and '.join(flags)} any 1 counted." if flags else ""
        yield Finding(
            "ROWS_DISAGREE",
            f"Rows of one asset and instant disagree: {names_of(listed)}"
            + (f" (first {counts.conflict_example})" if counts.conflict_example else "")
            + f". Of a sensor the last value counted.{rule}",
            None,
            "keep one row per asset and instant",
        )


def _values(counts: Counts) -> Told:
    for name, count in counts.unreadable.items():
        examples = counts.unreadable_examples.get(name, {})
        if name in counts.flag_columns:
            yield Finding(
                "TARGET_NOT_UNDERSTOOD",
                f"{name} has {plural(count, 'value')} that {_are(count)} neither "
                f"{'failed nor healthy' if name in counts.words else '0 nor 1'}: {words_seen(examples)}. "
                "These rows are unknown, and like those before them not learned from.",
                "failureConfig.healthyValues" if name in counts.words else "schemaConfig.targetColumn",
                "name them in failureConfig.failureValues or healthyValues, if they are either"
                if name in counts.words
                else "write 1 while the asset is failed and 0 while it is not",
            )
        elif name in counts.word_columns:
            yield Finding(
                "WORDS_UNKNOWN",
                f"{name} has {plural(count, 'value')} that {_are(count)} none of its words: {words_seen(examples)}; "
                "treated as missing.",
                f"schemaConfig.categoricalColumns.{name}",
                "add them to its words and train again, if they will come again",
            )
        elif count > MUCH_UNREADABLE * (count + counts.readable.get(name, 0)):
            cause, advice = cause_of_unreadable(examples)
            share = count / (count + counts.readable.get(name, 0))
            if cause == WORDS and share < 0.5:
                advice = "leave the cell empty where there is no value"
            yield Finding(
                "VALUES_UNREADABLE",
                f"{name} has {plural(count, 'value')} that cannot be read ({percent(share)}), such as "
                f"{shown(examples)}; they look like {cause} and were treated as missing.",
                name,
                advice,
            )
        else:
            yield f"{name} has {plural(count, 'value')} that cannot be read; treated as missing."
    for name, count in counts.infinite.items():
        yield f"{name} has {plural(count, 'infinite value')}; treated as missing."
    for name, count in counts.out_of_range.items():
        yield f"{name} has {plural(count, 'value')} outside its validRange; treated as missing."


def _notation(counts: Counts) -> Iterator[str]:
    """How the source is written, as far as it was found out and does not go without saying."""
    words = [word(value) for key, word in _NOTATION.items() if (value := counts.notation.get(key)) is not None]
    if words:
        yield f"Found out from the source itself: {names_of(words)}."
    if footer := counts.notation.get("footer"):
        yield f"Left out at the end of the file: {shown(dict.fromkeys(footer, 1))}."
    if counts.null_values:
        listed = [f"{count:,} of {name}" for name, count in counts.null_values.items()]
        yield f"Words and numbers that stand for no value were read as missing: {names_of(listed)}."


_MARKS: dict[str, str] = {
    ",": "a comma",
    ".": "a point",
    ";": "a semicolon",
    "\t": "a tab",
    "|": "a bar",
    "'": "an apostrophe",
    " ": "a blank",
}
_NOTATION: dict[str, Callable[[Any], str]] = {
    "encoding": lambda name: f"text in {name}",
    "delimiter": lambda mark: f"{_MARKS.get(mark, repr(mark))} between values",
    "skipRows": lambda lines: f"{plural(lines, 'line')} above the header",
    "openEnd": lambda _: "a mark at the end of each line",
    "unitsRow": lambda _: "units below the header",
    "commentPrefix": lambda mark: f"comments after {mark}",
    "timestampFormat": lambda form: f"times as {form}",
    "decimalMark": lambda mark: f"{_MARKS[mark]} before decimals",
    "thousandsMark": lambda mark: f"{_MARKS[mark]} between thousands",
}


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
