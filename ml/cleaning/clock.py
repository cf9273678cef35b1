"""Timestamps of every kind that plants write, as UTC microseconds.

Read are dates and times of the database or file, ISO 8601 text with or without a zone, and Unix epoch numbers (also
as text). The unit of an epoch number follows from its size: seconds below 1e11, then milliseconds, microseconds from
1e14 and nanoseconds from 1e17, which is right for every time after 1973. Times before 1900 and after 2200 are
placeholders and count as unreadable.

Times without a zone are local times of ``dataConfig.timezone``. Where clocks are set back, an hour of local time
happens twice and its first pass is meant; where they are set forward, an hour does not exist and is read with the
offset that held before the change. Both are the rule of PEP 495 for ``fold=0``, and neither raises.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Int64s
from ml.cleaning.parsing import clean_text, is_text
from ml.errors import DataError

UNREADABLE = np.iinfo(np.int64).min
"""Stands for a timestamp that is missing or cannot be read."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (np.inf, 1e-3))  # below -> microseconds per unit
# 1900 and 2200, exclusive. Nothing was measured outside; what lies there is a placeholder such as 9999-12-31.
EARLIEST, LATEST = -2_208_988_800_000_000, 7_258_118_400_000_000
"""Times at or before the one and at or after the other count as unreadable."""
FIRST_PLAUSIBLE_YEAR = 1990  # few loggers are older, and numbers that are no Unix epoch land in the 1970s and 80s
# .NET ticks of the years 1975 to 2035, which as nanoseconds are 1989 to 1990; no source counts those in nanoseconds.
_NET_TICKS = (6.23e17, 6.43e17)
_ONLY_A_NUMBER = r"^[+-]?\d+(\.\d*)?$"
_ENDS_WITH_ZONE = r"[T ].*([zZ]|[+-]\d{2}(:?\d{2})?)$"
_UTC_IN_WORDS = r"\s*(UTC|GMT)$"


def to_microseconds(column: pa.Array, zone: str, name: str) -> Int64s:
    """A timestamp column as microseconds since the epoch, `UNREADABLE` where that is not possible.

    Raises DataError if the column's type can never hold times, such as true/false.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), UNREADABLE)
    if is_text(kind):
        return within_limits(_from_text(clean_text(column), zone))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return within_limits(_from_epoch(pc.cast(column, pa.float64(), safe=False)))
    if not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        raise DataError(f'the time column "{name}" holds {kind} values, which are not times', field=name)
    raw = _stored(column)
    return within_limits(raw if pa.types.is_timestamp(kind) and kind.tz is not None else from_local(raw, zone))


def carries_no_zone(column: pa.Array) -> Bools:
    """Which times of a column are local: dates, timestamps without a zone, and text that names none."""
    kind = column.type
    if is_text(kind):
        _, _, local = _text_kinds(clean_text(column))
        return pc.fill_null(local, False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    local_type = pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)
    return np.full(len(column), bool(local_type))


def last_plausible_year() -> int:
    """Next year: clocks and forecasts run ahead, but not further."""
    return datetime.now(UTC).year + 1


def outside_plausible_years(time: Int64s) -> Bools:
    """Which readable times lie before 1990 or after next year."""
    first, after = (
        (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
        for year in (FIRST_PLAUSIBLE_YEAR, last_plausible_year() + 1)
    )
    strange: Bools = (time != UNREADABLE) & ((time < first) | (time >= after))
    return strange


def implausible(time: Int64s, column: pa.Array) -> Bools:
    """Which readable times of a column lie before 1990 or after next year, where no reading of a plant comes from.

    Numbers that are .NET ticks do not, but are counted among them: as nanoseconds they would all be of 1990.
    """
    strange = outside_plausible_years(time)
    ticks: Bools = (time >= _NET_TICKS[0] / 1e3) & (time < _NET_TICKS[1] / 1e3)
    if ticks.any() and is_text(column.type):
        ticks &= _text_kinds(clean_text(column))[0].to_numpy(zero_copy_only=False)
    numeric = is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    return strange | ticks if numeric else strange


def instant(moment: datetime, zone: str) -> int:
    """One configured date as microseconds since the epoch; without a zone it is local time of `zone`."""
    wall = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    # No row lies beyond the limits, so moving a date there leaves the range as it is.
    readable = min(max(wall // timedelta(microseconds=1), EARLIEST + 1), LATEST - 1)
    return readable if moment.tzinfo else int(from_local(np.array([readable]), zone)[0])


def microseconds_per_unit(number: float) -> float:
    """Which unit an epoch number of this size has, by the rule of the module."""
    return next(unit for limit, unit in _EPOCH_UNITS if abs(number) < limit)


def to_text(microseconds: int) -> str:
    """An instant as people read it: ISO 8601 in UTC, to the second."""
    return str(pd.Timestamp(microseconds, unit="us", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ"))


def to_exact_text(microseconds: int) -> str:
    """A time to the microsecond, without a zone: ``2024-01-31 23:59:59.000001``."""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%d %H:%M:%S.%f")


def _stored(column: pa.Array) -> Int64s:
    """Dates and timestamps of any unit as microseconds; what lies beyond the limits may not fit and is unreadable."""
    kind = column.type
    if pa.types.is_date32(kind):
        column, factor = pc.cast(column, pa.int32()), 86_400_000_000
    else:
        factor = {"s": 1_000_000, "ms": 1000}.get("ms" if pa.types.is_date64(kind) else kind.unit, 1)
        nanoseconds = pa.types.is_timestamp(kind) and kind.unit == "ns"
        column = pc.cast(column, pa.timestamp("us", tz=kind.tz), safe=False) if nanoseconds else column
    number = pc.fill_null(pc.cast(column, pa.int64()), UNREADABLE).to_numpy(zero_copy_only=False)
    fits = (number > EARLIEST // factor) & (number < LATEST // factor)
    return np.where(fits, np.where(fits, number, 0) * factor, UNREADABLE)


def _from_text(text: pa.Array, zone: str) -> Int64s:
    zoned = pc.replace_substring_regex(text, _UTC_IN_WORDS, "Z")
    number, has_zone, local = _text_kinds(text)
    time = np.full(len(text), UNREADABLE)
    _fill(time, number, lambda: _from_epoch(pc.cast(text.filter(number), pa.float64())))
    _fill(time, has_zone, lambda: _from_iso(zoned.filter(has_zone), "UTC"))
    _fill(time, local, lambda: from_local(_from_iso(zoned.filter(local), None), zone))
    return time


def _text_kinds(text: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Which texts are epoch numbers, which name a zone, and which do neither."""
    number = pc.fill_null(pc.match_substring_regex(text, _ONLY_A_NUMBER), False)
    zoned = pc.replace_substring_regex(text, _UTC_IN_WORDS, "Z")
    has_zone = pc.fill_null(pc.match_substring_regex(zoned, _ENDS_WITH_ZONE), False)
    return number, has_zone, pc.invert(pc.or_(number, has_zone))


