"""Kernels from what is stored to the float32 samples that features are made of."""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def finite(stored: Float32s | Float64s, out: Float32s) -> None:
    """Write float32 samples: not finite becomes NaN, and -0 becomes 0, so that equal readings have equal bits."""
    for t in range(out.size):
        narrow = np.float32(stored[t]) + np.float32(0.0)
        out[t] = narrow if abs(narrow) < np.inf else np.float32(np.nan)


@compiled
def increases(total: Float64s, start: Int64s, out: Float32s) -> None:
    """Write the increase of a totaliser since the previous sample; NaN at a segment's first sample.

    Subtracted in float64, because a float32 total near 2.5e8 moves in steps of 16. A decrease is a reset: how much was
    counted before it is unknown, so the increase is NaN.
    """
    for t in range(out.size):
        increase = total[t] - total[t - 1] if t > start[t] else np.nan
        narrow = np.float32(increase if increase >= 0.0 else np.nan)
        out[t] = narrow if narrow < np.inf else np.float32(np.nan)


@compiled
def window_samples(window: Float64s, counter: Int64s, out: Float32s) -> None:
    """`finite` or, where `counter` is 1, `increases` of each column of a window (W, C), into (n_series, W)."""
    for channel in range(window.shape[1]):
        for t in range(window.shape[0]):
            value = window[t, channel]
            if counter[channel]:
                value = value - window[t - 1, channel] if t > 0 else np.nan
                value = value if value >= 0.0 else np.nan
            narrow = np.float32(value) + np.float32(0.0)
            out[channel, t] = narrow if abs(narrow) < np.inf else np.float32(np.nan)
