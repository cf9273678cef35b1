"""Batches of a source, in its own types and order, as one sorted frame of numbers and an account of what was odd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml.arrays import Bools, Float64s, Int64s
from ml.cleaning import clock
from ml.cleaning.columns import ColumnPlan
from ml.cleaning.counts import Counts
from ml.cleaning.instants import merge_rows
from ml.cleaning.notation.detection import Notation
from ml.cleaning.parsing import NOT_UNDERSTOOD, asset_names, plain, to_codes, to_flags, to_numbers
from ml.cleaning.refusals import refuse_times
from ml.cleaning.time_range import TimeRange
from ml.options.schema import SchemaConfig

ONLY_ASSET = "asset"
"""Name of the asset of an organisation that names none."""

_MOSTLY = 0.9  # share of an asset's steps in time that go back in a file whose newest row comes first
_LARGEST_STEP = 25 * 3_600_000_000  # microseconds; what falls back further is an older part of the history, or a copy
_DISORDER = 0.1  # share of steps that go back in a source that is in no order of time at all
_STEP_ROWS = 3  # so many rows in succession before the time that was reached make a clock step, fewer are late rows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Readings:
    """Clean readings.

    ``frame`` has ``asset_id`` (str), ``timestamp`` (datetime64[us, UTC]), the sensors (float32, counters float64) and,
    where the source has them, the flags (``target``, ``label`` and others of `ml.cleaning.flags`; float32: 0, 1, NaN);
    sorted by asset and time, no instant of an asset twice.
    """

    frame: pd.DataFrame
    counts: Counts


class ReadingCollector:
    """Takes a source's batches one by one and holds only the numbers of those within the range.

    Rows without a plausible time or without an asset are dropped and counted, and so are values that cannot be read,
    that are infinite, or that lie outside the column's validRange. Several rows of one asset at one instant are made
    one, as `ml.cleaning.instants` says.

    Parameters
    ----------
    plan
        Columns of the batches and their parts.
    schema
        Which sensors are counters and two-state.
    zone
        IANA zone of times that carry none.
    within
        Rows to keep.
    any_year
        Whether times before 1990 and after next year are kept like others.
    notation
        How the columns are written.
    """

    def __init__(
        self,
        plan: ColumnPlan,
        schema: SchemaConfig,
        zone: str,
        within: TimeRange,
        *,
        any_year: bool = True,
        notation: Notation | None = None,
    ) -> None:
        self.waiting = 0
        """Rows that `take` has not given yet."""
        self.counts = Counts(
            flag_columns={flag.source for flag in plan.flags}, word_columns={*schema.categorical_columns}
        )
        self._plan = plan
        self._schema = schema
        self._conversions = schema.conversions
        self._zone = zone
        self._within = within
        self._any_year = any_year
        self._flags = [flag.name for flag in plan.flags]
        self._notation = notation or Notation()
        self.counts.notation |= self._notation.found
        self._asset_codes: dict[str, int] = {}
        self._steps = np.zeros(3, dtype=np.int64)  # back in time, on, and clocks set back
        self._parts: dict[str, list[Array]] = {name: [] for name in self._column_names()}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch, which has the plan's source columns.

        Raises DataError if a column's type cannot hold what the schema says it is.
        """
        times = plain(batch.column(self._plan.timestamp))
        time = self._notation.times.to_microseconds(times, self._zone, self._plan.timestamp)
        readable = self._usable(times, time)
        self.counts.without_zone += int((readable & self._notation.times.carries_no_zone(times)).sum())
        keep = readable & self._in_range(time)
        assets = self._assets(batch)
        if assets is not None:
            named = assets.is_valid().to_numpy(zero_copy_only=False)
            self.counts.without_asset += int((keep & ~named).sum())
            keep &= named
        self.counts.rows_read += batch.num_rows
        self.counts.rows_in_range += int(keep.sum())
        self.waiting += int(keep.sum())
        if not keep.all():
            mask = pa.array(keep)
            batch, time = batch.filter(mask), time[keep]
            assets = None if assets is None else assets.filter(mask)
        self._store("timestamp", time)
        self._store("asset_id", self._codes(assets, len(time)))
        self._store_values(batch)

    def note_rows_without_time(self, rows: int) -> None:
        """Count rows that a database left out because they have no readable time."""
        self.counts.rows_read += rows
        self.counts.unreadable_times += rows

    def finish(self) -> Readings:
        """All rows taken, sorted and without repeated instants.

        Raises DataError if there were rows, but not one with a readable time.
        """
        refuse_times(self.counts, self._plan.timestamp, most_odd=1.0)
        return Readings(self.take(), self.counts)

    def take(self) -> pd.DataFrame:
        """The rows of `Readings` taken so far, which the collector then forgets; it goes on counting."""
        names = sorted(self._asset_codes)
        rank = np.argsort(np.argsort(list(self._asset_codes))) if names else np.zeros(0, dtype=np.int64)
        asset, time = rank[self._merge("asset_id")], self._merge("timestamp")
        order = self._order(asset, time)
        asset, time = asset[order], time[order]
        starts = np.ones(len(order), dtype=np.bool_)
        starts[1:] = (np.diff(asset) != 0) | (np.diff(time) != 0)
        rows = merge_rows({name: self._merge(name)[order] for name in self._column_names()[2:]}, starts, self._flags)
        asset, time = asset[rows.last], time[rows.last]
        self.counts.note_merged(rows, asset, time, names, len(order))
        data: dict[str, Any] = {
            "asset_id": pd.Series(names, dtype="str").take(asset).reset_index(drop=True),
            "timestamp": pd.to_datetime(time, unit="us", utc=True).as_unit("us"),
            **rows.columns,
        }
        self._asset_codes.clear()
        self.waiting = 0
        return pd.DataFrame(data, copy=False)

    def _column_names(self) -> list[str]:
        return ["asset_id", "timestamp", *self._plan.sensors, *self._flags]

    def _usable(self, times: pa.Array, time: Int64s) -> Bools:
        """Which rows have a time that can be used; the others are counted, with some of their values."""
        readable: Bools = time != clock.UNREADABLE
        strange = ~readable & times.is_valid().to_numpy(zero_copy_only=False)
        self.counts.unreadable_times += int((~readable).sum())
        if not self._any_year:
            implausible = self._notation.times.implausible(time, times)
            self.counts.implausible_times += int(implausible.sum())
            strange |= implausible
            readable &= ~implausible
        self.counts.note_times(times, strange)
        return readable

    def _in_range(self, time: Int64s) -> Bools:
        inside = np.ones(len(time), dtype=bool)
        if self._within.start is not None:
            inside &= time >= self._within.start
        if self._within.end is not None:
            inside &= time < self._within.end
        return inside

    def _assets(self, batch: pa.RecordBatch) -> pa.Array | None:
        """Asset names as text, null where there is none; None if the organisation has one asset."""
        if self._plan.asset is None:
            return None
        return asset_names(batch.column(self._plan.asset), self._plan.asset)

    def _codes(self, assets: pa.Array | None, n_rows: int) -> Int64s:
        if assets is None:
            self._asset_codes.setdefault(ONLY_ASSET, 0)
            return np.zeros(n_rows, dtype=np.int64)
        encoded = assets.dictionary_encode()
        known = [self._asset_codes.setdefault(name, len(self._asset_codes)) for name in encoded.dictionary.to_pylist()]
        codes: Array = np.array(known, dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
        return codes

    def _store_values(self, batch: pa.RecordBatch) -> None:
        for name, source in self._plan.sensors.items():
            column = plain(batch.column(source))
            values, unreadable = self._read(name, column, source)
            self.counts.note_values(name, column, values, unreadable)
            self._store(name, self._finite(name, self._possible(name, values)))
        noted: set[str] = set()
        for flag in self._plan.flags:
            column = plain(batch.column(flag.source))
            values, unreadable = self._notation.read_flag(column, flag)
            if flag.source not in noted:  # several flags may come from one column
                self.counts.note_values(flag.source, column, values, unreadable)
                if flag.failed is not None:
                    self.counts.note_words(flag.source, column)
                noted.add(flag.source)
            self._count(self.counts.failed, flag.source, int((values == 1).sum()))
            self._store(flag.name, np.where(unreadable, NOT_UNDERSTOOD, values).astype(np.float32))

    def _read(self, name: str, column: pa.Array, source: str) -> tuple[Float64s, Bools]:
        """A sensor's values, and which could not be read."""
        words = self._schema.categorical_columns.get(name)
        if words is not None:
            values, unreadable = to_codes(column, source, words)
            nulls = self._notation.null_words_in(column, unreadable)
        else:
            parse = to_flags if name in self._schema.boolean_columns else to_numbers
            values, unreadable = self._notation.read(column, source, parse)
            nulls = self._notation.null_values(column, values, unreadable)
        if nulls.any():
            self._count(self.counts.null_values, name, int(nulls.sum()))
            values, unreadable = np.where(nulls, np.nan, values), unreadable & ~nulls
        if name in self._conversions:
            factor, offset = self._conversions[name]
            with np.errstate(over="ignore"):
                values = values * factor + offset
        return values, unreadable

    def _possible(self, name: str, values: Float64s) -> Float64s:
        """Values within the column's validRange; the others, but for infinite ones, are missing and counted."""
        low, high = self._schema.valid_range.get(name, (None, None))
        outside = np.zeros(len(values), dtype=bool)
        if low is not None:
            outside |= values < low
        if high is not None:
            outside |= values > high
        outside &= np.isfinite(values)
        self._count(self.counts.out_of_range, name, int(outside.sum()))
        return np.where(outside, np.nan, values) if outside.any() else values

    def _finite(self, name: str, values: Float64s) -> Array:
        """Values in the type they keep from here on; what is infinite in it is missing and counted."""
        with np.errstate(over="ignore"):
            kept: Array = values if name in self._schema.counter_columns else values.astype(np.float32)
        infinite = np.isinf(kept)
        self._count(self.counts.infinite, name, int(infinite.sum()))
        return np.where(infinite, np.array(np.nan, dtype=kept.dtype), kept)

    def _store(self, name: str, values: Array) -> None:
        self._parts[name].append(values)

    @staticmethod
    def _count(counts: dict[str, int], name: str, found: int) -> None:
        if found:
            counts[name] = counts.get(name, 0) + found

    def _merge(self, name: str) -> Array:
        parts, self._parts[name] = self._parts[name], []
        if parts:
            return np.concatenate(parts)
        return np.zeros(0, dtype=np.int64 if name in ("asset_id", "timestamp") else np.float32)

    def _order(self, asset: Array, time: Array) -> Array:
        """Positions of the rows by asset and time, rows of one instant as they came; counts those out of order."""
        arrived = np.argsort(asset, kind="stable")
        step = np.where(np.diff(asset[arrived]) == 0, np.diff(time[arrived]), 0)
        back, on = int((step < 0).sum()), int((step > 0).sum())
        few = 0 < back < _DISORDER * (back + on)
        clock_steps = _clock_steps(asset[arrived], time[arrived], np.flatnonzero(step < 0)) if few else 0
        self._steps += (back, on, clock_steps)
        self._count_order(*self._steps.tolist())
        return np.lexsort((time, asset))

    def _count_order(self, back: int, on: int, clock_steps: int) -> None:
        """Say what steps back in time, among so many steps on, mean for all rows so far."""
        newest_first = back > _MOSTLY * (back + on) and back + on >= _STEP_ROWS
        self.counts.newest_first = back if newest_first else 0
        self.counts.out_of_order = 0 if newest_first else back
        self.counts.clock_steps = clock_steps if back < _DISORDER * (back + on) else 0


def _clock_steps(asset: Array, time: Array, before: Array) -> int:
    """At how many of the rows `before` a clock was set back.

    Time falls back there by at most a day, to where the asset has been before, and stays back for `_STEP_ROWS` rows of
    the same asset. A part of a history that comes after a later part falls back, too, but further, or to where nothing
    of the asset was yet.
    """
    rank = np.empty(len(time), dtype=np.int64)
    rank[np.argsort(time, kind="stable")] = np.arange(len(time))
    # Later assets have larger codes: subtracted, each asset starts below whatever the one before it reached.
    earliest = np.minimum.accumulate(rank - asset * len(time)) + asset * len(time)
    steps = (rank[before + 1] >= earliest[before]) & (time[before] - time[before + 1] <= _LARGEST_STEP)
    for distance in range(1, _STEP_ROWS + 1):
        after = np.minimum(before + distance, len(asset) - 1)
        steps &= (before + distance < len(asset)) & (asset[after] == asset[before]) & (time[after] < time[before])
    return int(steps.sum())