def _fill(time: Int64s, mask: pa.Array, read: Callable[[], Int64s]) -> None:
    chosen = mask.to_numpy(zero_copy_only=False)
    if chosen.any():
        time[chosen] = read()


def _from_iso(text: pa.Array, zone: str | None) -> Int64s:
    """ISO 8601 text, which either has a zone or is taken as if it were UTC, as microseconds."""
    try:
        parsed = pc.cast(text, pa.timestamp("us", tz=zone))
        raw: Int64s = pc.fill_null(pc.cast(parsed, pa.int64()), UNREADABLE).to_numpy(zero_copy_only=False)
        return raw
    except pa.ArrowInvalid:  # a spelling that Arrow does not know, or no time at all: the slow way that tells which
        strings = pd.Series(text.to_pylist(), dtype="str")
        return to_integers(pd.DatetimeIndex(pd.to_datetime(strings, format="ISO8601", errors="coerce", utc=True)))


def _from_epoch(numbers: pa.Array) -> Int64s:
    values = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    factor = np.select([np.abs(values) < limit for limit, _ in _EPOCH_UNITS], [unit for _, unit in _EPOCH_UNITS])
    scaled = np.round(values * factor)
    known &= (scaled > EARLIEST) & (scaled < LATEST)
    return np.where(known, np.where(known, scaled, 0.0).astype(np.int64), UNREADABLE)


def from_local(naive: Int64s, zone: str) -> Int64s:
    """Local microseconds to UTC; the wall-clock rules are those of the module."""
    if zone == "UTC":
        return naive
    wall = pd.DatetimeIndex(within_limits(naive).view("datetime64[us]"))  # numpy's NaT is the same integer
    first_pass = np.ones(len(wall), dtype=bool)
    before = wall.tz_localize(zone, ambiguous=first_pass, nonexistent="shift_backward")
    offset = before.tz_localize(None) - before.tz_convert("UTC").tz_localize(None)
    return to_integers(wall - offset)


def to_integers(times: pd.DatetimeIndex) -> Int64s:
    """Times as microseconds, `UNREADABLE` for those that are missing."""
    raw = times.as_unit("us").to_numpy(dtype="datetime64[us]").view(np.int64)
    return np.where(times.isna(), UNREADABLE, raw)


def within_limits(time: Int64s) -> Int64s:
    """Times with `UNREADABLE` for those before 1900 and after 2200."""
    return np.where((time > EARLIEST) & (time < LATEST), time, UNREADABLE)
