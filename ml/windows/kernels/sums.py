"""Mean, standard deviation and slope, summed window by window in the order of time: the definition.

Sums are taken anew for every window, from its oldest sample to its newest. That order is the contract with the ONNX
graph, which adds in the same one and so gives the same bits. Loops run along the rows, where the vector units work;
`cell` is the same for a single row.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s
from ml.windows.kernels.compiling import compiled


@compiled
def window_sums(
    value: Float64s, present: Float64s, window: int, complete: bool, count: Float64s, mean: Float64s
) -> None:
    """Write count and mean of each window; row i's window begins at slot i."""
    _add_up(value, window, mean)
    if complete:
        count[:] = np.float64(window)
    else:
        _add_up(present, window, count)
    for i in range(mean.size):
        mean[i] /= count[i]


@compiled
def _add_up(value: Float64s, window: int, total: Float64s) -> None:
    rows = total.size
    total[:] = 0.0
    step = 0
    while step + 4 <= window:  # four at a time, each added to the sum before: fewer trips to memory, the same order
        first, second = value[step : step + rows], value[step + 1 : step + 1 + rows]
        third, fourth = value[step + 2 : step + 2 + rows], value[step + 3 : step + 3 + rows]
        for i in range(rows):
            total[i] = (((total[i] + first[i]) + second[i]) + third[i]) + fourth[i]
        step += 4
    while step < window:
        sample = value[step : step + rows]
        for i in range(rows):
            total[i] += sample[i]
        step += 1


@compiled
def window_deviations(
    value: Float64s, present: Float64s, window: int, complete: bool, ddof: float,
    count: Float64s, mean: Float64s, std: Float64s,
) -> None:  # fmt: skip
    """Write the standard deviation about `mean` of each window; NaN where it holds no more than `ddof` values."""
    rows = mean.size
    std[:] = 0.0
    step = 0
    while complete and step + 4 <= window:
        first, second = value[step : step + rows], value[step + 1 : step + 1 + rows]
        third, fourth = value[step + 2 : step + 2 + rows], value[step + 3 : step + 3 + rows]
        for i in range(rows):
            m = mean[i]
            a, b, c, d = first[i] - m, second[i] - m, third[i] - m, fourth[i] - m
            std[i] = (((std[i] + a * a) + b * b) + c * c) + d * d
        step += 4
    while step < window:
        sample, there = value[step : step + rows], present[step : step + rows]
        for i in range(rows):
            deviation = sample[i] - mean[i]
            std[i] += deviation * deviation if there[i] > 0.0 else 0.0
        step += 1
    for i in range(rows):
        std[i] = np.sqrt(std[i] / (count[i] - ddof)) if count[i] > ddof else np.nan


@compiled
def window_slopes(
    value: Float64s,
    present: Float64s,
    window: int,
    complete: bool,
    count: Float64s,
    lowest: Float32s,
    sums: Float64s,
    slope: Float64s,
) -> None:
    """Write the least-squares slope per sample, (n Σtx - Σt Σx) / (n Σt² - (Σt)²) with x above the window's minimum.

    `sums` is room for four sums per row, (4, n_rows or more). NaN below two values.
    """
    rows = slope.size
    sum_t, sum_tt = sums[0][:rows], sums[1][:rows]
    sum_x, sum_tx = sums[2][:rows], sums[3][:rows]
    sum_t[:], sum_tt[:], sum_x[:], sum_tx[:] = 0.0, 0.0, 0.0, 0.0
    for step in range(window):
        sample, there = value[step : step + rows], present[step : step + rows]
        time = np.float64(step)
        if complete:
            for i in range(rows):
                above = sample[i] - np.float64(lowest[i])
                sum_x[i] += above
                sum_tx[i] += time * above
        else:
            for i in range(rows):
                above = sample[i] - np.float64(lowest[i]) if there[i] > 0.0 else 0.0
                sum_t[i] += there[i] * time
                sum_tt[i] += there[i] * (time * time)
                sum_x[i] += above
                sum_tx[i] += time * above
    if complete:
        sum_t[:] = window * (window - 1) / 2
        sum_tt[:] = (window - 1) * window * (2 * window - 1) / 6
    for i in range(rows):
        spread = count[i] * sum_tt[i] - sum_t[i] * sum_t[i]
        slope[i] = (count[i] * sum_tx[i] - sum_t[i] * sum_x[i]) / spread if count[i] > 1.0 else np.nan


@compiled
def cell(
    value: Float64s, present: Float64s, oldest: int, window: int, low: float, with_slope: bool, ddof: float
) -> tuple[float, float, float]:
    """Mean, standard deviation and slope of the window that begins at slot `oldest` and whose minimum is `low`."""
    count, total = 0.0, 0.0
    for slot in range(oldest, oldest + window):
        count += present[slot]
        total += value[slot]
    mean = total / count
    if count <= ddof:
        return mean, np.nan, np.nan
    squares = 0.0
    for slot in range(oldest, oldest + window):
        deviation = value[slot] - mean
        squares += deviation * deviation if present[slot] > 0.0 else 0.0
    std = np.sqrt(squares / (count - ddof))
    if not with_slope or count <= 1.0:
        return mean, std, np.nan
    sum_t, sum_tt, sum_x, sum_tx = 0.0, 0.0, 0.0, 0.0
    for step in range(window):
        there, time = present[oldest + step], np.float64(step)
        above = value[oldest + step] - low if there > 0.0 else 0.0
        sum_t += there * time
        sum_tt += there * (time * time)
        sum_x += above
        sum_tx += time * above
    return mean, std, (count * sum_tx - sum_t * sum_x) / (count * sum_tt - sum_t * sum_t)
