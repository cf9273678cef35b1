"""Grid rows, piece by piece, with their labels: what a row's label depends on is held of whole assets, sensors are not.

A label needs the times and the target of all of an asset. Small assets are labelled together, as many as make a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml.arrays import Bools
from ml.grid.regular import FLAG_COLUMNS
from ml.grid.running import off_rows
from ml.ingest.failures.labels import KNOWN, NO_EVENT, label_grid
from ml.ingest.prepared.label_columns import MODES
from ml.ingest.prepared.number_files import read_numbers, to_batch, to_columns, write_numbers
from ml.options.columns.kinds import Running
from ml.options.data import DataConfig

GROUP_ROWS = 65_536
"""Rows from which on no further assets join a group."""
_HELD_CELLS = 8_000_000  # sensor values of a group that stay in memory
_KEYS = ("asset_id", "timestamp", "segment", *FLAG_COLUMNS, *KNOWN)
_LABELS = ("target", "event", "label", "status", MODES)


class Group:
    """All rows of some assets.

    Parameters
    ----------
    folder
        Where sensors are kept beyond some megabytes; None keeps them in memory.
    running
        What tells that a machine runs.
    """

    def __init__(self, folder: Path | None, running: Running | None) -> None:
        self._folder, self._running = folder, running
        self._off: list[Bools] = []
        self._assets: list[str] = []
        self._codes: list[npt.NDArray[np.int32]] = []
        self._keys: list[pd.DataFrame] = []
        self._held: list[pa.RecordBatch] = []
        self._cells = 0
        self._files: list[Path] = []
        self.n_rows = 0
        self.rows = pd.DataFrame()
        """Once labelled: ``asset_id`` (categorical), ``timestamp, segment, target, event, label, status`` and, where
        there are modes of failure, ``modes``."""

    def add(self, piece: pd.DataFrame) -> None:
        """Take grid rows that follow those before."""
        codes, names = pd.factorize(piece["asset_id"])
        goes_on = bool(self._assets) and self._assets[-1] == names[0]
        self._codes.append((codes + len(self._assets) - goes_on).astype(np.int32))
        self._assets += [str(name) for name in names[goes_on:]]
        self._keys.append(piece[[name for name in _KEYS[1:] if name in piece.columns]])
        if self._running is not None:
            self._off.append(off_rows(piece, self._running))
        sensors = to_batch({str(name): piece[name].to_numpy() for name in piece.columns if name not in _KEYS})
        self._held.append(sensors)
        self._cells += sensors.num_rows * max(1, sensors.num_columns)
        self.n_rows += len(piece)
        if self._cells > _HELD_CELLS and self._folder is not None:
            self._files.append(self._folder / f"sensors_{len(self._files)}.arrow")
            write_numbers(self._files[-1], self._held)
            self._held, self._cells = [], 0

    def label(self, settings: DataConfig, interval: int, first_event: int) -> None:
        """Label the rows, once they are all there; events are numbered from `first_event` on."""
        keys = pd.concat(self._keys, ignore_index=True)
        asset = pd.Categorical.from_codes(np.concatenate(self._codes), categories=self._assets)
        self._keys, self._codes = [], []
        keys.insert(0, "asset_id", asset)
        rows = label_grid(
            keys,
            interval=interval,
            horizon=settings.prediction_horizon_seconds,
            during_failure=settings.during_failure,
            recovery_seconds=settings.recovery_seconds,
            off=np.concatenate(self._off) if self._off else None,
        )
        event = rows["event"].to_numpy()
        rows["event"] = np.where(event == NO_EVENT, NO_EVENT, event + first_event).astype(np.int32)
        self.rows = rows

    def pieces(self) -> Iterator[pd.DataFrame]:
        """The labelled rows with their sensors, as prepared data has them."""
        names = pd.Series(self._assets, dtype="str")
        start = 0
        for sensors in self._sensors():
            rows = self.rows.iloc[start : start + sensors.num_rows]
            start += sensors.num_rows
            data: dict[str, Any] = {
                "asset_id": names.take(rows["asset_id"].cat.codes).reset_index(drop=True),
                **{name: rows[name].array for name in ("timestamp", "segment")},
                **to_columns(sensors),
                **{name: rows[name].array for name in _LABELS if name in rows.columns},
            }
            yield pd.DataFrame(data)

    def _sensors(self) -> Iterator[pa.RecordBatch]:
        for file in self._files:
            yield from read_numbers(file)
        yield from self._held


def labelled_groups(
    pieces: Iterable[pd.DataFrame],
    settings: DataConfig,
    *,
    interval: int,
    folder: Path | None,
    running: Running | None = None,
) -> Iterator[Group]:
    """Cut grid rows into labelled groups of complete assets.

    Parameters
    ----------
    pieces
        The rows of one grid, in order.
    settings
        Horizon and meaning of the labels.
    interval
        Of the grid, in seconds.
    folder, running
        As of `Group`; a group's files are overwritten by the next one's.
    """
    events = 0

    def labelled(group: Group) -> Group:
        nonlocal events
        group.label(settings, interval, events)
        events = max(events, int(group.rows["event"].max()) + 1)
        return group

    group, last = Group(folder, running), None
    for piece in pieces:
        asset = piece["asset_id"].to_numpy()
        start = int(np.argmax(asset == asset[-1]))  # from there on the rows are of the asset that may go on
        if start:
            group.add(piece.iloc[:start])
        if group.n_rows >= GROUP_ROWS and (start or asset[0] != last):
            yield labelled(group)
            group = Group(folder, running)
        group.add(piece.iloc[start:])
        last = asset[-1]
    if group.n_rows:
        yield labelled(group)
