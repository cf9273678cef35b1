"""Compiled rolling kernels over one channel.

Every kernel takes `x`, float32 of shape (n_rows,), and `start`, int64 of shape (n_rows,): the index of the first row
of each row's segment. The window of row t with length w is the rows max(start[t], t - w + 1) .. t. NaN are skipped;
a window without a value gives NaN. Sums are accumulated in float64, where sums of float32 readings of similar
magnitude are exact in any order; the result is rounded to float32 once. The kernels release the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Int64s = NDArray[np.int64]

# Up to this length scanning the window again is faster than keeping a monotonic queue (measured on x86-64).
_SCAN_LIMIT = 12


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def moments(x: Float32s, start: Int64s, window: int, mean: Float32s, std: Float32s, slope: Float32s) -> None:
    """Write the mean, the standard deviation and the least-squares slope of each window.

    std has ddof = 1, is two-pass and centred, and is NaN below two values. slope is per sample, from integer times
    and values less the window's minimum: (n Σtx - Σt Σx) / (n Σt² - (Σt)²); NaN below two values. Outputs of length
    zero are not computed.
    """
    wants_std = std.shape[0] > 0
    wants_slope = slope.shape[0] > 0
    for t in range(x.shape[0]):
        first = max(start[t], t - window + 1)
        count = 0
        total = 0.0
        lowest = np.inf
        for i in range(first, t + 1):
            value = np.float64(x[i])
            if not np.isnan(value):
                count += 1
                total += value
                lowest = min(lowest, value)
        average = total / count if count > 0 else np.nan
        if mean.shape[0] > 0:
            mean[t] = average
        if wants_std:
            squares = 0.0
            for i in range(first, t + 1):
                value = np.float64(x[i])
                if not np.isnan(value):
                    squares += (value - average) * (value - average)
            std[t] = np.sqrt(squares / (count - 1)) if count > 1 else np.nan
        if wants_slope:
            sum_t = 0.0
            sum_tt = 0.0
            sum_x = 0.0
            sum_tx = 0.0
            for i in range(first, t + 1):
                value = np.float64(x[i])
                if not np.isnan(value):
                    time = np.float64(window - 1 - (t - i))
                    sum_t += time
                    sum_tt += time * time
                    sum_x += value - lowest
                    sum_tx += time * (value - lowest)
            spread = count * sum_tt - sum_t * sum_t
            slope[t] = (count * sum_tx - sum_t * sum_x) / spread if count > 1 else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def extreme(x: Float32s, start: Int64s, window: int, sign: float, out: Float32s) -> None:
    """Write the maximum (`sign` = 1) or minimum (`sign` = -1) of each window, in O(1) per row for long windows."""
    if window <= _SCAN_LIMIT:
        for t in range(x.shape[0]):
            best = -np.inf
            seen = False
            for i in range(max(start[t], t - window + 1), t + 1):
                value = sign * x[i]
                if value >= best:
                    best = value
                    seen = True
            out[t] = sign * best if seen else np.nan
        return
    queue = np.empty(window, dtype=np.int64)  # ring of row indices whose values decrease from head to tail
    head = 0
    size = 0
    for t in range(x.shape[0]):
        first = max(start[t], t - window + 1)
        while size > 0 and queue[head] < first:
            head = (head + 1) % window
            size -= 1
        value = sign * x[t]
        if not np.isnan(value):
            while size > 0 and sign * x[queue[(head + size - 1) % window]] <= value:
                size -= 1
            queue[(head + size) % window] = t
            size += 1
        out[t] = x[queue[head]] if size > 0 else np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def median(x: Float32s, start: Int64s, window: int, out: Float32s) -> None:
    """Write the median of each window (mean of the two middle values for an even count).

    The window is kept sorted; a row costs one binary search and one short block move.
    """
    ordered = np.empty(window, dtype=np.float32)
    size = 0
    first = 0
    for t in range(x.shape[0]):
        begin = max(start[t], t - window + 1)
        if begin == t:
            size = 0
            first = t
        while first < begin:
            leaving = x[first]
            if not np.isnan(leaving):
                at = np.searchsorted(ordered[:size], leaving)
                for i in range(at, size - 1):
                    ordered[i] = ordered[i + 1]
                size -= 1
            first += 1
        entering = x[t]
        if not np.isnan(entering):
            at = np.searchsorted(ordered[:size], entering)
            for i in range(size, at, -1):
                ordered[i] = ordered[i - 1]
            ordered[at] = entering
            size += 1
        if size == 0:
            out[t] = np.nan
        else:
            out[t] = (np.float64(ordered[(size - 1) // 2]) + np.float64(ordered[size // 2])) / 2.0


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
