"""Irregular readings onto a regular grid: one row per asset and sampling interval, holding only what was known then.

Grid instants are the multiples of the sampling interval since the Unix epoch. A reading at time ``s`` belongs to the
first instant ``g >= s``, so the row at ``g`` covers ``(g - interval, g]`` and nothing later can reach it.

========== =================================================================================================
column     value of the row at ``g``
========== =================================================================================================
continuous the last reading that is not NaN, if it is at most ``max_gap`` seconds older than ``g``, else NaN;
           with ``aggregation="mean"`` the mean of the interval's readings, and where there are none, as before
counter    as continuous, always the last reading, kept in float64
category   as continuous, always the last reading, as its code
two-state  1 if any reading of the interval is 1, 0 if it has other readings; where it has none, the last
           reading if it is at most ``max_gap`` seconds older than ``g``, else NaN
flags      as two-state; a reading that was not understood makes its interval, without a 1 in it, and what it would
           be carried to NaN: nothing older is carried over it
========== =================================================================================================

A pause of more than ``max_gap`` seconds between consecutive readings of an asset ends a segment at the grid row of the
reading before it; the next segment starts at the grid row of the reading after it. No value crosses that boundary.
``max_gap`` is one number for all assets but those that log far more slowly than the grid: theirs is in ``own_gaps``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.cleaning.parsing import NOT_UNDERSTOOD
from ml.errors import ConfigError, DataError
from ml.options.schema import SchemaConfig

MAX_GAP_INTERVALS = 5  # default of maxGapSeconds; a few lost readings are a hiccup, more are an outage
FLAG_COLUMNS = ("target", "label")  # two-state columns that travel beside the sensors
_MICROSECONDS = 1_000_000
_SPACINGS = 1_000_000  # different ones that are held twice for a while
# Both must be exceeded: event-driven readings are rightly sparse, and a small table is harmless however sparse it is.
_ROWS_PER_READING = 1000
_ROWS_ALWAYS_ALLOWED = 10_000_000  # about a gigabyte while the grid is built

Floats = npt.NDArray[Any]  # float32 or float64


def resolve_interval(asset_id: pd.Series, timestamp: pd.Series) -> int:
    """The median spacing of each asset's readings, taken over all assets, in whole seconds and at least 1.

    Readings may come in any order; readings of one asset at the same instant count once.

    Raises DataError if no asset has two readings at different times.
    """
    codes, _ = pd.factorize(asset_id)
    time = _microseconds(timestamp)
    order = np.lexsort((time, codes))
    spacings = Spacings()
    spacings.add(codes[order], time[order])
    return spacings.interval()


class Spacings:
    """How often each spacing between readings occurs; the number of readings does not matter for memory."""

    def __init__(self) -> None:
        self._counted: list[tuple[Int64s, Int64s]] = []
        self._last: tuple[int, int] | None = None

    def add(self, asset: Int64s, time: Int64s) -> None:
        """Take the next readings, sorted by asset code and microseconds over all calls; both of shape (n_rows,)."""
        if not len(time):
            return
        if self._last is not None:
            asset, time = np.append(self._last[0], asset), np.append(self._last[1], time)
        self._last = int(asset[-1]), int(time[-1])
        spacing = np.diff(time)[np.diff(asset) == 0]
        self._counted.append(np.unique(spacing[spacing > 0], return_counts=True))
        if sum(len(values) for values, _ in self._counted[1:]) > max(_SPACINGS, len(self._counted[0][0])):
            self._counted = [self._summed()]

    def interval(self) -> int:
        """The median spacing in whole seconds, at least 1; raises as `resolve_interval`."""
        return median_interval(*self._summed()) if self._counted else median_interval(np.zeros(0, dtype=np.int64))

    def _summed(self) -> tuple[Int64s, Int64s]:
        values, position = np.unique(np.concatenate([values for values, _ in self._counted]), return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, position, np.concatenate([counts for _, counts in self._counted]))
        return values, counts


def median_interval(spacing: Int64s, counts: Int64s | None = None) -> int:
    """The median of spacings in whole seconds, at least 1; raises as `resolve_interval`.

    Parameters
    ----------
    spacing
        Microseconds; sorted and different from each other if `counts` tells how often each occurs.
    """
    if len(spacing) == 0:
        raise DataError(
            "the sampling interval cannot be derived: no asset has readings at two different times",
            field="dataConfig.samplingIntervalSeconds",
            hint="set dataConfig.samplingIntervalSeconds, or widen dataRange",
        )
    if counts is not None:
        up_to = np.cumsum(counts)
        spacing = spacing[np.searchsorted(up_to, [(up_to[-1] - 1) // 2, up_to[-1] // 2], side="right")]
    return max(1, round(float(np.median(spacing)) / _MICROSECONDS))


def resolve_max_gap(max_gap: int | None, interval: int) -> int:
    """How long a value is carried, in seconds: as configured, or `MAX_GAP_INTERVALS` sampling intervals.

    Raises ConfigError if the configured value is shorter than the sampling interval: every row would be a segment of
    its own.
    """
    if max_gap is None:
        return MAX_GAP_INTERVALS * interval
    if max_gap < interval:
        raise ConfigError(
            f"maxGapSeconds is {max_gap}, but the sampling interval is {interval} s and the gap cannot be shorter",
            field="dataConfig.maxGapSeconds",
            hint=f"set maxGapSeconds to {interval} or more, or leave it out ({MAX_GAP_INTERVALS * interval})",
        )
    return max_gap


def to_grid(
    frame: pd.DataFrame,
    *,
    schema: SchemaConfig,
    interval: int,
    max_gap: int,
    aggregation: Literal["last", "mean"] = "last",
    flags: Sequence[str] = FLAG_COLUMNS,
    own_gaps: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Put readings on the grid; see the module for the meaning of every cell.

    Raises DataError if a column is missing or not numeric, a timestamp is missing or has no zone, or `frame` is empty;
    ConfigError if `max_gap` is shorter than `interval`, or if the grid would have over 1000 rows per reading and over
    ten million in all, which takes an interval far too short and a gap far too long for the readings.

    Parameters
    ----------
    frame
        Columns ``asset_id``, ``timestamp`` (datetime64 with a zone, no NaT) and the sensors of `schema` as numbers, in
        any row order. Of several readings of one asset at one instant the last row counts. Infinite values are missing.
    schema
        Which columns are continuous, counters and two-state.
    interval, max_gap
        Seconds.
    aggregation
        What a continuous column shows of its interval.
    flags
        Further columns to carry as two-state, where `frame` has them; `NOT_UNDERSTOOD` in them is unknown.
    own_gaps
        Seconds in place of `max_gap`, by the name of the asset.

    Returns
    -------
    pandas.DataFrame
        ``asset_id, timestamp, segment``, the sensors in the order of the schema, then the flags; one row per grid
        instant from the first to the last reading of each segment, sorted by asset and time, numbered from 0. Sensors
        and flags are float32 (also before a mean is taken), counters float64.
    """
    resolve_max_gap(max_gap, interval)
    present = [name for name in flags if name in frame.columns]
    _require_columns(frame, ("asset_id", "timestamp", *schema.sensor_columns))
    names, order, codes, time = _sorted_readings(frame)
    layout = _Layout.of(codes, time, interval * _MICROSECONDS, limits_of(names, max_gap, own_gaps or {}))

    columns: dict[str, Any] = {
        "asset_id": pd.Series(names, dtype="str").take(codes[layout.reading_of_row]).reset_index(drop=True),
        "timestamp": pd.to_datetime(layout.row_time, unit="us", utc=True).as_unit("us"),
        "segment": layout.segment_of_row.astype(np.int32),
    }
    for name in schema.sensor_columns:
        counter = name in schema.counter_columns
        values = _finite(frame, name, np.float64 if counter else np.float32)[order]
        if name in schema.boolean_columns:
            columns[name] = layout.any_of(values)
        elif aggregation == "mean" and not counter and name not in schema.categorical_columns:
            columns[name] = layout.mean_of(values)
        else:
            columns[name] = layout.last_of(values)
    for name in present:
        columns[name] = layout.flag_of(_finite(frame, name, np.float32)[order])
    return pd.DataFrame(columns, copy=False)


