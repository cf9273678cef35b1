"""Readings of any number and order, cleaned, and sorted by asset and time in bounded memory.

What was read fills a run, which is sorted. One run stays in memory; of several, each is written to a folder, and all
are merged as they are read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml.arrays import Int64s
from ml.cleaning.collector import ReadingCollector
from ml.cleaning.columns import ColumnPlan
from ml.cleaning.counts import Counts
from ml.cleaning.instants import merge_rows
from ml.cleaning.notation.detection import Notation
from ml.cleaning.refusals import refuse_times
from ml.cleaning.time_range import TimeRange
from ml.grid.own_gaps import slow_assets
from ml.grid.regular import Spacings
from ml.ingest.prepared.number_files import read_numbers, to_batch, to_columns, write_numbers
from ml.options.schema import SchemaConfig

_RUN_CELLS = 8_000_000  # of a run while it is in memory, which takes about 150 MB
_BATCH_ROWS = 65_536  # of what is given out
_BLOCK_CELLS = 45_000  # of what is read at once of each run: 200 kB, so that a thousand runs can be merged
_SMALLEST_BLOCK = 64  # rows
_KEYS = ("asset_id", "timestamp")

Array = npt.NDArray[Any]
Key = tuple[int, int]  # rank of the asset's name, microseconds


class SortedReadings:
    """Takes a source's batches one by one, and gives their readings back by asset name and time.

    The rules are those of `ReadingCollector`: what cannot be used is dropped and counted, and several rows of one asset
    at one instant are made one.

    Parameters
    ----------
    plan, schema, zone, within, notation
        As `ReadingCollector` takes them.
    folder
        Where runs are kept, as one file each; the caller removes it. None keeps all of them in memory.
    on_run
        Called with each run, as `ml.cleaning.collector.Readings` has its frame.
    """

    def __init__(
        self,
        plan: ColumnPlan,
        schema: SchemaConfig,
        zone: str,
        within: TimeRange,
        *,
        notation: Notation | None = None,
        folder: Path | None = None,
        on_run: Callable[[pd.DataFrame], None] | None = None,
    ) -> None:
        self.rows = 0
        """Readings kept so far; instants that come twice in different runs count twice until they are merged."""
        self._collector = ReadingCollector(plan, schema, zone, within, any_year=False, notation=notation)
        self.within = within
        """The rows that are kept."""
        self._timestamp = plan.timestamp
        self._flags = [flag.name for flag in plan.flags]
        self._on_run = on_run
        self._run_rows = max(_BATCH_ROWS, _RUN_CELLS // (len(plan.sensors) + 2))
        self._folder = folder
        self._runs: list[pa.RecordBatch | Path] = []
        self._codes: dict[str, int] = {}
        self._merged_once = False

    @property
    def counts(self) -> Counts:
        """What happened to the rows; what becomes of one instant in several runs is known once they are merged."""
        return self._collector.counts

    @property
    def assets(self) -> int:
        """Different assets seen."""
        return len(self._codes)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch, which has the plan's source columns; raises DataError, StorageError."""
        self._collector.add(batch)
        if self._collector.waiting >= self._run_rows:
            self._end_run()

    def note_rows_without_time(self, rows: int) -> None:
        """Count rows that a database left out because they have no readable time."""
        self._collector.note_rows_without_time(rows)

    def finish(self) -> None:
        """To be called once, after the last batch.

        Raises DataError if there were rows, but not one with a readable time; StorageError if the disk is full.
        """
        refuse_times(self.counts, self._timestamp, most_odd=1.0)
        self._end_run()

    def interval(self) -> int:
        """The median spacing of each asset's readings, as `ml.grid.regular.resolve_interval` has it."""
        spacings = Spacings()
        for chunk in self._chunks(keys_only=True):
            spacings.add(chunk.asset, chunk.time)
        return spacings.interval()

    def paces(self, interval: int) -> dict[str, int]:
        """Assets that log at less than half the pace of a grid, and how many seconds apart; see `slow_assets`."""
        names = sorted(self._codes)
        slow = slow_assets(lambda: ((each.asset, each.time) for each in self._chunks(keys_only=True)), interval)
        return {names[code]: pace for code, pace in slow.items()}

    def batches(self) -> Iterator[pd.DataFrame]:
        """All readings in batches of about 65,536, as the frame of `ml.cleaning.collector.Readings` has them."""
        names = pd.Series(sorted(self._codes), dtype="str")
        waiting: list[_Chunk] = []
        for chunk in self._chunks(keys_only=False):
            waiting.append(chunk)
            if sum(len(each.time) for each in waiting) >= _BATCH_ROWS:
                yield _joined(waiting).to_frame(names)
                waiting = []
        if waiting:
            yield _joined(waiting).to_frame(names)
        self._merged_once = True

    def _end_run(self) -> None:
        frame = self._collector.take()
        if not len(frame):
            return
        self.rows += len(frame)
        if self._on_run is not None:
            self._on_run(frame)
        alone = not self._runs and len(frame) < self._run_rows
        self._runs.append(self._coded(frame) if alone else self._stored(self._coded(frame)))

    def _stored(self, run: pa.RecordBatch) -> pa.RecordBatch | Path:
        if self._folder is None:
            return run
        file = self._folder / f"run_{len(self._runs)}.arrow"
        block = max(_SMALLEST_BLOCK, _BLOCK_CELLS // run.num_columns)
        write_numbers(file, (run.slice(start, block) for start in range(0, run.num_rows, block)))
        return file

    def _coded(self, frame: pd.DataFrame) -> pa.RecordBatch:
        """A run with numbers in place of asset names, in the order in which names were first seen."""
        within, names = pd.factorize(frame["asset_id"])
        codes = np.array([self._codes.setdefault(str(name), len(self._codes)) for name in names], dtype=np.int64)
        time = frame["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64)
        values = {str(name): frame[name].to_numpy() for name in frame.columns[2:]}
        return to_batch({"asset_id": codes[within], "timestamp": time, **values})

    def _chunks(self, *, keys_only: bool) -> Iterator[_Chunk]:
        """The rows of all runs in order; those of the same asset and instant come together and are made one."""
        names = sorted(self._codes)
        rank = np.empty(len(names), dtype=np.int64)
        rank[[self._codes[name] for name in names]] = np.arange(len(names))
        columns = len(_KEYS) if keys_only else None
        for together in _ordered([_Run(_blocks(run, columns), rank) for run in self._runs]):
            if len(together) == 1:
                yield together[0]
            else:
                yield self._merge(_joined(together), None if keys_only or self._merged_once else names)

    def _merge(self, rows: _Chunk, names: list[str] | None) -> _Chunk:
        """Sort rows and make those of one instant one; with `names`, those are counted."""
        order = np.lexsort((rows.time, rows.asset))
        asset, time = rows.asset[order], rows.time[order]
        starts = np.ones(len(order), dtype=np.bool_)
        starts[1:] = (asset[1:] != asset[:-1]) | (time[1:] != time[:-1])
        merged = merge_rows({name: values[order] for name, values in rows.columns.items()}, starts, self._flags)
        asset, time = asset[merged.last], time[merged.last]
        if names is not None:
            self.counts.note_merged(merged, asset, time, names, len(order))
            self.counts.instants -= len(order)  # they have been counted within their runs
        return _Chunk(asset, time, merged.columns)


@dataclass(frozen=True)
class _Chunk:
    """Sorted rows: ranks of asset names, microseconds, and values, all of shape (n_rows,)."""

    asset: Int64s
    time: Int64s
    columns: dict[str, Array]

    def cut(self, start: int, stop: int) -> _Chunk:
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        return _Chunk(self.asset[start:stop], self.time[start:stop], columns)

    def to_frame(self, names: pd.Series) -> pd.DataFrame:
        data: dict[str, Any] = {
            "asset_id": names.take(self.asset).reset_index(drop=True),
            "timestamp": pd.to_datetime(self.time, unit="us", utc=True).as_unit("us"),
            **self.columns,
        }
        return pd.DataFrame(data, copy=False)


class _Run:
    """A sorted run, read block by block; `rank` puts its asset numbers in the order of the names."""

    def __init__(self, blocks: Iterator[pa.RecordBatch], rank: Int64s) -> None:
        self._blocks = blocks
        self._rank = rank
        self._block = _Chunk(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), {})
        self._start = 0

    def fill(self) -> bool:
        """Have a block with rows, if any are left; whether there is one."""
        if self._start == len(self._block.time):
            following = next(self._blocks, None)
            if following is None:
                return False
            columns = to_columns(following)
            asset, time = (columns.pop(name) for name in _KEYS)
            self._block, self._start = _Chunk(self._rank[asset], time, columns), 0
        return True

    @property
    def last_key(self) -> Key:
        """Asset and time of the block's last row: all rows of the run up to it are in the block."""
        return int(self._block.asset[-1]), int(self._block.time[-1])

    def take(self, bound: Key) -> _Chunk | None:
        """The block's rows up to `bound`, which leave the block; None if there are none."""
        asset, time = self._block.asset, self._block.time
        first = int(np.searchsorted(asset, bound[0], side="left"))
        last = int(np.searchsorted(asset, bound[0], side="right"))
        start, self._start = self._start, first + int(np.searchsorted(time[first:last], bound[1], side="right"))
        return self._block.cut(start, self._start) if self._start > start else None


def _blocks(run: pa.RecordBatch | Path, columns: int | None) -> Iterator[pa.RecordBatch]:
    if isinstance(run, Path):
        yield from read_numbers(run, columns)
        return
    chosen = run if columns is None else run.select(list(range(columns)))
    for start in range(0, run.num_rows, _BATCH_ROWS):
        yield chosen.slice(start, _BATCH_ROWS)


def _ordered(runs: list[_Run]) -> Iterator[list[_Chunk]]:
    """Rows of all runs by asset and time: lists that follow each other, of chunks that lie beside each other.

    The chunks of a list are in the order of their runs, and rows of one instant are never in different lists.
    """
    while opened := [run for run in runs if run.fill()]:
        bound = min(run.last_key for run in opened)
        yield [chunk for run in opened if (chunk := run.take(bound)) is not None]


def _joined(chunks: list[_Chunk]) -> _Chunk:
    if len(chunks) == 1:
        return chunks[0]
    columns = {name: np.concatenate([each.columns[name] for each in chunks]) for name in chunks[0].columns}
    return _Chunk(
        np.concatenate([each.asset for each in chunks]), np.concatenate([each.time for each in chunks]), columns
    )
