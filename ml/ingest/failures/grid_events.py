"""Events on the grid: which rows lie in them, and rows for those that begin where the readings pause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.ingest.failures.labels import UNSEEN

_MICROSECONDS = 1_000_000

_NONE: Int64s = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Intervals:
    """Stretches of grid rows that do not touch each other: first and last instant in seconds, (n,) each."""

    first: Int64s
    last: Int64s

    @classmethod
    def merged(cls, first: Int64s, last: Int64s, interval: int) -> Intervals:
        """Of any stretches, those that overlap or follow each other without a row between joined."""
        order = np.argsort(first, kind="stable")
        first, last = first[order], np.maximum.accumulate(last[order])
        begins = np.ones(len(first), dtype=np.bool_)
        begins[1:] = first[1:] > last[:-1] + interval
        at = np.flatnonzero(begins)
        return cls(first[at], last[np.append(at[1:], len(first)) - 1] if len(at) else last)

    def at(self, seconds: Int64s) -> Int64s:
        """Number of the stretch in which each instant lies, -1 outside, (n_rows,)."""
        before = np.searchsorted(self.first, seconds, side="right") - 1
        if not len(self.first):
            return before
        return np.where((before >= 0) & (seconds <= self.last[before]), before, -1)


def rows_of(microseconds: Int64s, interval: int) -> Int64s:
    """The grid instants (seconds) whose rows hold some times: the first at or after each."""
    step = interval * _MICROSECONDS
    return -(-microseconds // step) * interval


def seconds_of(frame: pd.DataFrame) -> Int64s:
    """Grid instants of a frame in seconds, (n_rows,)."""
    micros: Int64s = frame["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64)
    return micros // _MICROSECONDS


def asset_blocks(frame: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Name, first row and end of each asset in a frame that is sorted by asset."""
    codes, names = pd.factorize(frame["asset_id"])
    edges = np.flatnonzero(np.diff(codes, prepend=-1, append=-1)).tolist()
    return [(str(names[codes[start]]), start, stop) for start, stop in pairwise(edges)]


@dataclass(frozen=True)
class _Place:
    """Where the stream of rows has got to."""

    asset: str
    seconds: int
    segment: int


class OnsetRows:
    """Gives every onset a row.

    An onset in a pause of the readings, or at most `reach` seconds after the last of them, has none: it gets one with
    sensors that are missing, in a segment of its own, and the mark `UNSEEN`.

    Parameters
    ----------
    onsets
        Grid instants in seconds by asset, sorted.
    reach
        Seconds.
    """

    def __init__(self, onsets: Mapping[str, Int64s], reach: int) -> None:
        self._onsets, self._reach = onsets, reach
        self._added = 0

    def pieces(self, pieces: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """The rows of a grid with those that are added; `UNSEEN` is their last column."""
        before, template = _Place("", 0, -1), None
        for piece in pieces:
            yield self._with_rows(piece, piece, before.segment, *self._missing(piece, before))
            template = piece.iloc[-1:]
            last = piece.iloc[-1]
            before = _Place(str(last["asset_id"]), int(seconds_of(template)[0]), int(last["segment"]))
        after = self._after(before)
        if template is not None and len(after):
            at = np.zeros(len(after), dtype=np.int64)
            names = [before.asset] * len(after)
            yield self._with_rows(template.iloc[:0], template, before.segment, names, after, at)

    def _missing(self, piece: pd.DataFrame, before: _Place) -> tuple[list[str], Int64s, Int64s]:
        """Asset and instant of the rows that are missing in a piece, and before which of its rows they belong."""
        names: list[str] = []
        times, positions = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        seconds = seconds_of(piece)
        for asset, start, stop in asset_blocks(piece):
            own = seconds[start:stop]
            if asset != before.asset:
                wanted = [(before.asset, self._after(before), start)]
                before = _Place(asset, int(own[0]), 0)
            else:
                wanted = []
            onsets = self._onsets.get(asset, _NONE)
            inside = onsets[(onsets > before.seconds) & (onsets < own[-1])]
            wanted.append((asset, inside[~np.isin(inside, own)], start))
            before = _Place(asset, int(own[-1]), 0)
            for name, instants, first in wanted:
                names += [name] * len(instants)
                times.append(instants)
                positions.append(first + np.searchsorted(own, instants) * (name == asset))
        return names, np.concatenate(times), np.concatenate(positions)

    def _after(self, place: _Place) -> Int64s:
        onsets = self._onsets.get(place.asset, _NONE)
        return onsets[(onsets > place.seconds) & (onsets <= place.seconds + self._reach)]

    def _with_rows(
        self,
        piece: pd.DataFrame,
        template: pd.DataFrame,
        segment_before: int,
        names: list[str],
        times: Int64s,
        positions: Int64s,
    ) -> pd.DataFrame:
        """A piece with rows added; its segments are numbered anew."""
        added = np.zeros(len(piece) + len(times), dtype=np.bool_)
        added[positions + np.arange(len(positions))] = True
        segment = np.zeros(len(added), dtype=np.int64)
        segment[~added] = piece["segment"].to_numpy()
        segment = _carried(segment, added, segment_before) + np.cumsum(added) + self._added
        self._added += len(times)
        if not len(times):
            return piece.assign(segment=segment.astype(np.int32), **{UNSEEN: False})
        source = np.zeros(len(added), dtype=np.int64)
        source[~added] = np.arange(len(piece))
        frame = (piece if len(piece) else template).iloc[source].reset_index(drop=True)
        data: dict[str, Any] = {}
        for name in frame.columns:
            if name == "asset_id":
                values = frame[name].to_numpy(dtype=object, copy=True)
                values[added] = names
                data[name] = pd.Series(values, dtype="str")
            elif name == "timestamp":
                micros = frame[name].to_numpy(dtype="datetime64[us]").copy()
                micros[added] = (times * _MICROSECONDS).view("datetime64[us]")
                data[name] = pd.to_datetime(micros, utc=True).as_unit("us")
            elif name == "segment":
                data[name] = segment.astype(np.int32)
            else:
                cells = frame[name].to_numpy().copy()
                cells[added] = np.nan
                data[name] = cells
        return pd.DataFrame({**data, UNSEEN: added}, copy=False)


def _carried(segment: Int64s, added: Bools, before: int) -> Int64s:
    """Numbers of segments with that of the row before where a row is added."""
    latest = np.maximum.accumulate(np.where(added, -1, np.arange(len(added))))
    return np.where(latest >= 0, segment[latest], before)
