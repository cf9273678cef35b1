"""Compiled rolling kernels over one channel.

Every kernel takes `x`, float32 of shape (n_rows,), and `start`, int64 of shape (n_rows,): the index of the first row
of each row's segment. The window of row t with length w is the rows max(start[t], t - w + 1) .. t. NaN are skipped;
a window without a value gives NaN. Arithmetic is float64 and the result is rounded to float32 once. The kernels
release the GIL.

All windows of a channel are computed together by doubling: what is known of the last k samples of every row (count,
sum, centred squares, minimum, ...) is merged with the same of the k samples before them, so a window of w samples
costs about 2 log2(w) merges in place of w additions, and loops run along the rows, where the processor's vector units
work. No running sum over the series is kept, so nothing drifts. Merging loses nothing either: sums of float32 readings
of similar magnitude are exact in float64 in any order, and the correction between two parts is formed from
n1 S2 - n2 S1, a difference of exact products (pairwise updating: Chan, Golub and LeVeque, The American Statistician
37(3), 1983). Slopes come from plain sums over whole-numbered times, which are exact as well.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]

_BLOCK_ROWS = 2048  # rows worked on at a time: their tables stay in the second-level cache
# Rows of a table: what is known of a stretch of samples. Times count samples from the stretch's oldest one.
_COUNT, _SUM, _SQUARES, _TIMES, _TIME_SQUARES, _PRODUCTS = range(6)
_QUANTITIES = 6


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def moments(
    x: Float32s, start: Int64s, windows: Int64s, with_slope: bool, mean: Float32s, std: Float32s, slope: Float32s
) -> None:
    """Write mean, standard deviation and least-squares slope of all windows.

    Parameters
    ----------
    windows
        Window lengths, ascending, shape (n_windows,).
    mean, std, slope
        Written to, shape (n_windows, n_rows); `slope` may be (0, 0) without `with_slope`. std has ddof = 1. slope is
        per sample. Both are NaN below two values.
    """
    longest = windows[-1]
    block_rows = max(_BLOCK_ROWS, longest)
    level = np.empty((_QUANTITIES, block_rows + longest))
    doubled = np.empty((_QUANTITIES, block_rows + longest))
    parts = np.empty((windows.size, _QUANTITIES, block_rows + longest))
    begin = 0
    while begin < x.size:
        end = _block_end(start, begin, block_rows)
        first = max(start[begin], begin - longest + 1)
        rows = end - first
        _single_samples(x[first:end], level)
        length = 1
        while True:
            for index in range(windows.size):
                window = windows[index]
                if window & length:
                    known = window & (length - 1)  # newest samples that the part holds already
                    part = parts[index]
                    if known == 0:
                        part[:, :rows] = level[:, :rows]
                    else:
                        _extend(part, level, known, length, rows, with_slope)
                    if window < 2 * length:
                        _write_moments(part, begin - first, rows, mean[index, begin:end], std[index, begin:end])
                        if with_slope:
                            _write_slope(part, begin - first, rows, slope[index, begin:end])
            if 2 * length > longest:
                break
            doubled[:, :rows] = level[:, :rows]
            _extend(doubled, level, length, length, rows, with_slope)
            level, doubled = doubled, level
            length *= 2
        begin = end


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _block_end(start: Int64s, begin: int, block_rows: int) -> int:
    """End of the rows from `begin` on that are of one segment and no more than a block."""
    limit = min(begin + block_rows, start.size)
    if start[limit - 1] == start[begin]:
        return limit
    return begin + np.searchsorted(start[begin:limit], start[begin], side="right")


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _single_samples(x: Float32s, level: Float64s) -> None:
    """Fill the table of stretches of one sample."""
    for t in range(x.size):
        missing = np.isnan(x[t])
        level[_COUNT, t] = 0.0 if missing else 1.0
        level[_SUM, t] = 0.0 if missing else np.float64(x[t])
    level[_SQUARES:, : x.size] = 0.0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extend(newer: Float64s, older: Float64s, apart: int, length: int, rows: int, with_slope: bool) -> None:
    """Merge into each row's `newer` stretch of `apart` samples the `older` stretch, of `length`, that ends before it.

    The first `apart` rows of a segment have nothing older.
    """
    if with_slope:
        _shift_times(newer[:, :rows], np.float64(length))
        _extend_sums(newer[_TIMES:, apart:rows], older[_TIMES:, : max(rows - apart, 0)])
    _extend_moments(newer[:, apart:rows], older[:, : max(rows - apart, 0)])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shift_times(newer: Float64s, length: float) -> None:
    """Let times count from a sample that lies `length` samples further back."""
    count, total, times = newer[_COUNT], newer[_SUM], newer[_TIMES]
    time_squares, products = newer[_TIME_SQUARES], newer[_PRODUCTS]
    for t in range(count.size):
        time_squares[t] += length * (2.0 * times[t] + length * count[t])
        products[t] += length * total[t]
        times[t] += length * count[t]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extend_sums(newer: Float64s, older: Float64s) -> None:
    for quantity in range(newer.shape[0]):
        sum_2, sum_1 = newer[quantity], older[quantity]
        for t in range(sum_1.size):
            sum_2[t] += sum_1[t]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extend_moments(newer: Float64s, older: Float64s) -> None:
    count_2, sum_2, squares_2 = newer[_COUNT], newer[_SUM], newer[_SQUARES]
    count_1, sum_1, squares_1 = older[_COUNT], older[_SUM], older[_SQUARES]
    for t in range(count_1.size):
        count = count_1[t] + count_2[t]
        apart = count_1[t] * sum_2[t] - count_2[t] * sum_1[t]  # 0 if one stretch is empty
        weight = max(count_1[t] * count_2[t] * count, 1.0)
        squares_2[t] += squares_1[t] + apart * apart / weight
        sum_2[t] += sum_1[t]
        count_2[t] = count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_moments(part: Float64s, skip: int, rows: int, mean: Float32s, std: Float32s) -> None:
    count, total, squares = part[_COUNT, skip:rows], part[_SUM, skip:rows], part[_SQUARES, skip:rows]
    for t in range(count.size):
        mean[t] = total[t] / count[t] if count[t] > 0.0 else np.nan
        std[t] = np.sqrt(squares[t] / (count[t] - 1.0)) if count[t] > 1.0 else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_slope(part: Float64s, skip: int, rows: int, slope: Float32s) -> None:
    count, total, times = part[_COUNT, skip:rows], part[_SUM, skip:rows], part[_TIMES, skip:rows]
    time_squares, products = part[_TIME_SQUARES, skip:rows], part[_PRODUCTS, skip:rows]
    for t in range(count.size):
        above = count[t] * products[t] - times[t] * total[t]
        below = count[t] * time_squares[t] - times[t] * times[t]
        slope[t] = above / below if count[t] > 1.0 else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def minima(x: Float32s, start: Int64s, windows: Int64s, out: Float32s) -> None:
    """Write the minimum of all windows; `windows` ascending, `out` (n_windows, n_rows).

    A window is covered by two stretches whose length is the largest power of two in it; that they overlap does not
    matter to a minimum. The maximum is the minimum of -x.
    """
    longest = windows[-1]
    block_rows = max(_BLOCK_ROWS, longest)
    level = np.empty(block_rows + longest, dtype=np.float32)
    doubled = np.empty(block_rows + longest, dtype=np.float32)
    begin = 0
    while begin < x.size:
        end = _block_end(start, begin, block_rows)
        first = max(start[begin], begin - longest + 1)
        rows = end - first
        for t in range(rows):
            level[t] = np.inf if np.isnan(x[first + t]) else x[first + t]
        length = 1
        while True:
            for index in range(windows.size):
                if length <= windows[index] < 2 * length:
                    _lower(level, windows[index] - length, rows, doubled)
                    _write_minimum(doubled[begin - first : rows], out[index, begin:end])
            if 2 * length > longest:
                break
            _lower(level, length, rows, doubled)
            level, doubled = doubled, level
            length *= 2
        begin = end


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _lower(level: Float32s, apart: int, rows: int, out: Float32s) -> None:
    """The lower of each row's value and the one `apart` rows before, where there is one."""
    out[: min(apart, rows)] = level[: min(apart, rows)]
    older, newer, lower = level[: max(rows - apart, 0)], level[apart:rows], out[apart:rows]
    for t in range(older.size):
        lower[t] = min(older[t], newer[t])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_minimum(values: Float32s, out: Float32s) -> None:
    for t in range(values.size):
        out[t] = np.nan if values[t] == np.inf else values[t]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def median(x: Float32s, start: Int64s, window: int, out: Float32s) -> None:
    """Write the median of each window (mean of the two middle values for an even count).

    The window is kept sorted. A row that replaces one value by another moves only the values between their places.
    """
    ordered = np.empty(window + 1, dtype=np.float32)
    size = 0
    for t in range(x.size):
        if start[t] == t:
            size = 0
        leaving = x[t - window] if t - window >= start[t] else np.float32(np.nan)
        entering = x[t]
        if np.isnan(leaving):
            if not np.isnan(entering):
                _move_up(ordered, size, entering)
                size += 1
        else:
            place = np.searchsorted(ordered[:size], leaving)
            if np.isnan(entering):
                size -= 1
                for i in range(place, size):
                    ordered[i] = ordered[i + 1]
            elif entering >= leaving:
                while place + 1 < size and ordered[place + 1] < entering:
                    ordered[place] = ordered[place + 1]
                    place += 1
                ordered[place] = entering
            else:
                while place > 0 and ordered[place - 1] > entering:
                    ordered[place] = ordered[place - 1]
                    place -= 1
                ordered[place] = entering
        out[t] = (np.float64(ordered[(size - 1) // 2]) + np.float64(ordered[size // 2])) / 2.0 if size else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _move_up(ordered: Float32s, size: int, entering: np.float32) -> None:
    """Insert into the sorted first `size` values."""
    place = size
    while place > 0 and ordered[place - 1] > entering:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = entering


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def changes(x: Float32s, start: Int64s, window: int, out: Float32s) -> None:
    """Write how often neighbouring samples inside each window differ; a pair with a NaN is not a change."""
    for t in range(x.shape[0]):
        first = max(start[t], t - window + 1)
        count = 0
        known = False
        for i in range(first, t + 1):
            known = known or not np.isnan(x[i])
            if i > first and x[i] != x[i - 1] and not np.isnan(x[i]) and not np.isnan(x[i - 1]):
                count += 1
        out[t] = count if known else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def since_change(x: Float32s, start: Int64s, window: int, out: Float32s) -> None:
    """Write how many samples ago the value was last another one, or `window` if not inside the window.

    NaN where the row itself has no value; NaN in between are skipped.
    """
    for t in range(x.shape[0]):
        if np.isnan(x[t]):
            out[t] = np.nan
            continue
        age = window
        for i in range(t - 1, max(start[t], t - window + 1) - 1, -1):
            if x[i] != x[t] and not np.isnan(x[i]):
                age = t - i
                break
        out[t] = age


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def lag(x: Float32s, start: Int64s, steps: int, out: Float32s) -> None:
    """Write the value `steps` rows ago, NaN where the segment does not reach back that far."""
    for t in range(x.shape[0]):
        out[t] = x[t - steps] if t - steps >= start[t] else np.nan
