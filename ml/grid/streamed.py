"""Sorted readings, batch by batch, onto the grid: the same rows as one `to_grid` over all of them, bit by bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from ml.arrays import Int64s
from ml.grid.regular import FLAG_COLUMNS, limits_of, to_grid
from ml.options.schema import SchemaConfig

_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class GridPiece:
    """Consecutive grid rows; the first `history` of them were given before and serve the others as their past."""

    frame: pd.DataFrame
    history: int


class StreamedGrid:
    """The grid of readings that arrive sorted by asset and time.

    A value depends on readings at most as old as the asset's gap limit, so this is how far readings are kept. A row is
    given out as soon as no later reading can belong to it. Where an asset goes on in the next batch, its last
    `look_back` rows come along as history.

    Parameters
    ----------
    schema, interval, max_gap, aggregation, flags, own_gaps
        As `to_grid` takes them.
    look_back
        Rows of history that the features need.
    piece_rows
        About how many rows are given out at a time.
    """

    def __init__(
        self,
        schema: SchemaConfig,
        *,
        interval: int,
        max_gap: int,
        aggregation: Literal["last", "mean"],
        flags: Sequence[str] = FLAG_COLUMNS,
        look_back: int = 0,
        piece_rows: int,
        own_gaps: Mapping[str, int] | None = None,
    ) -> None:
        self._schema = schema
        self._interval, self._max_gap, self._aggregation = interval, max_gap, aggregation
        self._own_gaps = own_gaps or {}
        self._flags = flags
        self._step = interval * _MICROSECONDS
        self._look_back, self._piece_rows = look_back, piece_rows
        self._open: _OpenAsset | None = None
        self._segment = -1  # number of the last segment of which rows have been given out

    def pieces(self, batches: Iterable[pd.DataFrame]) -> Iterator[GridPiece]:
        """The grid of all readings; segments are numbered as in one `to_grid` over all of them.

        Parameters
        ----------
        batches
            As `ml.cleaning.collector.Readings` has them, sorted over all batches; no instant of an asset twice.
        """
        for batch in batches:
            for readings in self._divided(batch):
                yield from self._advance(readings)
        if self._open is not None:
            yield from self._advance(None)

    def _divided(self, readings: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Parts that make about `piece_rows` grid rows each; where readings are sparse, one makes many rows."""
        rows = np.diff(_microseconds(readings), prepend=0) // self._step + 1
        asset, names = pd.factorize(readings["asset_id"])
        same_asset = np.diff(asset, prepend=-1) == 0
        limits = limits_of(list(names), self._max_gap, self._own_gaps)
        most = (limits[asset] if len(limits) > 1 else limits) // self._step + 1
        rows = np.where(same_asset, np.minimum(rows, most), 1)
        part = np.cumsum(rows) // self._piece_rows
        bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(readings)]
        for start, stop in pairwise(bounds):
            yield readings.iloc[start:stop]

    def _advance(self, readings: pd.DataFrame | None) -> Iterator[GridPiece]:
        """Take more readings (None: there are no more), and give out the rows that are complete now."""
        before = self._open
        parts = [part for part in (None if before is None else before.readings, readings) if part is not None]
        joined = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
        grid = to_grid(
            joined,
            schema=self._schema,
            interval=self._interval,
            max_gap=self._max_gap,
            aggregation=self._aggregation,
            own_gaps=self._own_gaps,
            flags=self._flags,
        )
        asset, time = pd.factorize(grid["asset_id"])[0], _microseconds(grid)
        # Rows of the asset that was open come first, and those of the asset that is open now come last.
        first_ends, last_starts = np.searchsorted(asset, [1, asset[-1]]).tolist()
        done = None if readings is None else int(_microseconds(joined.iloc[-1:])[0]) // self._step * self._step
        known = 0 if before is None else int(np.searchsorted(time[:first_ends], before.done, side="right"))
        stop = len(grid) if done is None else last_starts + int(np.searchsorted(time[last_starts:], done, side="right"))
        fresh = self._numbered(grid.iloc[known:stop], self._shift(grid, time, known))
        history = grid.iloc[:0] if before is None or known == first_ends else before.history
        self._open = None
        if done is not None:
            own = fresh.iloc[max(0, last_starts - known) :]
            if len(history) and last_starts == 0:
                own = pd.concat([history, own.tail(self._look_back)], ignore_index=True)
            self._open = _OpenAsset(done, self._needed(joined, done), own.tail(self._look_back))
        if len(fresh):
            frame = pd.concat([history, fresh], ignore_index=True) if len(history) else fresh
            yield GridPiece(frame, len(history))

    def _shift(self, grid: pd.DataFrame, time: Int64s, known: int) -> int:
        """What to add to the grid's own numbers of segments, of which the first `known` rows were given out before."""
        number = grid["segment"].to_numpy()
        if known and self._open is not None and int(time[known - 1]) == self._open.done:
            return self._segment - int(number[known - 1])  # the segment of the row given out last is in the grid
        return self._segment + 1 - int(number[min(known, len(number) - 1)])

    def _numbered(self, rows: pd.DataFrame, shift: int) -> pd.DataFrame:
        rows = rows.assign(segment=(rows["segment"] + shift).astype(np.int32)).reset_index(drop=True)
        if len(rows):
            self._segment = int(rows["segment"].iloc[-1])
        return rows

    def _needed(self, readings: pd.DataFrame, done: int) -> pd.DataFrame:
        """Of the last reading's asset, the readings that rows after `done` may depend on."""
        asset, names = pd.factorize(readings["asset_id"])
        limit = int(limits_of([names[-1]], self._max_gap, self._own_gaps)[0])
        needed = (asset == asset[-1]) & (_microseconds(readings) > done - limit)
        return readings.iloc[int(np.argmax(needed)) :]


@dataclass(frozen=True)
class _OpenAsset:
    """What is kept of an asset that may go on in the next batch."""

    done: int  # instant up to which its rows have been given out: later readings belong to later rows
    readings: pd.DataFrame  # those that rows after `done` may depend on
    history: pd.DataFrame  # its last rows up to `done`


def _microseconds(frame: pd.DataFrame) -> Int64s:
    return np.asarray(frame["timestamp"].to_numpy("datetime64[us]").astype(np.int64))