@dataclass(frozen=True)
class _Layout:
    """Which readings (sorted by asset and time) stand behind which grid row; times in microseconds."""

    time: Int64s  # (n_readings,)
    row_of_reading: Int64s  # (n_readings,)
    row_time: Int64s  # (n_rows,)
    segment_of_row: Int64s  # (n_rows,)
    reading_of_row: Int64s  # (n_rows,) the newest reading at or before the row, of the row's segment
    first_reading_of_row: Int64s  # (n_rows,) the oldest reading of the row's segment
    limit_of_row: Int64s  # (n_rows,) or (1,), the asset's gap limit

    @classmethod
    def of(cls, codes: Int64s, time: Int64s, step: int, limits: Int64s) -> _Layout:
        limit = limits[codes[1:]] if len(limits) > 1 else limits
        instant = -(-time // step)  # ceiling: a reading is known from the next grid instant on
        starts = np.ones(len(time), dtype=bool)
        starts[1:] = (np.diff(codes) != 0) | (np.diff(time) > limit)
        first = np.flatnonzero(starts)
        last = np.append(first[1:], len(time)) - 1
        lengths = instant[last] - instant[first] + 1
        refuse_absurd_size(int(lengths.sum()), len(time), step // _MICROSECONDS, int(limits.max()) // _MICROSECONDS)
        row_starts = np.cumsum(lengths) - lengths
        segment_of_reading = np.cumsum(starts) - 1
        row_of_reading = row_starts[segment_of_reading] + instant - instant[first][segment_of_reading]

        segment_of_row = np.repeat(np.arange(len(first)), lengths)
        n_rows = int(lengths.sum())
        row_time = (np.arange(n_rows) - row_starts[segment_of_row] + instant[first][segment_of_row]) * step
        readings_up_to_row = np.cumsum(np.bincount(row_of_reading, minlength=n_rows))
        return cls(
            time=time,
            row_of_reading=row_of_reading,
            row_time=row_time,
            segment_of_row=segment_of_row,
            reading_of_row=readings_up_to_row - 1,
            first_reading_of_row=first[segment_of_row],
            limit_of_row=limits[codes[readings_up_to_row - 1]] if len(limits) > 1 else limits,
        )

    def last_of(self, values: Floats) -> Floats:
        """The last value that is not NaN at each row, NaN where there is none or it is too old."""
        known = np.where(np.isnan(values), -1, np.arange(len(values)))
        source = np.maximum.accumulate(known)[self.reading_of_row]
        usable = source >= self.first_reading_of_row
        usable &= self.row_time - self.time[source] <= self.limit_of_row
        return np.where(usable, values[source], np.array(np.nan, dtype=values.dtype))

    def mean_of(self, values: Floats) -> Floats:
        """The float64 mean of each row's own readings, as float32; `last_of` where a row has none."""
        known = ~np.isnan(values)
        counts = self._count(known)
        sums = np.bincount(self.row_of_reading[known], weights=values[known], minlength=len(self.row_time))
        means = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
        return np.where(counts > 0, means.astype(np.float32), self.last_of(values))

    def any_of(self, values: Floats) -> Floats:
        """Whether any of each row's own readings is 1; `last_of` where a row has none."""
        measured = self._count(~np.isnan(values)) > 0
        active = self._count(values == 1) > 0
        return np.where(measured, active.astype(np.float32), self.last_of(values))

    def flag_of(self, values: Floats) -> Floats:
        """As `any_of`, but NaN where a reading was not understood, and none of the row's own is 1."""
        states = self.any_of(values)
        doubtful = values == NOT_UNDERSTOOD
        if not doubtful.any():
            return states
        unknown = (self._count(doubtful) > 0) & (states != 1)
        return np.where(unknown | (states == NOT_UNDERSTOOD), np.array(np.nan, dtype=values.dtype), states)

    def _count(self, mask: Bools) -> Int64s:
        return np.bincount(self.row_of_reading[mask], minlength=len(self.row_time))


def limits_of(assets: Sequence[str], max_gap: int, own_gaps: Mapping[str, int]) -> Int64s:
    """Gap limits of named assets in microseconds, (n_assets,); (1,) where it is the same for all."""
    if not own_gaps:
        return np.array([max_gap * _MICROSECONDS])
    return np.array([own_gaps.get(name, max_gap) * _MICROSECONDS for name in assets], dtype=np.int64)


def refuse_absurd_size(rows: int, readings: int, interval: int, max_gap: int) -> None:
    """Raise ConfigError if nearly all rows of a grid would be copies of a few readings."""
    if rows <= max(_ROWS_ALWAYS_ALLOWED, _ROWS_PER_READING * readings):
        return
    raise ConfigError(
        f"dataConfig.samplingIntervalSeconds of {interval} with dataConfig.maxGapSeconds of "
        f"{max_gap} makes {rows:,} grid rows of {readings:,} readings; allowed are "
        f"{_ROWS_PER_READING:,} rows per reading, or {_ROWS_ALWAYS_ALLOWED:,} in all",
        field="dataConfig.samplingIntervalSeconds",
        hint="set samplingIntervalSeconds to about the time between readings, or maxGapSeconds to a few times that",
    )


def _require_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f'the readings have no column "{missing[0]}"', field=missing[0])
    if len(frame) == 0:
        raise DataError("there are no readings to put on the grid")


def _sorted_readings(frame: pd.DataFrame) -> tuple[list[str], Int64s, Int64s, Int64s]:
    """Asset names; then, by asset name and time and without repeated instants: row positions, asset codes, times."""
    raw_codes, raw_names = pd.factorize(frame["asset_id"].astype("str"))
    if (raw_codes < 0).any():
        raise DataError("some readings name no asset", field="asset_id")
    rank = np.argsort(np.argsort(raw_names.to_numpy(dtype=object)))
    codes = rank[raw_codes]
    time = _microseconds(frame["timestamp"])
    order = np.lexsort((time, codes))  # stable, so readings of one instant stay in the order they came in
    codes, time = codes[order], time[order]
    newest = np.ones(len(order), dtype=bool)
    newest[:-1] = (np.diff(codes) != 0) | (np.diff(time) != 0)
    return sorted(raw_names), order[newest], codes[newest], time[newest]


def _microseconds(timestamp: pd.Series) -> Int64s:
    if not isinstance(timestamp.dtype, pd.DatetimeTZDtype):
        raise DataError(
            f"timestamps must be datetime64 with a time zone, not {timestamp.dtype}",
            field="timestamp",
            hint="use pandas.to_datetime(..., utc=True)",
        )
    if timestamp.isna().any():
        raise DataError("some readings have no timestamp", field="timestamp")
    return timestamp.dt.as_unit("us").to_numpy(dtype="datetime64[us]").view(np.int64)  # type: ignore[no-any-return]


def _finite(frame: pd.DataFrame, name: str, dtype: type[np.floating[Any]]) -> Floats:
    try:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and infinite is missing
            values = frame[name].to_numpy(dtype=dtype, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(f'the column "{name}" is not numeric ({frame[name].dtype})', field=name) from None
    infinite = np.isinf(values)
    return np.where(infinite, np.array(np.nan, dtype=dtype), values) if infinite.any() else values
