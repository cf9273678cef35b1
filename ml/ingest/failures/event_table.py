"""Events in a table of their own: failures, maintenance, downtime, read and cleaned as readings are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic.alias_generators import to_camel

from ml.arrays import Bools, Int64s
from ml.cleaning import clock
from ml.cleaning.collector import ONLY_ASSET
from ml.cleaning.flags import words
from ml.cleaning.likely_causes import likely_time_format
from ml.cleaning.notation.times import TimeFormat
from ml.cleaning.parsing import clean_text, plain
from ml.cleaning.refusals import MOST_ODD_TIMES, shown, words_seen
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError, EagleError, NoRowsError
from ml.ingest.sources import open_table
from ml.ingest.sources.base import Source
from ml.ingest.sources.times import times_of
from ml.options.base import missing_column
from ml.options.failures import EventTable, canonical

UNNAMED_MODE = "unnamed"
"""Mode of an event whose cell is empty."""
_NO_EVENTS = pd.DataFrame(
    {
        "asset": pd.Series([], dtype="str"),
        "start": np.zeros(0, dtype=np.int64),
        "end": np.zeros(0, dtype=np.int64),
        "mode": pd.Series([], dtype="str"),
    }
)
_EXAMPLES = 4


@dataclass
class EventCounts:
    """What happened to the rows of a table of events."""

    rows: int = 0
    not_included: int = 0
    without_start: int = 0
    """Rows left out because their start is missing or cannot be read."""
    without_asset: int = 0
    duplicates: int = 0
    """Rows that say what another row says."""
    without_end: int = 0
    """Events whose end is missing or cannot be read; they take one grid row."""
    unreadable_ends: int = 0
    """Those of them that have one, of an impossible year included."""
    end_before_start: int = 0
    """The same, of events that would end before they start."""
    overlapping: int = 0
    """Events that start before another of the same asset and mode has ended."""
    at_midnight: int = 0
    """Events that start at midnight by the clock of the list."""
    dated: int = 0
    """Events with a start and an asset."""
    local_times: int = 0
    """Events whose start names no time zone."""
    unknown_assets: dict[str, int] = field(default_factory=dict)
    """Events by the name of an asset that has no readings."""
    before: int = 0
    """Events that were over before the first reading of their asset."""
    after: int = 0
    """Events that began so long after the last reading of their asset that no row tells of them."""
    used: int = 0

    def to_json(self) -> dict[str, Any]:
        """The figures, with camelCase keys."""
        return {to_camel(name): value for name, value in vars(self).items()}


@dataclass(frozen=True)
class ListedEvents:
    """Events by asset and time, each once; of a table with `texts` in the table's order.

    Attributes
    ----------
    events
        ``asset`` (as the readings name it), ``start``, ``end`` (microseconds; the start where there is no end) and
        ``mode`` (text; empty where no column says), and the table's `texts`.
    where
        The table in words.
    """

    events: pd.DataFrame
    counts: EventCounts
    where: str


def read_events(config: OrganizationConfig, table: EventTable, field: str, *, before: int | None) -> ListedEvents:
    """The events of a table.

    Raises MissingColumnError, DataError, NoRowsError, SourceError, ConfigError, IsolationError as opening and reading a
    source; also if no row fits `include`, or too many have no readable start.

    Parameters
    ----------
    field
        Key of the table in the configuration, for messages.
    before
        Instant (microseconds) that no event may start at or after; those count as after the readings.
    """
    try:
        with closing(open_table(config, table, field)) as source:
            return _read(source, config, table, field, before)
    except EagleError as error:
        # What opens a source speaks of the readings' own keys.
        error.field = {"dataSource.path": f"{field}.path", "scadaDbConfig.table": f"{field}.table"}.get(
            error.field or "", error.field
        )
        raise


def _read(
    source: Source, config: OrganizationConfig, table: EventTable, field: str, before: int | None
) -> ListedEvents:
    asset = _asset_column(source, config, table, field)
    named = ("start_column", "end_column", "mode_column", *(f"{name}_column" for name in table.texts))
    _require(source, field, **{key_of(table, name): getattr(table, name) for name in named})
    _require(source, field, **{f"include.{name}": name for name in table.include})
    columns = dict.fromkeys(
        [table.start_column, table.end_column, asset, table.mode_column, *table.include, *table.texts.values()]
    )
    names = [name for name in columns if name is not None]
    zone = table.timezone or config.data_config.zone
    times = {
        name: times_of(source, name, table.timestamp_format, zone, f"{field}.timestampFormat")
        for name in (table.start_column, table.end_column)
        if name is not None
    }
    counts, parts = EventCounts(), []
    seen: dict[str, Counter[str]] = {name: Counter() for name in table.include}
    odd: Counter[str] = Counter()
    for batch in source.read(names, time_column=table.start_column, within=TimeRange()):
        counts.rows += batch.num_rows
        kept = batch.filter(pa.array(_included(batch, table, seen)))
        counts.not_included += batch.num_rows - kept.num_rows
        parts.append(_events(kept, config, table, times, asset, counts, odd))
    if counts.rows == 0 and table.may_be_empty:
        none = _NO_EVENTS.assign(**{name: pd.Series([], dtype="str") for name in table.texts})
        return ListedEvents(none, counts, source.where)
    if counts.rows == 0:
        raise NoRowsError(f"{source.where} has no rows", field=field, hint="check that it is the right table or file")
    if counts.rows == counts.not_included:
        held = "; ".join(f"{name} holds {words_seen(found)}" for name, found in seen.items())
        raise DataError(f"no row of {source.where} fits {field}.include: {held}", field=f"{field}.include")
    _refuse_times(source, table, field, counts, odd)
    events = pd.concat(parts, ignore_index=True)
    if before is not None:
        counts.after = int((events["start"] >= before).sum())
        events = events[events["start"] < before]
    different = events.drop_duplicates(keep="last", ignore_index=True)
    counts.duplicates = len(events) - len(different)
    if table.texts:  # what is said later may count, and the table's order tells what was
        return ListedEvents(different, counts, source.where)
    ordered = different.sort_values(["asset", "start", "end", "mode"], kind="stable", ignore_index=True)
    counts.overlapping = _overlapping(ordered)
    return ListedEvents(ordered, counts, source.where)


def _asset_column(source: Source, config: OrganizationConfig, table: EventTable, field: str) -> str | None:
    """The column that names machines; None if the organisation has one."""
    schema, available = config.schema_config, source.columns()
    if table.asset_column is not None:
        _require(source, field, assetColumn=table.asset_column)
        return table.asset_column
    if schema.asset_column is None:
        return None
    in_readings = next((old for old, new in schema.column_mapping.items() if new == schema.asset_column), None)
    found = next((name for name in (schema.asset_column, in_readings) if name in available), None)
    if found is None:
        _require(source, field, assetColumn=schema.asset_column)
    return found


def key_of(table: EventTable, name: str) -> str:
    """The JSON key of a table's setting, which is not the same for every kind of table."""
    return type(table).model_fields[name].alias or name


