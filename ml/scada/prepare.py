"""The whole way from an organisation's source to prepared data."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import pandas as pd

from ml.config import OrganizationConfig
from ml.progress import ProgressCallback, silent
from ml.scada.labels import label_grid
from ml.scada.prepared import Prepared
from ml.scada.quality import comparable_sensors, summarize
from ml.scada.reading import read_in_parts
from ml.scada.sources import open_source
from ml.scada.unit_outliers import UsualValues
from ml.windows.grid import resolve_interval, resolve_max_gap, to_grid

# Shares of the whole after each part, as measured on a million rows from SQLite.
_READ, _ON_GRID, _LABELLED, _DONE = 0.7, 0.85, 0.95, 1.0

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
        where = source.where
        parts: list[pd.DataFrame] = []
        counts = read_in_parts(
            source,
            config,
            slices,
            parts.append,
            lambda done, total, words: report(_READ * done / total, _DONE, words),
            path=source_path,
        )
    readings = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    usual = UsualValues(comparable_sensors(config))
    usual.add(readings)
    settings = config.data_config
    interval = interval or settings.sampling_interval_seconds
    if interval is None:
        interval = resolve_interval(readings["asset_id"], readings["timestamp"])
        logger.info("sampling interval derived from the readings: %d s", interval)
    max_gap = resolve_max_gap(settings.max_gap_seconds, interval)

    report(_READ, _DONE, "putting readings on the grid")
    grid = to_grid(
        readings,
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
    summary = summarize(frame, counts, config, source=where, interval=interval, max_gap=max_gap, usual=usual.usual())
    for sentence in summary["verdict"]:
        logger.info(sentence)
    report(_DONE, _DONE, f"{len(frame):,} rows prepared")
    return Prepared(frame, summary, interval, max_gap)
