"""The rows of a source, clean and sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ml.cleaning import clock
from ml.cleaning.columns import ColumnPlan, plan_columns
from ml.cleaning.notation.detection import Notation
from ml.cleaning.parsing import plain
from ml.cleaning.refusals import refuse_target, refuse_times, refuse_unreadable
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError, NoRowsError
from ml.ingest.extraction import ROWS_PER_SLICE, contents_of, fetch
from ml.ingest.prepared.data import is_prepared
from ml.ingest.slices import Slice, SliceStore
from ml.ingest.sorted_readings import SortedReadings
from ml.ingest.source_notation import source_notation, time_range
from ml.ingest.sources.base import SlicedSource, Source, TimeAxis
from ml.ingest.sources.layouts.likely import told_if_long
from ml.ingest.summary.mixed_machines import note_machine_columns
from ml.options.source import DataRange
from ml.progress import ProgressCallback

_FETCHED = 0.7  # share of fetching in reading
_MOST_PER_INSTANT = 10  # rows of one instant that count for the length of a slice: a million small rows are enough


def read_sorted(
    source: Source,
    config: OrganizationConfig,
    slices: Path | None,
    report: ProgressCallback,
    *,
    path: Path | None = None,
    folder: Path | None = None,
    on_run: Callable[[pd.DataFrame], None] | None = None,
) -> SortedReadings:
    """Read, clean and sort an organisation's rows.

    Raises MissingColumnError, NoRowsError, DataError, SourceError, IsolationError, StorageError as
    `ml.ingest.prepare.prepare`.

    Parameters
    ----------
    slices
        The organisation's folder of rows fetched from a database; None keeps nothing.
    report
        Called with what is done of 1.
    path
        The file, if it is not the configured one.
    folder, on_run
        As of `SortedReadings`.
    """
    _refuse_prepared(config, path)
    with told_if_long(source, config) as seems_long:
        readings = _read(source, config, slices, report, folder=folder, on_run=on_run)
    readings.counts.layout += [*seems_long, *source.told()]
    return readings


def _read(
    source: Source,
    config: OrganizationConfig,
    slices: Path | None,
    report: ProgressCallback,
    *,
    folder: Path | None,
    on_run: Callable[[pd.DataFrame], None] | None,
) -> SortedReadings:
    plan = plan_of(config, source)
    zone = config.data_config.zone
    notation = source_notation(source, plan, config)
    within = time_range(config, source, plan, notation)
    readings = SortedReadings(plan, config.schema_config, zone, within, notation=notation, folder=folder, on_run=on_run)
    base = source.base
    # A database compares times as it knows them, which says nothing about texts and numbers in a format of their own.
    axis = base.axis(plan.timestamp) if isinstance(base, SlicedSource) and notation.times.is_default else None
    if isinstance(base, SlicedSource) and axis is not None and slices is not None:
        _add_slices(readings, source, base, axis, plan, config, slices, report)
    else:
        add_rows(readings, source, plan, within if notation.times.is_default else TimeRange(), report)
    readings.finish()
    counts = readings.counts
    refuse_times(counts, plan.timestamp)
    if counts.rows_in_range == 0:
        raise _no_rows(source, plan, notation, zone, config.data_range)
    refuse_unreadable(counts, plan)
    refuse_target(counts, plan)
    note_machine_columns(source, plan, config.schema_config, counts, within)
    return readings


def plan_of(config: OrganizationConfig, source: Source) -> ColumnPlan:
    """The columns of a source that are read; raises as `plan_columns`."""
    return plan_columns(
        config.schema_config,
        config.data_config.label_column,
        source.columns(),
        source.where,
        failures=config.failure_config,
        target_required=not config.may_lack_failures,
    )


def add_rows(
    readings: SortedReadings, source: Source, plan: ColumnPlan, within: TimeRange, report: ProgressCallback
) -> None:
    """Add all rows of a source within a range, in its own order; `report` is called with what is done of 1."""
    expected, rows = source.row_count(), 0
    for batch in source.read(plan.source_columns, time_column=plan.timestamp, within=within):
        readings.add(batch)
        rows += batch.num_rows
        report(min(1.0, rows / expected) if expected else 0.0, 1.0, f"{rows:,} rows read")
    readings.counts.notation |= source.found


def _add_slices(
    readings: SortedReadings,
    source: Source,
    table: SlicedSource,
    axis: TimeAxis,
    plan: ColumnPlan,
    config: OrganizationConfig,
    folder: Path,
    report: ProgressCallback,
) -> None:
    """Fetch what is not there yet of `table`, and add the rows that `source` makes of all slices."""
    zone, database = config.data_config.zone, config.scada_db_config
    columns = source.base_columns(plan.source_columns, plan.timestamp)
    axis = replace(axis, margin=0) if axis.kind == "local" and zone == "UTC" else axis
    store = SliceStore(
        folder,
        organization_id=config.organization_id,
        source=table.identity,
        contents=contents_of(table, columns, plan, config.schema_config.organization_column),
    )
    kept: list[Slice] = fetch(
        table,
        columns,
        axis,
        readings.within,
        store,
        slice_seconds=None if database is None else database.slice_seconds,
        report=lambda done, total, words: report(_FETCHED * done / total, 1.0, words),
        rows_per_slice=ROWS_PER_SLICE * min(source.rows_per_instant, _MOST_PER_INSTANT),
    )
    readings.note_rows_without_time(table.rows_without_key(axis))
    batches = _told(store, kept, report)
    for batch in source.shape_base(batches, plan.source_columns, time_column=plan.timestamp, within=readings.within):
        readings.add(batch)


def _told(store: SliceStore, kept: list[Slice], report: ProgressCallback) -> Iterator[pa.RecordBatch]:
    """The rows of slices, each batch announced when it has been used."""
    rows, expected = 0, sum(one.rows for one in kept)
    for one in kept:
        for batch in store.read(one):
            yield batch
            rows += batch.num_rows
            report(_FETCHED + (1 - _FETCHED) * rows / expected, 1.0, f"{rows:,} rows read")


def _refuse_prepared(config: OrganizationConfig, path: Path | None) -> None:
    if path is None and config.data_source is not None:
        path = Path(config.data_source.path)
    if path is not None and path.name.lower().endswith(".parquet") and is_prepared(path):
        raise DataError(
            f"{path.name} is already prepared; raw readings are needed here",
            field="dataSource.path",
            hint="give prepared data to the later steps as it is",
        )


def _no_rows(source: Source, plan: ColumnPlan, notation: Notation, zone: str, asked: DataRange) -> NoRowsError:
    """Say what was asked for and what there is, for which the times alone are read once more."""
    extent = _extent(source, plan, notation, zone)
    if not extent:
        return NoRowsError(f"{source.where} has no rows", hint="check that it is the right table or file")
    start = asked.start_date.isoformat() if asked.start_date else "the beginning"
    start = f"{asked.last} before" if asked.last else f"{start} until"
    end = asked.end_date.isoformat() if asked.end_date else "the end"
    return NoRowsError(
        f"{source.where} has no usable rows from {start} {end}",
        field="dataRange",
        hint=f"it covers {clock.to_text(extent[0])} to {clock.to_text(extent[1])}",
    )


def _extent(source: Source, plan: ColumnPlan, notation: Notation, zone: str) -> list[int]:
    """The first and the last readable time of a source; empty if there is none."""
    extent: list[int] = []
    for batch in source.read([plan.timestamp], time_column=plan.timestamp, within=TimeRange()):
        time = notation.times.to_microseconds(plain(batch.column(plan.timestamp)), zone, plan.timestamp)
        readable = time[time != clock.UNREADABLE].tolist()
        extent = [min(extent + readable), max(extent + readable)] if extent or readable else []
    return extent
