"""How the rows of a source are written, and which of them `dataRange` asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from ml.cleaning import clock
from ml.cleaning.columns import ColumnPlan
from ml.cleaning.notation.detection import Notation, notation_of
from ml.cleaning.parsing import clean_text, is_text, plain
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.ingest.sources.base import Keys, SlicedSource, Source
from ml.ingest.sources.times import is_text_type

_LOOKED_AT = 2_000  # rows
_DATE_ALONE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{8}|\d{1,2}[-./ ][A-Za-z]{3,9}[-./ ]\d{2,4}")
TIME_OF_DAY = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}([.,:]\d+)?)?( ?[AaPp][Mm])?")


def source_notation(source: Source, plan: ColumnPlan, config: OrganizationConfig) -> Notation:
    """As `ml.cleaning.notation.detection.notation_of`; of a database only columns of text are looked at."""
    texts = set(plan.source_columns)
    base = source.base
    if isinstance(base, SlicedSource):
        named = [name for name in plan.source_columns if name in base.columns()]
        texts = {name for name, kind in base.types(named).items() if is_text_type(kind)}

    def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        chosen = [name for name in names if name in texts]
        if chosen:
            yield from source.read(chosen, time_column=plan.timestamp, within=TimeRange())

    if source is base and not isinstance(base, SlicedSource) and config.format_config.time_of_day_column is None:
        _refuse_split_times(source, plan)
    schema = config.schema_config
    return notation_of(plan, config.format_config, config.data_config.zone, read, schema.categorical_columns)


def notation_kept(summary: Mapping[str, Any]) -> dict[str, str]:
    """What a model keeps of a data summary's ``notation``: short files read later may not tell it by themselves."""
    found: Mapping[str, Any] = summary.get("notation", {})
    return {key: found[key] for key in ("timestampFormat", "decimalMark", "thousandsMark") if key in found}


def _refuse_split_times(source: Source, plan: ColumnPlan) -> None:
    """Dates alone, beside a column of times of day: all rows of a day would be taken for one instant."""
    unused = [name for name in source.columns() if name not in plan.source_columns]
    dates = first_texts(source, [plan.timestamp], plan.timestamp).get(plan.timestamp, set())
    if not unused or not dates or not all(_DATE_ALONE.fullmatch(text) for text in dates):
        return
    for name, texts in first_texts(source, unused, plan.timestamp).items():
        if len(texts) > 1 and all(TIME_OF_DAY.fullmatch(text) for text in texts):
            raise DataError(
                f'the time column "{plan.timestamp}" holds dates alone, such as {min(dates)!r}, '
                f'and the column "{name}" times of day, such as {min(texts)!r}',
                field="formatConfig.timeOfDayColumn",
                hint=f'set formatConfig.timeOfDayColumn to "{name}"',
            )


def first_texts(source: Source, names: Sequence[str], time_column: str) -> dict[str, set[str]]:
    """Different texts in the first rows of columns, those without text left out."""
    texts: dict[str, set[str]] = {}
    with closing(source.read(names, time_column=time_column, within=TimeRange())) as batches:  # type: ignore[type-var]
        first = next(batches, None)
    for name, column in zip(names, [] if first is None else first.slice(0, _LOOKED_AT).columns, strict=False):
        column = plain(column)
        if is_text(column.type):
            texts[name] = {text for text in clean_text(column).to_pylist() if text is not None}
    return texts


def time_range(config: OrganizationConfig, source: Source, plan: ColumnPlan, notation: Notation) -> TimeRange:
    """The rows that are asked for; `last` reaches back from the newest plausible time of the source."""
    asked, zone, end = config.data_range, config.data_config.zone, end_of_range(config)
    start = None if asked.start_date is None else clock.instant(asked.start_date, zone)
    if asked.last_seconds is not None:
        newest = end if end is not None else _newest(source, plan, notation, zone)
        start = None if newest is None else newest - asked.last_seconds * 1_000_000
    return TimeRange(start, end)


def end_of_range(config: OrganizationConfig) -> int | None:
    """The instant after the last that is asked for."""
    end = config.data_range.end_date
    return None if end is None else clock.instant(end, config.data_config.zone)


def _newest(source: Source, plan: ColumnPlan, notation: Notation, zone: str) -> int | None:
    """The newest plausible time; of a database that can compare times, its last rows tell."""
    axis = source.axis(plan.timestamp) if isinstance(source, SlicedSource) and notation.times.is_default else None
    if isinstance(source, SlicedSource) and axis is not None and (extent := source.bounds(axis)) is not None:
        step = axis.granularity
        start, end = (extent[1] - 2 * axis.margin) // step * step, (extent[1] // step + 1) * step
        newest = _latest(source.stream([plan.timestamp], Keys(axis, start, end)), notation, zone)
        if newest is not None:
            return newest
    return _latest(source.read([plan.timestamp], time_column=plan.timestamp, within=TimeRange()), notation, zone)


def _latest(batches: Iterator[pa.RecordBatch], notation: Notation, zone: str) -> int | None:
    latest: int | None = None
    for batch in batches:
        times = plain(batch.column(0))
        time = notation.times.to_microseconds(times, zone, batch.schema.names[0])
        time = time[(time != clock.UNREADABLE) & ~notation.times.implausible(time, times)]
        if len(time):
            latest = max(latest or clock.EARLIEST, int(np.max(time)))
    return latest
