"""Times in a format that `ml.cleaning.clock` does not know by itself: formats of strptime, and numbers with a name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Int64s
from ml.cleaning import clock
from ml.cleaning.parsing import clean_text, is_text, to_numbers
from ml.options.access.file_format import DEFAULT_TIMES, NUMBERED_TIMES

_DAY = 86_400
_SCALES = {  # seconds of the unit, and Unix time of the zero in seconds
    "seconds": (1.0, 0.0),
    "milliseconds": (1e-3, 0.0),
    "microseconds": (1e-6, 0.0),
    "nanoseconds": (1e-9, 0.0),
    "days": (_DAY, 0.0),
    "excel": (_DAY, -25_569.0 * _DAY),
    "filetime": (1e-7, -11_644_473_600.0),
    "ticks": (1e-7, -62_135_596_800.0),
    "matlab": (_DAY, -719_529.0 * _DAY),
    "julian": (_DAY, -2_440_587.5 * _DAY),
    "modifiedJulian": (_DAY, -40_587.0 * _DAY),
    "labview": (1.0, -2_082_844_800.0),
}
_WALL_CLOCKS = frozenset({"excel", "matlab", "ticks", "days", "julian", "modifiedJulian"})  # they know no zone
_UTC_WORDS = ("Z", "UTC", "GMT")
_DIGITS = frozenset({"%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"})


@dataclass(frozen=True)
class TimeFormat:
    """How a time column is written."""

    name: str = DEFAULT_TIMES
    """`iso`, a name of `ml.options.access.file_format.NUMBERED_TIMES`, or a format of strptime."""
    others: tuple[str, ...] = ()  # further formats of strptime, for texts that `name` does not fit

    @property
    def is_default(self) -> bool:
        """Whether `ml.cleaning.clock` reads the times."""
        return self.name == DEFAULT_TIMES

    def to_microseconds(self, column: pa.Array, zone: str, name: str) -> Int64s:
        """The column as microseconds since the epoch, as `ml.cleaning.clock.to_microseconds` gives it."""
        if self.is_default or not _is_written(column):
            return clock.to_microseconds(column, zone, name)
        if self.name in NUMBERED_TIMES:
            time = _from_numbers(column, name, self.name)
            return clock.from_local(time, zone) if self.name in _WALL_CLOCKS else time
        return self._from_text(_as_text(column), zone)

    def carries_no_zone(self, column: pa.Array) -> Bools:
        """Which times of the column are local."""
        if self.is_default or not _is_written(column):
            return clock.carries_no_zone(column)
        local = self.name in _WALL_CLOCKS if self.name in NUMBERED_TIMES else _is_local(self.name)
        return np.full(len(column), local)

    def implausible(self, time: Int64s, column: pa.Array) -> Bools:
        """Which readable times lie where no reading of a plant comes from."""
        return clock.implausible(time, column) if self.is_default else clock.outside_plausible_years(time)

    def _from_text(self, text: pa.Array, zone: str) -> Int64s:
        encoded = text.dictionary_encode()  # machines of a fleet share their times, and a text is slow to read
        distinct = pd.Series(encoded.dictionary.to_pylist(), dtype=object)
        time = np.full(len(distinct) + 1, clock.UNREADABLE)
        for form in (self.name, *self.others):
            left = np.flatnonzero(time[:-1] == clock.UNREADABLE)
            if not len(left):
                break
            read = pd.to_datetime(distinct.iloc[left], format=form, errors="coerce", utc=True)
            found = clock.within_limits(clock.to_integers(pd.DatetimeIndex(read)))
            time[left] = clock.from_local(found, zone) if _is_local(form) else found
        positions: Int64s = pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
        return np.take(time, positions)


def _is_written(column: pa.Array) -> bool:
    """Whether a column holds texts or numbers, which a format is for; types of dates need none."""
    kind = column.type
    return is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _as_text(column: pa.Array) -> pa.Array:
    if not is_text(column.type) and not pa.types.is_integer(column.type):
        column = pc.cast(column, pa.int64(), safe=False)
    return clean_text(column)


def _is_local(form: str) -> bool:
    return "%z" not in form and not form.endswith(_UTC_WORDS)


def _from_numbers(column: pa.Array, name: str, unit: str) -> Int64s:
    """Numbers of a named kind as microseconds, exact where they are whole numbers."""
    seconds, zero = _SCALES[unit]
    text = clean_text(column) if is_text(column.type) else None
    if seconds < 1 and (whole := _whole_numbers(column if text is None else text)) is not None:
        return _counted(whole, round(1 / seconds), round(zero))
    values, _ = to_numbers(column if text is None else text, name)
    known = np.isfinite(values)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.where(known, values, 0.0) * (seconds * 1e6) + zero * 1e6
    known &= (scaled > clock.EARLIEST) & (scaled < clock.LATEST)
    time = np.where(known, np.round(np.where(known, scaled, 0.0)).astype(np.int64), clock.UNREADABLE)
    return _to_whole_seconds(time, text) if seconds == _DAY else time


def _whole_numbers(column: pa.Array) -> pa.Array | None:
    """The column as integers, which hold what a float would round; None if it has others."""
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        return None


def _counted(numbers: pa.Array, per_second: int, zero: int) -> Int64s:
    """Counts of so many units per second since `zero`, in seconds of Unix time, as microseconds."""
    known = numbers.is_valid().to_numpy(zero_copy_only=False)
    values = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
    second = values // per_second + zero
    known &= (second > clock.EARLIEST // 1_000_000) & (second < clock.LATEST // 1_000_000)
    parts = values % per_second * 1_000_000 // per_second
    return np.where(known, np.where(known, second, 0) * 1_000_000 + parts, clock.UNREADABLE)


def _to_whole_seconds(time: Int64s, text: pa.Array | None) -> Int64s:
    """Days with few decimals hit no second exactly: 45299.041667 is meant to be one o'clock."""
    decimals = 10 if text is None else _most_decimals(text)
    tolerance = max(500.0, 0.5 * _DAY * 1e6 * 10.0**-decimals)
    readable = time != clock.UNREADABLE
    second = (np.where(readable, time, 0) + 500_000) // 1_000_000 * 1_000_000
    return np.where(readable & (np.abs(second - time) <= tolerance), second, time)


def _most_decimals(text: pa.Array) -> int:
    decimals = pc.utf8_length(pc.replace_substring_regex(text, r"^[^.]*\.?", ""))
    return int(pc.max(decimals).as_py() or 0)
