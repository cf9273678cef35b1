"""Kernels that count changes of a signal; see `ml.windows.kernels.pointwise` for the common arguments."""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def changes(
    values: Float32s, start: Int64s, first: int, series: Int64s, windows: Int64s, columns: Int64s, out: Float32s,
    stride: int, origin: int,
) -> None:  # fmt: skip
    """How often neighbouring samples inside the window differ; a pair with a NaN is no change.

    NaN where the window holds no value.
    """
    present = np.empty(start.size + 1, dtype=np.int64)  # samples with a value, and changes, before a row
    changed = np.empty(start.size + 1, dtype=np.int64)
    counted = -1
    for k in range(series.size):
        x = values[series[k]]
        if series[k] != counted:
            counted = series[k]
            present[0] = changed[0] = 0
            for t in range(start.size):
                now = not np.isnan(x[t])
                pair = t > start[t] and now and not np.isnan(x[t - 1])
                present[t + 1] = present[t] + now
                changed[t + 1] = changed[t] + (pair and x[t] != x[t - 1])
        base = origin + columns[k] * stride - first
        for t in range(first, start.size):
            oldest = max(start[t], t - windows[k] + 1)
            known = present[t + 1] > present[oldest]
            out[base + t] = np.float32(changed[t + 1] - changed[oldest + 1]) if known else np.float32(np.nan)


@compiled
def since_change(
    values: Float32s, start: Int64s, first: int, series: Int64s, windows: Int64s, columns: Int64s, interval: float,
    out: Float32s, stride: int, origin: int,
) -> None:  # fmt: skip
    """Seconds since the value was last another one, or those of the window if that lies not inside it.

    NaN where the row itself has no value; NaN in between are skipped.
    """
    for k in range(series.size):
        x, window = values[series[k]], windows[k]
        base = origin + columns[k] * stride - first
        newest, other = -1, -1  # the newest row with a value, and the newest with another value than that
        for t in range(start[first], start.size):
            if t == start[t]:
                newest, other = -1, -1
            if not np.isnan(x[t]):
                if newest >= 0 and x[newest] != x[t]:
                    other = newest
                newest = t
            if t >= first:
                age = t - other if other > t - window and other >= 0 else window
                out[base + t] = np.float32(np.nan) if np.isnan(x[t]) else np.float32(np.float64(age) * interval)
