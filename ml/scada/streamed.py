"""From an organisation's source to a prepared file, in memory that does not grow with the length of the history.

The same rows and figures as `ml.scada.prepare.prepare`, which holds everything at once: clean readings go slice by
slice into one file per asset, and from there asset by asset and piece by piece onto the grid. What is held of a whole
asset are its times and its target, without which no row can be labelled.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.config import OrganizationConfig
from ml.options.schema import SchemaConfig
from ml.progress import ProgressCallback, silent
from ml.readings.counts import Counts
from ml.scada.fingerprint import Fingerprint
from ml.scada.labels import NO_EVENT, label_grid
from ml.scada.prepared import PreparedWriter
from ml.scada.quality import Summary, comparable_sensors
from ml.scada.reading import read_in_parts
from ml.scada.sources import open_source
from ml.scada.spill import AssetSpill
from ml.scada.unit_outliers import UsualValues
from ml.windows.grid import FLAG_COLUMNS, median_interval, refuse_absurd_size, resolve_max_gap
from ml.windows.grid_stream import stream_grid
from ml.workspace.files import scratch_directory

_READ, _ON_GRID, _DONE = 0.6, 0.95, 1.0  # shares of the whole, as measured on half a million rows from PostgreSQL
_LEADING = ["asset_id", "timestamp", "segment"]
_LABELS = ["target", "event", "label", "status"]

log = logging.getLogger(__name__)


def prepare_to_file(
    config: OrganizationConfig,
    target: Path,
    *,
    config_digest: str,
    slices: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """As `ml.scada.prepare.prepare`, but written to `target`.

    Parameters
    ----------
    target
        The file to write; readings are kept beside it in the meantime.
    config_digest
        As of `ml.scada.prepared.write_prepared`.
    slices, progress
        As of `ml.scada.prepare.prepare`.

    Returns
    -------
    dict
        The summary that is in the file as well.

    Raises
    ------
    ConfigError, SourceError, DataError, IsolationError, StorageError
        As `ml.scada.prepare.prepare`.
    """
    report = progress or silent
    usual = UsualValues(comparable_sensors(config))
    with scratch_directory(target.parent, target.name) as temporary:
        spill = AssetSpill(temporary)

        def keep(readings: pd.DataFrame) -> None:
            usual.add(readings)
            spill.add(readings)

        with closing(open_source(config)) as source:
            where = source.where
            counts = read_in_parts(
                source, config, slices, keep, lambda done, total, words: report(_READ * done / total, _DONE, words)
            )
        grids = _Grids(config, spill, _interval(config, spill))
        summary = Summary(config, interval=grids.interval, max_gap=grids.max_gap, usual=usual.usual())
        found = _write(target, grids, summary, counts, where, config_digest, report)
    for sentence in found["verdict"]:
        log.info(sentence)
    report(_DONE, _DONE, f"{found['gridRows']:,} rows prepared")
    return found


class _Grids:
    """The grids of the assets, one after the other; segments and events are numbered through."""

    def __init__(self, config: OrganizationConfig, spill: AssetSpill, interval: int) -> None:
        self.config = config
        self.spill = spill
        self.interval = interval
        self.max_gap = resolve_max_gap(config.data_config.max_gap_seconds, interval)
        self._rows = self._segments = self._events = 0

    def labelled_rows(self, asset: str) -> pd.DataFrame:
        """Times, segments, target, events and labels of all rows of the next asset, without sensors."""
        pieces = list(self._stream(asset, SchemaConfig(), ["timestamp", *FLAG_COLUMNS]))
        settings = self.config.data_config
        rows = label_grid(
            pd.concat(pieces, ignore_index=True),
            interval=self.interval,
            horizon=settings.prediction_horizon_seconds,
            during_failure=settings.during_failure,
            recovery_seconds=settings.recovery_seconds,
        )
        self._rows += len(rows)
        refuse_absurd_size(self._rows, self.spill.rows, self.interval, self.max_gap)
        event = rows["event"].to_numpy()
        rows["segment"] = (rows["segment"] + self._segments).astype(np.int32)
        rows["event"] = np.where(event == NO_EVENT, NO_EVENT, event + self._events).astype(np.int32)
        self._segments = int(rows["segment"].iloc[-1]) + 1
        self._events += int(event.max()) + 1
        return rows

    def full_rows(self, asset: str, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """The same rows with the sensors, piece by piece."""
        start = 0
        for piece in self._stream(asset, self.config.schema_config, None):
            known = rows.iloc[start : start + len(piece)].reset_index(drop=True)
            sensors = piece[list(self.config.schema_config.sensor_columns)]
            yield pd.concat([known[_LEADING], sensors, known[_LABELS]], axis=1)
            start += len(piece)

    def _stream(self, asset: str, schema: SchemaConfig, columns: list[str] | None) -> Iterator[pd.DataFrame]:
        return stream_grid(
            self.spill.pieces(asset, columns),
            schema=schema,
            interval=self.interval,
            max_gap=self.max_gap,
            aggregation=self.config.data_config.aggregation,
        )


def _write(
    target: Path,
    grids: _Grids,
    summary: Summary,
    counts: Counts,
    where: str,
    config_digest: str,
    report: ProgressCallback,
) -> dict[str, Any]:
    """Write the rows of all assets, and the summary into the file's description."""
    config, schema = grids.config, grids.config.schema_config
    kinds = {name: np.float64 if name in schema.counter_columns else np.float32 for name in schema.sensor_columns}
    assets = grids.spill.assets
    with PreparedWriter(target, kinds, summary.add_block) as writer:
        for number, asset in enumerate(assets):
            report(_READ + (_ON_GRID - _READ) * number / len(assets), _DONE, "putting readings on the grid")
            rows = grids.labelled_rows(asset)
            summary.add_asset(rows)
            for piece in grids.full_rows(asset, rows):
                writer.add(piece)
        writer.flush()
        found = summary.to_json(counts, where)
        writer.describe(
            Fingerprint(
                organization_id=config.organization_id,
                interval=grids.interval,
                max_gap=grids.max_gap,
                horizon=config.data_config.prediction_horizon_seconds,
                config_digest=config_digest,
                sensors=tuple(schema.sensor_columns),
                summary=found,
            )
        )
    return found


def _interval(config: OrganizationConfig, spill: AssetSpill) -> int:
    configured = config.data_config.sampling_interval_seconds
    if configured is not None:
        return configured
    interval = median_interval(np.concatenate([_spacing(spill, asset) for asset in spill.assets]))
    log.info("sampling interval derived from the readings: %d s", interval)
    return interval


def _spacing(spill: AssetSpill, asset: str) -> npt.NDArray[np.int64]:
    """Microseconds between the readings of an asset."""
    pieces = [piece["timestamp"].to_numpy(dtype="datetime64[us]") for piece in spill.pieces(asset, ["timestamp"])]
    time: npt.NDArray[np.int64] = np.concatenate(pieces).view(np.int64)
    return np.diff(time)
