"""Sorted readings, batch by batch, onto the grid: the same rows that one `to_grid` over all of them would make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.options.schema import SchemaConfig
from ml.windows.grid import to_grid

_MICROSECONDS = 1_000_000

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GridPiece:
    """Consecutive grid rows; the first `history` of them were given before and serve the others as their past."""

    frame: pd.DataFrame
    history: int


class StreamedGrid:
    """The grid of readings that arrive sorted by asset and time.

    A value depends on readings at most `max_gap` seconds old, so this is how far readings are kept. A row is given out
    as soon as no later reading can belong to it. Where an asset goes on in the next batch, its last `look_back` rows
    come along as history.

    Parameters
    ----------
    schema, interval, max_gap, aggregation
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
        look_back: int,
        piece_rows: int,
    ) -> None:
        self._schema = schema
        self._interval, self._max_gap, self._aggregation = interval, max_gap, aggregation
        self._step = interval * _MICROSECONDS
        self._look_back, self._piece_rows = look_back, piece_rows
        self._open: _OpenAsset | None = None

    def pieces(self, batches: Iterable[pd.DataFrame]) -> Iterator[GridPiece]:
        """The grid of all readings.

        Parameters
        ----------
        batches
            As `ml.readings.collector.Readings` has them, sorted over all batches; no instant of an asset twice.
        """
        for batch in batches:
            for readings in self._divided(batch):
                yield from self._advance(readings)
        if self._open is not None:
            yield from self._advance(None)

    def _divided(self, readings: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Parts that make about `piece_rows` grid rows each; where readings are sparse, one makes many rows."""
        rows = np.diff(_microseconds(readings), prepend=0) // self._step + 1
        same_asset = (readings["asset_id"] == readings["asset_id"].shift()).to_numpy()
        rows = np.where(same_asset, np.minimum(rows, self._max_gap // self._interval + 1), 1)
        part = np.cumsum(rows) // self._piece_rows
        bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(readings)]
        for start, stop in pairwise(bounds):
            yield readings.iloc[start:stop]

    def _advance(self, readings: pd.DataFrame | None) -> Iterator[GridPiece]:
        """Take more readings (None: there are no more), and give out the rows that are complete now."""
        before = self._open
        parts = [part for part in (before and before.readings, readings) if part is not None]
        joined = pd.concat(parts, ignore_index=True)
        grid = to_grid(
            joined,
            schema=self._schema,
            interval=self._interval,
            max_gap=self._max_gap,
            aggregation=self._aggregation,
            flags=(),
        )
        time = _microseconds(grid)
        fresh = np.ones(len(grid), dtype=np.bool_)
        history = grid.iloc[:0]
        if before is not None:
            known = before.owns(grid) & (time <= before.done)
            fresh &= ~known
            history = before.numbered_history(grid[known & (time == before.done)])
        self._open = None if readings is None else self._opened(joined)
        if self._open is not None:
            fresh &= ~(self._open.owns(grid) & (time > self._open.done))
        frame = pd.concat([history, grid[fresh]], ignore_index=True)
        if self._open is not None:
            own = frame[self._open.owns(frame)].iloc[-self._look_back :]
            self._open = replace(self._open, history=own)
        if fresh.any():
            yield GridPiece(frame, len(history))

    def _opened(self, readings: pd.DataFrame) -> _OpenAsset:
        """The asset of the last reading, of which more may come."""
        name, time = readings["asset_id"].iloc[-1], _microseconds(readings)
        done = int(time[-1]) // self._step * self._step
        needed = (readings["asset_id"] == name).to_numpy() & (time > done - self._max_gap * _MICROSECONDS)
        return _OpenAsset(name, done, readings[needed], history=pd.DataFrame())


@dataclass(frozen=True)
class _OpenAsset:
    """What is kept of an asset that may go on in the next batch."""

    name: str
    done: int  # instant up to which its rows have been given out: later readings belong to later rows
    readings: pd.DataFrame  # those that rows after `done` may depend on
    history: pd.DataFrame  # its last rows up to `done`

    def owns(self, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Which of the rows are this asset's."""
        return np.asarray(rows["asset_id"] == self.name, dtype=np.bool_)

    def numbered_history(self, same: pd.DataFrame) -> pd.DataFrame:
        """The history with segment numbers that fit a new grid.

        Parameters
        ----------
        same
            The new grid's row at `done`; none if no segment of the new grid goes back so far. It is the last row of
            the history, made again, and tells the number that its segment has now.
        """
        if not len(self.history):
            return self.history
        number = int(same["segment"].iloc[0]) if len(same) else -1
        shift = number - int(self.history["segment"].iloc[-1])
        return self.history.assign(segment=(self.history["segment"] + shift).astype(np.int32))


def _microseconds(frame: pd.DataFrame) -> Ints:
    return np.asarray(frame["timestamp"].to_numpy("datetime64[us]").astype(np.int64))
