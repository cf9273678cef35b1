"""Readings of any number and order, sorted by asset and time in bounded memory: sorted runs on disk, then a merge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.options.schema import SchemaConfig
from ml.readings.collector import ReadingCollector
from ml.readings.columns import ColumnPlan
from ml.readings.counts import Counts
from ml.readings.instants import merge_rows
from ml.readings.time_range import TimeRange
from ml.workspace.files import plain_storage_errors

_RUN_CELLS = 8_000_000  # of a sorted run while it is in memory, which takes about 150 MB
_BATCH_ROWS = 65_536  # of what is given out, and of all runs' open blocks together
_SMALLEST_BLOCK = 1024  # rows; smaller ones cost more to decode than they save
_ROW_GROUP_ROWS = 16_384

Ints = npt.NDArray[np.int64]


class SortedReadings:
    """Takes a source's batches one by one, and gives their readings back by asset name and time.

    The rules are those of `ReadingCollector`: what cannot be used is dropped and counted, and several rows of one asset
    at one instant are made one.

    Parameters
    ----------
    plan, schema, zone, any_year
        As `ReadingCollector` takes them.
    folder
        Where runs are kept, as one Parquet file each; the caller removes it.
    """

    def __init__(
        self, plan: ColumnPlan, schema: SchemaConfig, zone: str, folder: Path, *, any_year: bool = True
    ) -> None:
        self.counts = Counts()
        self.rows = 0
        """Readings kept so far; instants that come twice in different runs count twice until they are merged."""
        self._plan, self._schema, self._zone, self._any_year = plan, schema, zone, any_year
        self._collector = self._empty_collector()
        self._run_rows = max(_BATCH_ROWS, _RUN_CELLS // (len(plan.sensors) + 2))
        self._folder = folder
        self._files: list[Path] = []
        self._codes: dict[str, int] = {}

    @property
    def assets(self) -> int:
        """Different assets seen."""
        return len(self._codes)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch, which has the plan's source columns; raises DataError."""
        self._collector.add(batch)
        if self._collector.counts.rows_in_range >= self._run_rows:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory as a sorted run; to be called once more after the last batch.

        Raises
        ------
        DataError
            If there were rows, but not one with a readable time.
        StorageError
            If the disk is full.
        """
        readings = self._collector.finish()
        self._collector = self._empty_collector()
        self.counts.add(readings.counts)
        self.rows += len(readings.frame)
        if len(readings.frame):
            file = self._folder / f"run_{len(self._files)}.parquet"
            with plain_storage_errors("the temporary folder"):
                pq.write_table(self._coded(readings.frame), file, row_group_size=_ROW_GROUP_ROWS, compression="lz4")
            self._files.append(file)

    def batches(self) -> Iterator[pd.DataFrame]:
        """All readings in batches of about 65,536, as the frame of `ml.readings.collector.Readings` has them."""
        names = pd.Series(sorted(self._codes), dtype="str")
        rank = np.empty(len(names), dtype=np.int64)
        rank[[self._codes[name] for name in names]] = np.arange(len(names))
        waiting: list[pd.DataFrame] = []
        rows = 0
        for merged in self._merged(rank):
            waiting.append(merged)
            rows += len(merged)
            if rows >= _BATCH_ROWS:
                yield _named(pd.concat(waiting, ignore_index=True), names)
                waiting, rows = [], 0
        if waiting:
            yield _named(pd.concat(waiting, ignore_index=True), names)

    def _merged(self, rank: Ints) -> Iterator[pd.DataFrame]:
        """The rows of all runs in order; rows of the same asset and instant come together and are made one."""
        for rows in _ordered(self._files, rank):
            asset, time = rows.pop("asset_id").to_numpy(), rows.pop("timestamp").to_numpy()
            starts = np.ones(len(asset), dtype=np.bool_)
            starts[1:] = (asset[1:] != asset[:-1]) | (time[1:] != time[:-1])
            merged = merge_rows({name: rows[name].to_numpy() for name in rows.columns}, starts, ())
            self.counts.add(Counts(contested=int(merged.contested.sum()), conflicts=merged.conflicts))
            yield pd.DataFrame({"asset_id": asset[merged.last], "timestamp": time[merged.last], **merged.columns})

    def _empty_collector(self) -> ReadingCollector:
        return ReadingCollector(self._plan, self._schema, self._zone, TimeRange(), any_year=self._any_year)

    def _coded(self, frame: pd.DataFrame) -> pa.Table:
        """A run with numbers in place of asset names, in the order in which names were first seen."""
        within, names = pd.factorize(frame["asset_id"])
        codes = np.array([self._codes.setdefault(str(name), len(self._codes)) for name in names], dtype=np.int64)
        return pa.Table.from_pandas(frame.assign(asset_id=codes[within]), preserve_index=False)


class _Run:
    """A sorted run, read block by block; `rank` puts its asset numbers in the order of the names."""

    def __init__(self, file: Path, rank: Ints, block_rows: int) -> None:
        self._blocks = pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=block_rows, use_threads=False)
        self._rank = rank
        self._block = pd.DataFrame()

    def fill(self) -> bool:
        """Have a block with rows, if any are left; whether there is one."""
        if not len(self._block):
            following = next(self._blocks, None)
            if following is None:
                return False
            block = following.to_pandas()
            self._block = block.assign(asset_id=self._rank[block["asset_id"].to_numpy()])
        return True

    @property
    def last_key(self) -> tuple[int, pd.Timestamp]:
        """Asset and time of the block's last row: all rows of the run up to it are in the block."""
        return int(self._block["asset_id"].iloc[-1]), self._block["timestamp"].iloc[-1]

    def take(self, bound: tuple[int, pd.Timestamp]) -> pd.DataFrame:
        """The block's rows up to `bound`, which leave the block."""
        asset, time = self._block["asset_id"], self._block["timestamp"]
        count = int(((asset < bound[0]) | ((asset == bound[0]) & (time <= bound[1]))).sum())
        taken, self._block = self._block.iloc[:count], self._block.iloc[count:]
        return taken


def _ordered(files: list[Path], rank: Ints) -> Iterator[pd.DataFrame]:
    """The rows of all runs by asset and time; those of one instant in the order of their runs, and never parted."""
    block_rows = max(_SMALLEST_BLOCK, _BATCH_ROWS // max(1, len(files)))
    runs = [_Run(file, rank, block_rows) for file in files]
    while opened := [run for run in runs if run.fill()]:
        bound = min(run.last_key for run in opened)
        rows = pd.concat([run.take(bound) for run in opened], ignore_index=True)
        yield rows.iloc[np.lexsort((rows["timestamp"].to_numpy(), rows["asset_id"].to_numpy()))]


def _named(frame: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    return frame.assign(asset_id=names.take(frame["asset_id"].to_numpy()).reset_index(drop=True))
