"""All rolling statistics of a channel together: one pass over its rows, a stretch at a time."""

from __future__ import annotations

import numpy as np

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.windows.kernels import extremes, prefixes, ranked_medians, sorted_medians, sums
from ml.windows.kernels.compiling import compiled
from ml.windows.kernels.prefixes import PREFIXES
from ml.windows.kernels.stretch import fill, magnitudes, stretch_end

STATISTICS = ("mean", "std", "min", "max", "median", "slope", "range")
"""Order of the statistics in the kernel's tables."""
MEAN, STD, MIN, MAX, MEDIAN, SLOPE, RANGE = range(7)

_ROWS = 1024  # rows of a stretch, at least: their sums stay in the first- and second-level cache
_ROWS_PER_WINDOW = 4  # a stretch of so many of the longest window does little work twice
_SUMMED_WINDOW = 24  # up to here, summing every window anew is faster than running sums
_FEW_ROWS = 8  # so few, such as the newest alone, are summed one by one


@compiled
def rolling(
    values: Float32s, start: Int64s, first: int, series: Int64s, windows: Int64s, columns: Int64s, interval: float,
    ddof: float, out: Float32s, stride: int, origin: int,
) -> None:  # fmt: skip
    """Write rolling statistics of some series over the last samples.

    The window of row t with length w is the rows max(start[t], t - w + 1) .. t. NaN are skipped; a window without a
    value gives NaN; so do std of no more than `ddof` values and slope of fewer than two. The slope is per second.

    Parameters
    ----------
    values
        float32 (n_series, n_rows).
    start
        int64 (n_rows,): index of the first row of each row's segment.
    first
        Rows before it are history only.
    series
        Which series, (n_wanted,).
    windows
        Window lengths in samples, ascending, (n_windows,).
    columns
        Output column of each statistic, (n_statistics, n_wanted, n_windows); -1 where it is not wanted.
    interval
        Seconds between samples.
    ddof
        Standard deviations divide by the number of values less this: 1, or 0.
    out
        Written to: row t of output column c is ``out[origin + c * stride + t - first]``.
    """
    before = windows[-1]
    wanted_rows = start.size - first
    stretches = max(1, wanted_rows // max(_ROWS, _ROWS_PER_WINDOW * before))
    rows = (wanted_rows + stretches - 1) // stretches
    slots = before + rows
    value, present = np.empty(slots), np.empty(slots)
    low, high = np.empty((windows.size, rows), dtype=np.float32), np.empty((windows.size, rows), dtype=np.float32)
    work, spare = np.empty(slots, dtype=np.float32), np.empty(slots, dtype=np.float32)
    prefix = np.empty((PREFIXES, slots + 1))
    constant_from = np.empty(slots, dtype=np.int64)
    short = np.searchsorted(windows, sorted_medians.LONGEST, side="right")
    results = np.empty((8, rows))
    unsure = np.empty(rows, dtype=np.bool_)
    for at in range(series.size):
        x = values[series[at]]
        wanted = columns[:, at, :]
        with_mean, with_std = wanted[MEAN].max() >= 0, wanted[STD].max() >= 0
        with_slope, with_median = wanted[SLOPE].max() >= 0, wanted[MEDIAN].max() >= 0
        begin = first
        while begin < start.size:
            end = stretch_end(start, begin, rows)
            count = end - begin
            here = before + count
            complete = fill(x, start[begin], begin, end, before, value, present)
            place = origin + begin - first
            with_range = wanted[RANGE].max() >= 0
            if with_slope or with_range or wanted[MIN].max() >= 0:
                extremes.signed(value[:here], present, 1.0, work)
                extremes.minima(work[:here], spare[:here], before, windows, 1.0, low)
                _put(low, count, wanted[MIN], out, stride, place)
            if with_range or wanted[MAX].max() >= 0:
                extremes.signed(value[:here], present, -1.0, work)
                extremes.minima(work[:here], spare[:here], before, windows, -1.0, high)
                _put(high, count, wanted[MAX], out, stride, place)
            if with_range:
                _put_ranges(low, high, count, wanted[RANGE], out, stride, place)
            if with_median:
                if short > 0:
                    sorted_medians.sorted_medians(value[:here], present[:here], before, windows[:short], high[:short])
                if short < windows.size:
                    ranked_medians.ranked_medians(value[:here], present[:here], before, windows[short:], high[short:])
                _put(high, count, wanted[MEDIAN], out, stride, place)
            if with_mean or with_std or with_slope:
                _moments(
                    value[:here], present[:here], before, windows, complete, with_std, with_slope, ddof, low, prefix,
                    constant_from, results, unsure[:count], wanted, interval, out, stride, place,
                )  # fmt: skip
            begin = end


@compiled
def _put(found: Float32s, rows: int, columns: Int64s, out: Float32s, stride: int, place: int) -> None:
    for index in range(columns.size):
        if columns[index] >= 0:
            to = place + columns[index] * stride
            out[to : to + rows] = found[index][:rows]


@compiled
def _put_ranges(
    low: Float32s, high: Float32s, rows: int, columns: Int64s, out: Float32s, stride: int, place: int
) -> None:
    """Maximum less minimum, in float64; too large for float32 is NaN."""
    for index in range(columns.size):
        if columns[index] >= 0:
            to = place + columns[index] * stride
            target, least, most = out[to : to + rows], low[index], high[index]
            for i in range(rows):
                narrow = np.float32(np.float64(most[i]) - np.float64(least[i]))
                target[i] = narrow if narrow < np.inf else np.float32(np.nan)


@compiled
def _moments(
    value: Float64s, present: Float64s, before: int, windows: Int64s, complete: bool, with_std: bool, with_slope: bool,
    ddof: float, low: Float32s, prefix: Float64s, constant_from: Int64s, results: Float64s, unsure: Bools,
    wanted: Int64s, interval: float, out: Float32s, stride: int, place: int,
) -> None:  # fmt: skip
    """Mean, standard deviation and slope of one stretch; `results` is room for 8 numbers per row."""
    rows = unsure.size
    mean, std, slope = results[0][:rows], results[1][:rows], results[2][:rows]
    running = False
    pivot, smallest, largest = 0.0, np.inf, 0.0
    for index in range(windows.size):
        window = windows[index]
        if wanted[MEAN, index] < 0 and wanted[STD, index] < 0 and wanted[SLOPE, index] < 0:
            continue
        if rows <= _FEW_ROWS:
            unsure[:] = True
            _decide(value, present, before, window, with_slope, ddof, low[index], results, unsure)
        elif window <= _SUMMED_WINDOW:
            _summed(
                value[before - window + 1 :], present[before - window + 1 :], window, complete, with_std, with_slope,
                ddof, low[index], rows, results,
            )  # fmt: skip
        else:
            if not running:
                pivot = _first_present(value, present)
                smallest, largest = magnitudes(value)
                prefixes.run_up(value, present, pivot, with_slope, prefix, constant_from)
                running = True
            total, count = results[3][:rows], results[4][:rows]
            error = prefixes.means(prefix, before, window, smallest, largest, total, count, mean, unsure)
            if with_std:
                prefixes.deviations(
                    prefix, before, window, pivot, error, largest, constant_from, ddof, total, count, std, unsure
                )
            if with_slope:
                prefixes.slopes(
                    prefix, before, window, pivot, error, smallest, largest, constant_from, low[index], total, count,
                    slope, unsure,
                )  # fmt: skip
            _decide(value, present, before, window, with_slope, ddof, low[index], results, unsure)
        _put_moments(wanted[:, index], results, rows, interval, out, stride, place)


@compiled
def _first_present(value: Float64s, present: Float64s) -> float:
    for slot in range(value.size):
        if present[slot] > 0.0:
            return float(value[slot])
    return 0.0


@compiled
def _summed(
    value: Float64s, present: Float64s, window: int, complete: bool, with_std: bool, with_slope: bool, ddof: float,
    low: Float32s, rows: int, results: Float64s,
) -> None:  # fmt: skip
    """The three statistics by their definition; the first row's window begins at slot 0."""
    mean, std, slope, count = results[0][:rows], results[1][:rows], results[2][:rows], results[3][:rows]
    sums.window_sums(value, present, window, complete, count, mean)
    if with_std:
        sums.window_deviations(value, present, window, complete, ddof, count, mean, std)
    if with_slope:
        sums.window_slopes(value, present, window, complete, count, low, results[4:], slope)


@compiled
def _decide(
    value: Float64s, present: Float64s, before: int, window: int, with_slope: bool, ddof: float, low: Float32s,
    results: Float64s, unsure: Bools,
) -> None:  # fmt: skip
    """Replace the results that are not certain by their definition."""
    for row in range(unsure.size):
        if unsure[row]:
            oldest = before + row - window + 1
            mean, std, slope = sums.cell(value, present, oldest, window, np.float64(low[row]), with_slope, ddof)
            results[0, row], results[1, row], results[2, row] = mean, std, slope


@compiled
def _put_moments(
    columns: Int64s, results: Float64s, rows: int, interval: float, out: Float32s, stride: int, place: int
) -> None:
    """Round to float32, once, but the slope twice: per sample, then per second. Too large for float32 is NaN."""
    if columns[MEAN] >= 0:
        to = place + columns[MEAN] * stride
        target, result = out[to : to + rows], results[0]
        for i in range(rows):
            target[i] = result[i]
    if columns[STD] >= 0:
        to = place + columns[STD] * stride
        target, result = out[to : to + rows], results[1]
        for i in range(rows):
            narrow = np.float32(result[i])
            target[i] = narrow if narrow < np.inf else np.float32(np.nan)
    if columns[SLOPE] >= 0:
        to = place + columns[SLOPE] * stride
        target, result = out[to : to + rows], results[2]
        for i in range(rows):
            narrow = np.float32(np.float64(np.float32(result[i])) / interval)
            target[i] = narrow if abs(narrow) < np.inf else np.float32(np.nan)