def _require(source: Source, field: str, **columns: str | None) -> None:
    available = source.columns()
    for key, name in columns.items():
        if name is not None and name not in available:
            raise missing_column(source.where, name, available, f"{field}.{key}")


def _included(batch: pa.RecordBatch, table: EventTable, seen: dict[str, Counter[str]]) -> Bools:
    keep = np.ones(batch.num_rows, dtype=np.bool_)
    for name, wanted in table.include.items():
        text = pc.fill_null(words(plain(batch.column(name)), name), "")
        encoded = text.dictionary_encode()
        known = encoded.dictionary.to_pylist()
        seen[name].update(dict(zip(known, _counted(encoded, len(known)), strict=True)))
        fits = np.array([canonical(word) in {canonical(each) for each in wanted} for word in known], dtype=np.bool_)
        keep &= fits[encoded.indices.to_numpy(zero_copy_only=False)] if len(known) else False
    return keep


def _counted(encoded: pa.DictionaryArray, size: int) -> list[int]:
    counts: list[int] = np.bincount(encoded.indices.to_numpy(zero_copy_only=False), minlength=size).tolist()
    return counts


def _events(
    batch: pa.RecordBatch,
    config: OrganizationConfig,
    table: EventTable,
    times: Mapping[str, TimeFormat],
    asset: str | None,
    counts: EventCounts,
    odd: Counter[str],
) -> pd.DataFrame:
    zone = table.timezone or config.data_config.zone
    starts = plain(batch.column(table.start_column))
    form = times[table.start_column]
    start = form.to_microseconds(starts, zone, table.start_column)
    readable = (start != clock.UNREADABLE) & ~form.implausible(start, starts)
    written = starts.is_valid().to_numpy(zero_copy_only=False)
    for value in starts.filter(pa.array(~readable & written))[:_EXAMPLES].to_pylist():
        odd[str(value)] += 1
    counts.without_start += int((~readable).sum())
    names = _names(batch, asset, table)
    named = np.array([name is not None for name in names], dtype=np.bool_)
    counts.without_asset += int((readable & ~named).sum())
    keep = readable & named
    counts.dated += int(keep.sum())
    counts.at_midnight += _at_midnight(start[keep], zone)
    counts.local_times += int((keep & times[table.start_column].carries_no_zone(starts)).sum())
    return pd.DataFrame(
        {
            "asset": pd.Series(names, dtype="str"),
            "start": start,
            "end": _ends(batch, table, times, zone, start, keep, counts),
            "mode": pd.Series(_modes(batch, table), dtype="str"),
            **{
                name: pd.Series(words(plain(batch.column(column)), column).fill_null("").to_pylist(), dtype="str")
                for name, column in table.texts.items()
            },
        }
    )[keep]


