"""Kernels of features as the backend's server makes them: 0 stands for what is missing.

See `ml.windows.kernels.pointwise` for the common arguments. A row is there if any of `sensors`, which are all series of
readings, has a value in it; rows before a segment's start are not there, and neither are rows of NaN alone.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def nearest(
    values: Float32s, start: Int64s, first: int, sensors: Int64s, series: Int64s, steps: Int64s, columns: Int64s,
    out: Float32s, stride: int, origin: int,
) -> None:  # fmt: skip
    """The value in the first row that is there from `steps` rows ago on."""
    following = _rows_there(values, sensors)
    there = start.size
    for t in range(start.size - 1, -1, -1):
        there = t if following[t] else there
        following[t] = there
    for k in range(series.size):
        x, back = values[series[k]], steps[k]
        base = origin + columns[k] * stride - first
        for t in range(first, start.size):
            row = following[max(start[t], t - back)]
            found = x[row] if row <= t else np.float32(np.nan)
            out[base + t] = np.float32(0.0) if np.isnan(found) else found


@compiled
def trues(
    values: Float32s, start: Int64s, first: int, sensors: Int64s, series: Int64s, windows: Int64s, shares: Int64s,
    columns: Int64s, out: Float32s, stride: int, origin: int,
) -> None:  # fmt: skip
    """In how many rows of the window a signal is on; where `shares` is 1, per row of the window that is there."""
    there = _summed(_rows_there(values, sensors))
    on = np.empty(start.size, dtype=np.int64)
    for k in range(series.size):
        x, window, share = values[series[k]], windows[k], shares[k] == 1
        for t in range(start.size):
            on[t] = abs(x[t]) > 0.0  # false for NaN
        before = _summed(on)
        base = origin + columns[k] * stride - first
        for t in range(first, start.size):
            oldest = max(start[t], t - window + 1)
            count = np.float64(before[t + 1] - before[oldest])
            rows = np.float64(there[t + 1] - there[oldest])
            out[base + t] = np.float32(count / rows if share and rows > 0.0 else count)


@compiled
def fill_missing(columns: Int64s, rows: int, out: Float32s, stride: int, origin: int) -> None:
    """Put 0 in place of NaN in some columns of `out`."""
    for k in range(columns.size):
        begin = origin + columns[k] * stride
        target = out[begin : begin + rows]
        for i in range(rows):
            target[i] = np.float32(0.0) if np.isnan(target[i]) else target[i]


@compiled
def _rows_there(values: Float32s, sensors: Int64s) -> Int64s:
    found = np.zeros(values.shape[1], dtype=np.int64)
    for k in range(sensors.size):
        x = values[sensors[k]]
        for t in range(found.size):
            found[t] |= not np.isnan(x[t])
    return found


@compiled
def _summed(flags: Int64s) -> Int64s:
    """How many flags are set before each row, (n_rows + 1,)."""
    total = np.zeros(flags.size + 1, dtype=np.int64)
    for t in range(flags.size):
        total[t + 1] = total[t] + flags[t]
    return total
