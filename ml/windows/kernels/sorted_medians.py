"""Medians of short windows by merging sorted runs, all rows of a stretch at a time.

The sorted last 2k samples of every row come from merging the sorted last k samples of two rows that lie k apart
(Batcher's odd-even merge, AFIPS 1968). A window is put together from runs whose lengths are powers of two, and of the
last merge only the middle is computed. Every step is a minimum or maximum along the rows, which the vector units take
many rows at a time, and all windows share the runs.

Missing samples are made infinite, positive and negative in turn, so that the values which are there stay in the middle.
With an odd number of them one side has one too many; its sign is that of the newest.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled

LONGEST = 24
"""Longest window: beyond, the number of steps grows faster than keeping a sorted window does."""
_LONGEST_RUN = 16
_ROWS = 256  # runs of so many rows stay in the first- and second-level cache


@compiled
def sorted_medians(value: Float64s, present: Float64s, before: int, windows: Int64s, out: Float32s) -> None:
    """Write the median of each window, (n_windows, n_rows or more): the mean of the two middle values of an even count.

    `windows` are ascending and `LONGEST` at most; there are as many rows as slots follow `before`. NaN where a window
    holds no value.
    """
    slots = value.size
    rows = slots - before
    filled = np.empty(slots, dtype=np.float32)
    missing = np.empty(slots + 1, dtype=np.int64)  # missing samples before a slot
    missing[0] = 0
    for slot in range(slots):
        gone = present[slot] == 0.0
        side = np.float32(np.inf) if missing[slot] % 2 == 0 else np.float32(-np.inf)
        filled[slot] = side if gone else np.float32(value[slot])
        missing[slot + 1] = missing[slot] + gone

    halo = windows[-1]
    width = min(_ROWS, rows) + halo
    runs = np.empty((2 * _LONGEST_RUN, width), dtype=np.float32)  # those of length k are rows k .. 2k - 1
    rest, spare = np.empty((LONGEST, width), dtype=np.float32), np.empty((LONGEST, width), dtype=np.float32)
    middle = np.empty((3, width), dtype=np.float32)
    for begin in range(0, rows, _ROWS):
        end = min(begin + _ROWS, rows)
        columns = halo + end - begin
        first = before + begin - halo  # slot that stands in column 0
        for column in range(columns):
            runs[1, column] = filled[first + column]
        length = 1
        for index in range(windows.size):
            window = windows[index]
            while 2 * length < window:
                _double(runs, length, columns)
                length *= 2
            _middle(runs, rest, spare, window, length, missing[slots] == 0, halo, columns, middle)
            seen = missing[before + begin - window + 1 : before + end + 1]
            if window % 2 == 1:
                _choose_odd(middle, halo, seen, window, out[index][begin:end])
            else:
                _choose_even(middle, halo, seen, window, out[index][begin:end])


@compiled
def _double(runs: Float32s, length: int, columns: int) -> None:
    """Merge the runs of `length` of every column with those that lie `length` columns before."""
    double = 2 * length
    for rank in range(length):
        run = runs[length + rank]
        runs[double + rank][:length] = np.inf
        runs[double + rank][length:columns] = run[: columns - length]
        runs[double + length + rank][:columns] = run[:columns]
    apart = length
    while apart >= 1:
        for first in range(apart % length, double - apart, 2 * apart):
            for rank in range(double + first, double + first + apart):
                # Rows by number, as cutting two views out of an array takes as long as comparing them.
                for column in range(columns):
                    a, b = runs[rank, column], runs[rank + apart, column]
                    runs[rank, column] = a if a < b else b
                    runs[rank + apart, column] = b if a < b else a
        apart //= 2


@compiled
def _middle(
    runs: Float32s, rest: Float32s, spare: Float32s, window: int, length: int, complete: bool, halo: int, columns: int,
    middle: Float32s,
) -> None:  # fmt: skip
    """Write what may be the median of each window: three values around the middle, or two for an even length.

    Of an odd length and with nothing missing the middle one alone is written. The newest `length` samples are a run,
    and shorter runs make up the rest.
    """
    older, have, part = window - length, 0, length
    while have < older:
        while part > older - have:
            part //= 2
        for rank in range(have + part):
            _rank(rest, have, runs, part, length + have, rank, halo, columns, spare[rank])
        rest, spare = spare, rest
        have += part
    odd = window % 2
    lowest = (window - 1) // 2 - odd
    for index in range(odd * complete, 2 + odd * (not complete)):
        _rank(rest, have, runs, length, 0, lowest + index, halo, columns, middle[index])


@compiled
def _rank(
    left: Float32s, n_left: int, runs: Float32s, n_right: int, shift: int, rank: int, halo: int, columns: int,
    out: Float32s,
) -> None:  # fmt: skip
    """Write the value of that rank among the sorted `left` and the run of `n_right` that ends `shift` columns before.

    It is the least, over every way to take the smallest rank + 1 values from both sides, of the larger one taken last.
    """
    least, most = max(0, rank + 1 - n_right), min(rank + 1, n_left)
    result = out[halo:columns]
    for taken in range(least, most + 1):
        if taken == 0:
            result[:] = runs[n_right + rank][halo - shift : columns - shift]
            continue
        a = left[taken - 1][halo:columns]
        b = a if taken > rank else runs[n_right + rank - taken][halo - shift : columns - shift]
        if taken == least:
            for i in range(result.size):
                result[i] = b[i] if a[i] < b[i] else a[i]
        else:
            for i in range(result.size):
                larger = b[i] if a[i] < b[i] else a[i]
                result[i] = larger if larger < result[i] else result[i]


# `missing` counts the missing samples before each slot, from the first window's oldest on. Positive infinity is the
# 1st, 3rd, … missing sample of the stretch, so an odd count up to a row says that its newest one is.


@compiled
def _choose_odd(middle: Float32s, halo: int, missing: Int64s, window: int, out: Float32s) -> None:
    below, at, above = middle[0][halo:], middle[1][halo:], middle[2][halo:]
    until = missing[window:]
    for i in range(out.size):
        gone = until[i] - missing[i]
        value = np.float64(at[i])
        other = np.float64(below[i] if until[i] & 1 else above[i])
        median = (value + (other if gone & 1 else value)) / 2.0
        out[i] = np.float32(median) if gone < window else np.float32(np.nan)


@compiled
def _choose_even(middle: Float32s, halo: int, missing: Int64s, window: int, out: Float32s) -> None:
    below, above = middle[0][halo:], middle[1][halo:]
    until = missing[window:]
    for i in range(out.size):
        gone = until[i] - missing[i]
        low, high = np.float64(below[i]), np.float64(above[i])
        single = low if until[i] & 1 else high
        median = single if gone & 1 else (low + high) / 2.0
        out[i] = np.float32(median) if gone < window else np.float32(np.nan)