def _at_midnight(start: Int64s, zone: str) -> int:
    local = pd.to_datetime(start, unit="us", utc=True).tz_convert(zone)
    return int((local == local.normalize()).sum())


def _names(batch: pa.RecordBatch, column: str | None, table: EventTable) -> list[str | None]:
    """Machines as the readings name them, None where there is none."""
    if column is None:
        return [ONLY_ASSET] * batch.num_rows
    return [
        table.assets.get(name, name) if name else None
        for name in words(plain(batch.column(column)), column).to_pylist()
    ]


def _ends(
    batch: pa.RecordBatch,
    table: EventTable,
    times: Mapping[str, TimeFormat],
    zone: str,
    start: Int64s,
    keep: Bools,
    counts: EventCounts,
) -> Int64s:
    if table.end_column is None:
        counts.without_end += int(keep.sum())
        return start
    ends, form = plain(batch.column(table.end_column)), times[table.end_column]
    end = form.to_microseconds(ends, zone, table.end_column)
    missing = (end == clock.UNREADABLE) | form.implausible(end, ends)
    wrong = ~missing & (end < start)
    unreadable = missing & clean_text(ends).is_valid().to_numpy(zero_copy_only=False)
    counts.without_end += int((keep & missing).sum())
    counts.unreadable_ends += int((keep & unreadable).sum())
    counts.end_before_start += int((keep & wrong).sum())
    return np.where(missing | wrong, start, end)


def _modes(batch: pa.RecordBatch, table: EventTable) -> list[str]:
    if table.mode_column is None:
        return [""] * batch.num_rows
    text = words(plain(batch.column(table.mode_column)), table.mode_column)
    return [word or UNNAMED_MODE for word in text.to_pylist()]


def _refuse_times(source: Source, table: EventTable, field: str, counts: EventCounts, odd: Counter[str]) -> None:
    included = counts.rows - counts.not_included
    if counts.without_start <= MOST_ODD_TIMES * included:
        return
    form = likely_time_format(odd)
    examples = f" (such as {shown(odd)})" if odd else ""
    raise DataError(
        f'{counts.without_start:,} of {included:,} rows of {source.where} have no time in "{table.start_column}" that '
        f"can be read{examples}" + (f"; they look like {form}" if form else ""),
        field=f"{field}.{key_of(table, 'start_column')}",
        hint="times are ISO 8601 text, dates of the database or file, or Unix epoch numbers",
    )


def _overlapping(events: pd.DataFrame) -> int:
    """How many sorted events start before an earlier one of the same asset and mode has ended."""
    latest = events.groupby(["asset", "mode"], sort=False)["end"].cummax()
    before = latest.groupby([events["asset"], events["mode"]], sort=False).shift()
    return int((events["start"] < before).sum())
