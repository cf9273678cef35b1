"""The whole way from an organisation's source to prepared data, in memory that does not grow with the history.

Readings are cleaned and sorted, put on one grid piece by piece, labelled by groups of complete assets, and described on
the way. `prepare` gathers the rows in memory; `prepare_to_file` writes them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.cleaning.flags import LABEL
from ml.cleaning.held_flags import held
from ml.config import OrganizationConfig
from ml.grid.own_gaps import resolve_own_gaps
from ml.grid.regular import refuse_absurd_size, resolve_max_gap
from ml.grid.streamed import StreamedGrid
from ml.ingest.failures.record import FailureRecord
from ml.ingest.labelled_grid import labelled_groups
from ml.ingest.prepared.data import Prepared, PreparedWriter
from ml.ingest.prepared.fingerprint import Fingerprint
from ml.ingest.read_source import plan_of, read_sorted
from ml.ingest.source_notation import end_of_range
from ml.ingest.sources import open_source
from ml.ingest.summary.mixed_machines import note_machine_columns
from ml.ingest.summary.quality import Summary, comparable_sensors
from ml.ingest.summary.unit_outliers import UsualValues
from ml.progress import ProgressCallback, silent
from ml.workspace.files import scratch_directory

_PIECE_ROWS = 65_536
_READ, _DONE = 0.6, 1.0  # shares of the whole, as measured on half a million rows from PostgreSQL

log = logging.getLogger(__name__)


def prepare(
    config: OrganizationConfig,
    *,
    source_path: Path | None = None,
    interval: int | None = None,
    own_gaps: Mapping[str, int] | None = None,
    slices: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Prepared:
    """Read, clean, put on the grid and label an organisation's readings.

    Raises ConfigError if no source is named, or lags or the gap limit do not suit the sampling interval; SourceError if
    the database fails; MissingColumnError if a named column is missing; NoRowsError if the range holds no rows;
    DataError if the data cannot be understood; IsolationError if the file was prepared for another organisation, or the
    database gave rows of another one; StorageError if fetched rows cannot be kept.

    Parameters
    ----------
    config
        Names the source, the columns, the range and the labels.
    source_path
        A CSV or Parquet file of raw readings to use instead of the configured source.
    interval
        Sampling interval in seconds, such as that of a trained model. Default: the configured one, else the median
        spacing of the readings.
    own_gaps
        Gap limits of slow assets, such as a trained model's. Default: those that the readings show.
    slices
        The organisation's folder of rows fetched from a database, for this process alone. What lies there is not
        fetched again. None: fetch everything, keep nothing.
    progress
        Called with what is done, what there is to do, and the present part in words.
    """
    made = _Preparation(
        config, source_path=source_path, interval=interval, own_gaps=own_gaps, slices=slices, progress=progress
    )
    frame = pd.concat(list(made.rows()), ignore_index=True)
    made.summary.add_blocks(frame)
    return Prepared(frame, made.finish(), made.interval, made.max_gap, made.own_gaps)


def prepare_to_file(
    config: OrganizationConfig,
    target: Path,
    *,
    config_digest: str,
    slices: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """As `prepare`, but written to `target`; gives the summary that is in the file as well.

    Raises ConfigError, SourceError, DataError, IsolationError, StorageError as `prepare`; also StorageError if the disk
    refuses.

    Parameters
    ----------
    target
        The file to write; readings are kept beside it in the meantime.
    config_digest
        Digest of what the data depends on, for those who want to use it again.
    slices, progress
        As of `prepare`.
    """
    schema = config.schema_config
    kinds = {name: np.float64 if name in schema.counter_columns else np.float32 for name in schema.sensor_columns}
    with scratch_directory(target.parent, target.name) as folder:
        made = _Preparation(config, slices=slices, folder=folder, progress=progress)
        kinds |= dict.fromkeys(made.inputs, np.float32)
        with PreparedWriter(target, kinds, made.summary.add_block, modes=bool(made.modes)) as writer:
            for piece in made.rows():
                writer.add(piece)
            writer.flush()
            found = made.finish()
            writer.describe(
                Fingerprint(
                    organization_id=config.organization_id,
                    interval=made.interval,
                    max_gap=made.max_gap,
                    own_gaps=made.own_gaps,
                    horizon=config.data_config.prediction_horizon_seconds,
                    config_digest=config_digest,
                    sensors=tuple(kinds),
                    modes=made.modes,
                    summary=found,
                )
            )
    return found


class _Preparation:
    """Sorted readings on their way to prepared rows; made once they are read.

    Parameters
    ----------
    folder
        Where readings are kept that do not fit into memory; None keeps all of them in memory.
    """

    def __init__(
        self,
        config: OrganizationConfig,
        *,
        source_path: Path | None = None,
        interval: int | None = None,
        own_gaps: Mapping[str, int] | None = None,
        slices: Path | None = None,
        folder: Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        self._config, self._path, self._folder = config, source_path, folder
        self._report = progress or silent
        self._record = FailureRecord(config, before=end_of_range(config))
        usual = UsualValues(comparable_sensors(config))
        with closing(open_source(config, source_path)) as source:
            self._where = source.where
            self._readings = read_sorted(
                source,
                config,
                slices,
                lambda done, total, words: self._report(_READ * done / total, _DONE, words),
                path=source_path,
                folder=folder,
                on_run=usual.add,
            )
        self.modes, self.inputs = self._record.modes, self._record.inputs
        self._contested_at_once = self._readings.counts.contested
        interval = interval or config.data_config.sampling_interval_seconds
        if interval is None:
            interval = self._readings.interval()
            log.info("sampling interval derived from the readings: %d s", interval)
        self.interval = interval
        self.max_gap = resolve_max_gap(config.data_config.max_gap_seconds, interval)
        if own_gaps is None:
            own_gaps = resolve_own_gaps(self._readings.paces(interval), config.data_config.max_gap_seconds, interval)
        self.own_gaps = dict(own_gaps)
        self.summary = Summary(
            config, interval=interval, max_gap=self.max_gap, own_gaps=self.own_gaps, usual=usual.usual()
        )

    def rows(self) -> Iterator[pd.DataFrame]:
        """All rows in order, piece by piece; the summary is told what lies in time, not yet what the sensors show."""
        groups = labelled_groups(
            self._record.on_rows(self._on_grid(), self.interval),
            self._config.data_config,
            interval=self.interval,
            folder=self._folder,
            running=self._config.schema_config.running,
        )
        for group in groups:
            self.summary.add_assets(group.rows)
            yield from group.pieces()

    def finish(self) -> dict[str, Any]:
        """The summary, once all rows have been given out and described.

        Raises DataError if rows of one instant, of which not all were read together, are of several machines.
        """
        if self._readings.counts.contested > self._contested_at_once:
            self._look_for_machines_again()
        found = self.summary.to_json(
            self._readings.counts,
            self._where,
            modes=self._record.modes,
            lists=self._record.to_json(),
            findings=self._record.findings(),
        )
        found |= self._record.inputs_to_json()
        for sentence in found["verdict"]:
            log.info(sentence)
        self._report(_DONE, _DONE, f"{found['gridRows']:,} rows prepared")
        return found

    def _on_grid(self) -> Iterator[pd.DataFrame]:
        config, rows = self._config, 0
        grid = StreamedGrid(
            config.schema_config,
            interval=self.interval,
            max_gap=self.max_gap,
            aggregation=config.data_config.aggregation,
            flags=(*self._record.flags, LABEL),
            piece_rows=_PIECE_ROWS,
            own_gaps=self.own_gaps,
        )
        for piece in grid.pieces(self._batches()):
            rows += len(piece.frame)
            refuse_absurd_size(rows, self._readings.rows, self.interval, max([self.max_gap, *self.own_gaps.values()]))
            yield piece.frame

    def _batches(self) -> Iterator[pd.DataFrame]:
        done, total = 0, self._readings.rows
        batches = self._readings.batches()
        if self._config.failure_config.hold_until_changed:
            batches = held(batches, self._record.flags)
        for batch in batches:
            self._report(_READ + (_DONE - _READ) * done / total, _DONE, "putting readings on the grid")
            yield batch
            done += len(batch)

    def _look_for_machines_again(self) -> None:
        """Rows of one instant that lay far apart in the source disagree, which shows when all are sorted."""
        config = self._config
        with closing(open_source(config, self._path)) as source:
            plan = plan_of(config, source)
            note_machine_columns(source, plan, config.schema_config, self._readings.counts, self._readings.within)
