"""The whole way from an organisation's source to prepared data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from ml.config import OrganizationConfig
from ml.errors import DataError, NoRowsError
from ml.options.source import DataRange
from ml.progress import ProgressCallback, silent
from ml.readings import clock
from ml.readings.collector import ReadingCollector, Readings
from ml.readings.columns import ColumnPlan, plan_columns
from ml.readings.parsing import plain
from ml.readings.time_range import TimeRange
from ml.scada.extraction import contents_of, fetch
from ml.scada.extraction import read as read_slices
from ml.scada.labels import label_grid
from ml.scada.prepared import Prepared, is_prepared
from ml.scada.quality import summarize
from ml.scada.slices import SliceStore
from ml.scada.sources import open_source
from ml.scada.sources.base import SlicedSource, Source, TimeAxis
from ml.windows.grid import check_lags, resolve_interval, resolve_max_gap, to_grid

# Shares of the whole after each part, as measured on a million rows from SQLite.
_FETCHED, _READ, _ON_GRID, _LABELLED, _DONE = 0.5, 0.7, 0.85, 0.95, 1.0

logger = logging.getLogger(__name__)


def prepare(
    config: OrganizationConfig,
    *,
    source_path: Path | None = None,
    interval: int | None = None,
    slices: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Prepared:
    """Read, clean, put on the grid and label an organisation's readings.

    Parameters
    ----------
    config
        Names the source, the columns, the range and the labels.
    source_path
        A CSV or Parquet file of raw readings to use instead of the configured source.
    interval
        Sampling interval in seconds, such as that of a trained model. Default: the configured one, else the median
        spacing of the readings.
    slices
        The organisation's folder of rows fetched from a database, for this process alone. What lies there is not
        fetched again. None: fetch everything, keep nothing.
    progress
        Called with what is done, what there is to do, and the present part in words.

    Raises
    ------
    ConfigError
        If no source is named, or lags or the gap limit do not suit the sampling interval.
    SourceError
        If the database fails.
    MissingColumnError
        If a named column is missing.
    NoRowsError
        If the range holds no rows.
    DataError
        If the data cannot be understood.
    IsolationError
        If the file was prepared for another organisation, or the database gave rows of another one.
    StorageError
        If fetched rows cannot be kept.
    """
    report = progress or silent
    with closing(open_source(config, source_path)) as source:
        where, readings = source.where, _read(source, config, source_path, slices, report)
    settings = config.data_config
    interval = interval or settings.sampling_interval_seconds
    if interval is None:
        interval = resolve_interval(readings.frame["asset_id"], readings.frame["timestamp"])
        logger.info("sampling interval derived from the readings: %d s", interval)
    max_gap = resolve_max_gap(settings.max_gap_seconds, interval)
    check_lags(config.schema_config, interval)

    report(_READ, _DONE, "putting readings on the grid")
    grid = to_grid(
        readings.frame,
        schema=config.schema_config,
        interval=interval,
        max_gap=max_gap,
        aggregation=settings.aggregation,
    )
    report(_ON_GRID, _DONE, "labelling")
    frame = label_grid(
        grid,
        interval=interval,
        horizon=settings.prediction_horizon_seconds,
        during_failure=settings.during_failure,
        recovery_seconds=settings.recovery_seconds,
    )
    report(_LABELLED, _DONE, "describing")
    summary = summarize(frame, readings.counts, config, source=where, interval=interval, max_gap=max_gap)
    for finding in summary["verdict"]:
        logger.info(finding)
    report(_DONE, _DONE, f"{len(frame):,} rows prepared")
    return Prepared(frame, summary, interval, max_gap)


def _read(
    source: Source, config: OrganizationConfig, path: Path | None, slices: Path | None, report: ProgressCallback
) -> Readings:
    _refuse_prepared(config, path)
    plan = plan_columns(config.schema_config, config.data_config.label_column, source.columns(), source.where)
    zone = config.data_config.timezone
    within = _time_range(config.data_range, zone)
    collector = ReadingCollector(plan, config.schema_config, zone, within)
    axis = source.axis(plan.timestamp) if isinstance(source, SlicedSource) else None
    if isinstance(source, SlicedSource) and axis is not None and slices is not None:
        _read_slices(source, axis, plan, config, collector, slices, report)
    else:
        _add_all(
            collector,
            source.read(plan.source_columns, time_column=plan.timestamp, within=within),
            source.row_count(),
            report,
        )
    readings = collector.finish()
    if len(readings.frame) == 0:
        raise _no_rows(source, plan, zone, config.data_range)
    return readings


def _read_slices(
    source: SlicedSource,
    axis: TimeAxis,
    plan: ColumnPlan,
    config: OrganizationConfig,
    collector: ReadingCollector,
    folder: Path,
    report: ProgressCallback,
) -> None:
    """Fetch what is not there yet, and take the rows of all slices."""
    store = SliceStore(
        folder,
        organization_id=config.organization_id,
        source=source.identity,
        contents=contents_of(source, plan, config.schema_config.organization_column),
    )
    database = config.scada_db_config
    kept = fetch(
        source,
        plan.source_columns,
        axis,
        _time_range(config.data_range, config.data_config.timezone),
        store,
        slice_seconds=None if database is None else database.slice_seconds,
        report=lambda done, total, message: report(_FETCHED * done / total, _DONE, message),
    )
    collector.note_rows_without_time(source.rows_without_key(axis))

    def rest(done: float, total: float, message: str) -> None:
        report(_FETCHED + done * (_READ - _FETCHED) / _READ, total, message)

    _add_all(collector, read_slices(store, kept), sum(one.rows for one in kept), rest)


def _add_all(
    collector: ReadingCollector, batches: Iterator[pa.RecordBatch], expected: int | None, report: ProgressCallback
) -> None:
    rows = 0
    for batch in batches:
        collector.add(batch)
        rows += batch.num_rows
        share = min(1.0, rows / expected) if expected else 0.0
        report(_READ * share, _DONE, f"{rows:,} rows read")


def _refuse_prepared(config: OrganizationConfig, path: Path | None) -> None:
    if path is None and config.data_source is not None:
        path = Path(config.data_source.path)
    if path is not None and path.name.lower().endswith(".parquet") and is_prepared(path):
        raise DataError(
            f"{path.name} is already prepared; raw readings are needed here",
            field="dataSource.path",
            hint="give prepared data to the later steps as it is",
        )


def _time_range(configured: DataRange, zone: str) -> TimeRange:
    start, end = configured.start_date, configured.end_date
    return TimeRange(
        None if start is None else clock.instant(start, zone), None if end is None else clock.instant(end, zone)
    )


def _no_rows(source: Source, plan: ColumnPlan, zone: str, asked: DataRange) -> NoRowsError:
    """Say what was asked for and what there is, for which the times alone are read once more."""
    extent = _extent(source, plan, zone)
    if not extent:
        return NoRowsError(f"{source.where} has no rows", hint="check that it is the right table or file")
    start = asked.start_date.isoformat() if asked.start_date else "the beginning"
    end = asked.end_date.isoformat() if asked.end_date else "the end"
    return NoRowsError(
        f"{source.where} has no usable rows from {start} until {end}",
        field="dataRange",
        hint=f"it covers {clock.to_text(extent[0])} to {clock.to_text(extent[1])}",
    )


def _extent(source: Source, plan: ColumnPlan, zone: str) -> list[int]:
    """The first and the last readable time of a source; empty if there is none."""
    extent: list[int] = []
    for batch in source.read([plan.timestamp], time_column=plan.timestamp, within=TimeRange()):
        time = clock.to_microseconds(plain(batch.column(plan.timestamp)), zone, plan.timestamp)
        readable = time[time != clock.UNREADABLE].tolist()
        extent = [min(extent + readable), max(extent + readable)] if extent or readable else []
    return extent
