"""Batches of a source, in its own types and order, as one sorted frame of numbers and an account of what was odd."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import DataError
from ml.options.schema import SchemaConfig
from ml.readings import clock
from ml.readings.columns import ColumnPlan
from ml.readings.parsing import plain, to_flags, to_numbers
from ml.readings.time_range import TimeRange

ONLY_ASSET = "asset"
"""Name of the asset of an organisation that names none."""

_EXAMPLE_LENGTH = 60
_STEP_ROWS = 3  # so many rows in succession before the time that was reached make a clock step, fewer are late rows

Array = npt.NDArray[Any]


@dataclass
class Counts:
    """What happened to the rows on the way in."""

    rows_read: int = 0
    rows_in_range: int = 0
    unreadable_times: int = 0
    without_asset: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    clock_steps: int = 0  # where an asset's clock was set back, and not just a row came late
    without_zone: int = 0  # readable times that carried no zone
    unreadable: dict[str, int] = field(default_factory=dict)  # column -> values that could not be understood
    infinite: dict[str, int] = field(default_factory=dict)  # column -> values beyond any number
    out_of_range: dict[str, int] = field(default_factory=dict)  # column -> values that its validRange excludes


@dataclass(frozen=True)
class Readings:
    """Clean readings.

    ``frame`` has ``asset_id`` (str), ``timestamp`` (datetime64[us, UTC]), the sensors (float32, counters float64) and,
    where the source has them, ``target`` and ``label`` (float32: 0, 1, NaN); sorted by asset and time, no instant of
    an asset twice.
    """

    frame: pd.DataFrame
    counts: Counts


class ReadingCollector:
    """Takes a source's batches one by one and holds only the numbers of those within the range.

    Rows without a readable time or without an asset are dropped and counted, and so are values that cannot be read,
    that are infinite, or that lie outside the column's validRange. Of several rows of one asset at one
    instant the last one that came counts.

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
    """

    def __init__(self, plan: ColumnPlan, schema: SchemaConfig, zone: str, within: TimeRange) -> None:
        self.counts = Counts()
        self._plan = plan
        self._schema = schema
        self._zone = zone
        self._within = within
        flags = (("target", plan.target), ("label", plan.label))
        self._flags = {name: source for name, source in flags if source is not None}
        self._asset_codes: dict[str, int] = {}
        self._parts: dict[str, list[Array]] = {name: [] for name in self._column_names()}
        self._example: str | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch, which has the plan's source columns.

        Raises
        ------
        DataError
            If a column's type cannot hold what the schema says it is.
        """
        times = plain(batch.column(self._plan.timestamp))
        time = clock.to_microseconds(times, self._zone, self._plan.timestamp)
        readable = time != clock.UNREADABLE
        self._note_unreadable(times, readable)
        self.counts.without_zone += int((readable & clock.carries_no_zone(times)).sum())
        keep = readable & self._in_range(time)
        assets = self._assets(batch)
        if assets is not None:
            named = assets.is_valid().to_numpy(zero_copy_only=False)
            self.counts.without_asset += int((keep & ~named).sum())
            keep &= named
        self.counts.rows_read += batch.num_rows
        self.counts.rows_in_range += int(keep.sum())
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

        Raises
        ------
        DataError
            If there were rows, but not one with a readable time.
        """
        if 0 < self.counts.rows_read == self.counts.unreadable_times:
            raise DataError(
                f'no value of the time column "{self._plan.timestamp}" can be read as a time (such as {self._example})',
                field="schemaConfig.timestampColumn",
                hint="times are ISO 8601 text, dates of the database or file, or Unix epoch numbers",
            )
        return Readings(self.take(), self.counts)

    def take(self) -> pd.DataFrame:
        """The rows of `Readings` taken so far, which the collector then forgets; it goes on counting.

        Of use where batches come in order of time, so that no later row belongs before or beside these.
        """
        columns = {name: self._merge(name) for name in self._column_names()}
        names = sorted(self._asset_codes)
        rank = np.argsort(np.argsort(list(self._asset_codes))) if names else np.zeros(0, dtype=np.int64)
        asset, time = rank[columns.pop("asset_id")], columns.pop("timestamp")
        order = self._order(asset, time)
        data: dict[str, Any] = {
            "asset_id": pd.Series(names, dtype="str").take(asset[order]).reset_index(drop=True),
            "timestamp": pd.to_datetime(time[order], unit="us", utc=True).as_unit("us"),
        }
        for name in list(columns):
            data[name] = columns.pop(name)[order]
        self._asset_codes.clear()
        return pd.DataFrame(data, copy=False)

    def _column_names(self) -> list[str]:
        return ["asset_id", "timestamp", *self._plan.sensors, *self._flags]

    def _note_unreadable(self, times: pa.Array, readable: npt.NDArray[np.bool_]) -> None:
        self.counts.unreadable_times += int((~readable).sum())
        if self._example is None and not readable.all():
            self._example = _shown(times[int(np.argmin(readable))])[:_EXAMPLE_LENGTH]

    def _in_range(self, time: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
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
        raw = plain(batch.column(self._plan.asset))
        try:
            text = pc.utf8_trim_whitespace(pc.cast(raw, pa.string()))
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise DataError(f'the asset column "{self._plan.asset}" holds {raw.type} values, not names') from None
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)

    def _codes(self, assets: pa.Array | None, n_rows: int) -> npt.NDArray[np.int64]:
        if assets is None:
            self._asset_codes.setdefault(ONLY_ASSET, 0)
            return np.zeros(n_rows, dtype=np.int64)
        encoded = assets.dictionary_encode()
        known = [self._asset_codes.setdefault(name, len(self._asset_codes)) for name in encoded.dictionary.to_pylist()]
        codes: Array = np.array(known, dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
        return codes

    def _store_values(self, batch: pa.RecordBatch) -> None:
        for name, source in self._plan.sensors.items():
            read = to_flags if name in self._schema.boolean_columns else to_numbers
            values, unreadable = read(plain(batch.column(source)), source)
            self._count(self.counts.unreadable, name, unreadable)
            self._store(name, self._finite(name, self._possible(name, values)))
        for name, flag_source in self._flags.items():
            values, unreadable = to_flags(plain(batch.column(flag_source)), flag_source)
            self._store(name, values.astype(np.float32))
            self._count(self.counts.unreadable, flag_source, unreadable)

    def _possible(self, name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
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

    def _finite(self, name: str, values: npt.NDArray[np.float64]) -> Array:
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
        """Positions of the rows to keep, by asset and time; counts those out of order and those repeated."""
        arrived = np.argsort(asset, kind="stable")
        same_asset = np.diff(asset[arrived]) == 0
        backwards = same_asset & (np.diff(time[arrived]) < 0)
        self.counts.out_of_order += int(backwards.sum())
        self.counts.clock_steps += _clock_steps(asset[arrived], time[arrived], np.flatnonzero(backwards))
        order = np.lexsort((time, asset))
        repeated = np.zeros(len(order), dtype=bool)
        repeated[:-1] = (np.diff(asset[order]) == 0) & (np.diff(time[order]) == 0)
        self.counts.duplicates += int(repeated.sum())
        return order[~repeated]


def _shown(value: pa.Scalar) -> str:
    try:
        return repr(value.as_py())
    except (OverflowError, ValueError):  # a timestamp beyond the years that Python knows
        return str(value.cast(pa.int64()))


def _clock_steps(asset: Array, time: Array, before: Array) -> int:
    """At how many of the rows `before` time falls back and stays back for `_STEP_ROWS` rows of the same asset."""
    steps = np.ones(len(before), dtype=bool)
    for distance in range(1, _STEP_ROWS + 1):
        after = np.minimum(before + distance, len(asset) - 1)
        steps &= (before + distance < len(asset)) & (asset[after] == asset[before]) & (time[after] < time[before])
    return int(steps.sum())
