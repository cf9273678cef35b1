"""Compiled rolling kernels over one channel.

Every kernel takes `x`, float32 of shape (n_rows,), and `start`, int64 of shape (n_rows,): the index of the first row
of each row's segment. The window of row t with length w is the rows max(start[t], t - w + 1) .. t. NaN are skipped;
a window without a value gives NaN. Arithmetic is float64 and the result is rounded to float32 once. The kernels
release the GIL.

Sums are taken anew for every window, from its oldest sample to its newest: that order is the contract with the ONNX
graph, which adds in the same one and so gives the same bits. What is fast about them is that loops run along the rows,
where the processor's vector units work, and not along the window. Minima, whose result no order changes, are found by
doubling: the lowest of the last k samples of two rows that lie k apart gives that of 2k samples.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]

_BLOCK_ROWS = 1024  # rows worked on at a time: their sums stay in the first-level cache


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def moments(
    x: Float32s, start: Int64s, windows: Int64s, mean: Float32s, std: Float32s, lowest: Float32s, slope: Float32s
) -> None:
    """Write mean, standard deviation and least-squares slope of all windows.

    The standard deviation is two-pass and centred, with ddof = 1. The slope is per sample, from integer times and
    values less the window's minimum: (n Σtx - Σt Σx) / (n Σt² - (Σt)²). Both are NaN below two values.

    Parameters
    ----------
    windows
        Window lengths, ascending, shape (n_windows,).
    mean, std
        Written to, shape (n_windows, n_rows).
    lowest, slope
        Minimum of each window, and the slope written to, shape (n_windows, n_rows); (0, 0) if no slope is wanted.
    """
    before = windows[-1] - 1
    value = np.empty(_BLOCK_ROWS + before)
    present = np.empty(_BLOCK_ROWS + before)
    sums = np.empty((6, _BLOCK_ROWS))
    begin = 0
    while begin < x.size:
        end = _block_end(start, begin, _BLOCK_ROWS)
        rows = end - begin
        complete = _read_block(x, max(start[begin], begin - before), begin - before, end, value, present)
        for index in range(windows.size):
            window = windows[index]
            shown = value[before - window + 1 : before + rows]  # row t's window starts at shown[t]
            there = present[before - window + 1 : before + rows]
            count, total, squares = sums[0, :rows], sums[1, :rows], sums[2, :rows]
            _sum(shown, there, window, complete, count, total)
            for t in range(rows):
                total[t] = total[t] / count[t] if count[t] > 0.0 else np.nan
                mean[index, begin + t] = total[t]
            _sum_squares(shown, there, window, complete, total, squares)
            for t in range(rows):
                std[index, begin + t] = np.sqrt(squares[t] / (count[t] - 1.0)) if count[t] > 1.0 else np.nan
            if slope.size > 0:
                low = lowest[index, begin:end]
                _slopes(shown, there, window, complete, count, low, sums[2:, :rows], slope[index, begin:end])
        begin = end


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _block_end(start: Int64s, begin: int, block_rows: int) -> int:
    """End of the rows from `begin` on that are of one segment and no more than a block."""
    limit = min(begin + block_rows, start.size)
    if start[limit - 1] == start[begin]:
        return limit
    return int(begin + np.searchsorted(start[begin:limit], start[begin], side="right"))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_block(x: Float32s, first: int, origin: int, end: int, value: Float64s, present: Float64s) -> bool:
    """Fill rows origin .. end; rows before `first` and NaN become absent zeros. True if nothing is absent."""
    lead = first - origin
    value[:lead] = 0.0
    present[:lead] = 0.0
    complete = lead == 0
    for t in range(end - first):
        missing = np.isnan(x[first + t])
        complete = complete and not missing
        value[lead + t] = 0.0 if missing else np.float64(x[first + t])
        present[lead + t] = 0.0 if missing else 1.0
    return complete


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum(value: Float64s, present: Float64s, window: int, complete: bool, count: Float64s, total: Float64s) -> None:
    total[:] = 0.0
    count[:] = np.float64(window) if complete else 0.0
    for step in range(window):
        sample = value[step : step + total.size]
        for t in range(total.size):
            total[t] += sample[t]
    if not complete:
        for step in range(window):
            there = present[step : step + count.size]
            for t in range(count.size):
                count[t] += there[t]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum_squares(
    value: Float64s, present: Float64s, window: int, complete: bool, mean: Float64s, squares: Float64s
) -> None:
    squares[:] = 0.0
    for step in range(window):
        sample = value[step : step + mean.size]
        if complete:
            for t in range(mean.size):
                deviation = sample[t] - mean[t]
                squares[t] += deviation * deviation
        else:
            there = present[step : step + mean.size]
            for t in range(mean.size):
                deviation = sample[t] - mean[t]
                squares[t] += there[t] * (deviation * deviation)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _slopes(
    value: Float64s,
    present: Float64s,
    window: int,
    complete: bool,
    count: Float64s,
    lowest: Float32s,
    sums: Float64s,
    slope: Float32s,
) -> None:
    sum_t, sum_tt, sum_x, sum_tx = sums[0], sums[1], sums[2], sums[3]
    sums[:] = 0.0
    for step in range(window):
        sample, there = value[step : step + slope.size], present[step : step + slope.size]
        time = np.float64(step)
        if complete:
            for t in range(slope.size):
                above = sample[t] - np.float64(lowest[t])
                sum_x[t] += above
                sum_tx[t] += time * above
        else:
            for t in range(slope.size):
                above = sample[t] - np.float64(lowest[t]) if there[t] > 0.0 else 0.0
                sum_t[t] += there[t] * time
                sum_tt[t] += there[t] * (time * time)
                sum_x[t] += above
                sum_tx[t] += time * above
    if complete:
        sum_t[:] = window * (window - 1) / 2
        sum_tt[:] = (window - 1) * window * (2 * window - 1) / 6
    for t in range(slope.size):
        spread = count[t] * sum_tt[t] - sum_t[t] * sum_t[t]
        slope[t] = (count[t] * sum_tx[t] - sum_t[t] * sum_x[t]) / spread if count[t] > 1.0 else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def minima(x: Float32s, start: Int64s, windows: Int64s, out: Float32s) -> None:
    """Write the minimum of all windows; `windows` ascending, `out` (n_windows, n_rows).

    A window is covered by two stretches whose length is the largest power of two in it; that they overlap does not
    matter to a minimum. The maximum is the minimum of -x.
    """
    longest = windows[-1]
    block_rows = max(_BLOCK_ROWS, longest)  # a halo of one window per block costs at most as much again
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
