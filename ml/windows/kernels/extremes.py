"""Minimum of all windows of a stretch by doubling: the lowest of the last k samples of two rows that lie k apart gives
that of 2k samples. A window is covered by two such runs, and that they overlap does not matter to a minimum.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def signed(value: Float64s, present: Float64s, sign: float, out: Float32s) -> None:
    """Write sign · value in float32, infinity where missing; the maximum is the minimum with the sign turned."""
    for slot in range(value.size):
        out[slot] = np.float32(sign * value[slot]) if present[slot] > 0.0 else np.float32(np.inf)


@compiled
def minima(level: Float32s, spare: Float32s, before: int, windows: Int64s, sign: float, out: Float32s) -> None:
    """Write sign · minimum of each window, NaN where it holds no value.

    Parameters
    ----------
    level
        (n_slots,), infinite where missing; used up.
    spare
        Room of the same shape.
    windows
        Ascending.
    out
        Written to, (n_windows, n_rows or more): as many rows as slots follow `before`.
    """
    longest = windows[-1]
    length = 1
    while True:
        for index in range(windows.size):
            if length <= windows[index] < 2 * length:
                _lower(level, windows[index] - length, spare)
                found, row = spare[before:], out[index][: level.size - before]
                for i in range(row.size):
                    row[i] = np.float32(sign) * found[i] if found[i] < np.inf else np.float32(np.nan)
        if 2 * length > longest:
            break
        _lower(level, length, spare)
        level, spare = spare, level
        length *= 2


@compiled
def _lower(level: Float32s, apart: int, out: Float32s) -> None:
    """The lower of each slot's value and the one `apart` slots before, where there is one."""
    apart = min(apart, level.size)
    out[:apart] = level[:apart]
    older, newer, lower = level[: level.size - apart], level[apart:], out[apart:]
    for slot in range(older.size):
        lower[slot] = min(older[slot], newer[slot])
