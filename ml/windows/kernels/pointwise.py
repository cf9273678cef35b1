"""Kernels of features that read single samples: of this row, or of rows a fixed number of samples before.

Each computes all features of its kind. Common arguments:

values
    float32 (n_series, n_rows), the series that features are made of.
start
    int64 (n_rows,): index of the first row of each row's segment; rows before it count as missing.
first
    Rows before it are history only.
columns
    int64 (n_features,): output column of each feature.
out, stride, origin
    Row t of output column c is ``out[origin + c * stride + t - first]``.

Arithmetic is float64 and the result is rounded to float32 once. NaN in gives NaN out. What is too large for float32
becomes NaN: an infinite feature means nothing to a model.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def _finite(value: float) -> np.float32:
    narrow = np.float32(value)
    return narrow if abs(narrow) < np.inf else np.float32(np.nan)


@compiled
def _column(out: Float32s, column: int, stride: int, origin: int, rows: int) -> Float32s:
    begin = origin + column * stride
    return out[begin : begin + rows]


@compiled
def shifted(x: Float32s, start: Int64s, first: int, steps: int, out: Float32s) -> None:
    """Write the value `steps` rows ago of every row from `first` on, NaN where the segment does not reach back."""
    lead = min(max(0, steps - first), out.size)
    out[:lead] = np.nan
    begin = first + lead
    out[lead:] = x[begin - steps : begin - steps + out.size - lead]
    row = lead
    while row < out.size:  # a segment starts less than `steps` rows before: its first rows have no such past
        here = first + row
        if here - steps < start[here]:
            end = min(out.size, start[here] + steps - first)
            if start[first + end - 1] != start[here]:
                end = row + 1
            out[row:end] = np.nan
            row = end
        else:
            row = first_of_next_segment(start, here) - first


@compiled
def first_of_next_segment(start: Int64s, row: int) -> int:
    """The first row after `row` of another segment; the number of rows if there is none."""
    if start[start.size - 1] == start[row]:
        return int(start.size)
    return int(row + np.searchsorted(start[row:], start[row], side="right"))


@compiled
def lags(
    values: Float32s, start: Int64s, first: int, series: Int64s, steps: Int64s, columns: Int64s, out: Float32s,
    stride: int, origin: int,
) -> None:  # fmt: skip
    """The value some samples ago; 0 samples ago is the value itself."""
    for k in range(series.size):
        target = _column(out, columns[k], stride, origin, start.size - first)
        shifted(values[series[k]], start, first, steps[k], target)


@compiled
def rates(
    values: Float32s, start: Int64s, first: int, series: Int64s, columns: Int64s, interval: float, out: Float32s,
    stride: int, origin: int,
) -> None:  # fmt: skip
    """First difference per second."""
    before = np.empty(start.size - first, dtype=np.float32)
    for k in range(series.size):
        target, now = _column(out, columns[k], stride, origin, before.size), values[series[k]][first:]
        shifted(values[series[k]], start, first, 1, before)
        for i in range(target.size):
            target[i] = _finite((np.float64(now[i]) - np.float64(before[i])) / interval)


@compiled
def accelerations(
    values: Float32s, start: Int64s, first: int, series: Int64s, columns: Int64s, interval: float, out: Float32s,
    stride: int, origin: int,
) -> None:  # fmt: skip
    """Second difference per second squared."""
    before = np.empty(start.size - first, dtype=np.float32)
    earlier = np.empty(before.size, dtype=np.float32)
    square = interval * interval
    for k in range(series.size):
        target, now = _column(out, columns[k], stride, origin, before.size), values[series[k]][first:]
        shifted(values[series[k]], start, first, 1, before)
        shifted(values[series[k]], start, first, 2, earlier)
        for i in range(target.size):
            target[i] = _finite((np.float64(now[i]) - 2.0 * np.float64(before[i]) + np.float64(earlier[i])) / square)


@compiled
def percentages(
    values: Float32s,
    start: Int64s,
    first: int,
    series: Int64s,
    columns: Int64s,
    out: Float32s,
    stride: int,
    origin: int,
) -> None:
    """Change since the previous sample in percent of its size; NaN where that is 0."""
    before = np.empty(start.size - first, dtype=np.float32)
    for k in range(series.size):
        target, now = _column(out, columns[k], stride, origin, before.size), values[series[k]][first:]
        shifted(values[series[k]], start, first, 1, before)
        for i in range(target.size):
            past = np.float64(before[i])
            target[i] = _finite(100.0 * (np.float64(now[i]) - past) / abs(past))


@compiled
def products(
    values: Float32s, first: int, left: Int64s, right: Int64s, columns: Int64s, out: Float32s, stride: int, origin: int
) -> None:
    """Product of two values."""
    for k in range(columns.size):
        a, b = values[left[k]][first:], values[right[k]][first:]
        target = _column(out, columns[k], stride, origin, a.size)
        for i in range(target.size):
            target[i] = _finite(np.float64(a[i]) * np.float64(b[i]))


@compiled
def quotients(
    values: Float32s, first: int, above: Int64s, below: Int64s, columns: Int64s, out: Float32s, stride: int, origin: int
) -> None:
    """Product of the series of a row of `above` over that of a row of `below`, (n_features, n_factors), -1 for none.

    NaN where the divisor is 0.
    """
    for k in range(columns.size):
        target = _column(out, columns[k], stride, origin, values.shape[1] - first)
        for i in range(target.size):
            target[i] = _finite(_product(values, above[k], first + i) / _product(values, below[k], first + i))


@compiled
def _product(values: Float32s, series: Int64s, row: int) -> float:
    product = np.float64(values[series[0], row])
    for factor in range(1, series.size):
        if series[factor] >= 0:
            product *= np.float64(values[series[factor], row])
    return product


@compiled
def z_scores(
    values: Float32s, first: int, series: Int64s, mean: Float64s, scale: Float64s, least: Float64s, columns: Int64s,
    out: Float32s, stride: int, origin: int,
) -> None:  # fmt: skip
    """max(least, (x - mean) / scale), with one mean, scale and least value per feature."""
    for k in range(series.size):
        x, m, s, low = values[series[k]][first:], mean[k], scale[k], least[k]
        target = _column(out, columns[k], stride, origin, x.size)
        for i in range(target.size):
            z = (np.float64(x[i]) - m) / s
            target[i] = _finite(low if z < low else z)


@compiled
def outliers(
    values: Float32s, first: int, series: Int64s, mean: Float64s, scale: Float64s, limit: Float64s, columns: Int64s,
    out: Float32s, stride: int, origin: int,
) -> None:  # fmt: skip
    """1 where |x - mean| / scale exceeds the limit, else 0."""
    for k in range(series.size):
        x, m, s, high = values[series[k]][first:], mean[k], scale[k], limit[k]
        target = _column(out, columns[k], stride, origin, x.size)
        for i in range(target.size):
            z = abs((np.float64(x[i]) - m) / s)
            target[i] = np.float32(1.0) if z > high else (np.float32(0.0) if z <= high else np.float32(np.nan))


@compiled
def differences(
    left: Float32s, right: Float32s, scale: Float64s, columns: Int64s, out: Float32s, stride: int, origin: int
) -> None:
    """(left - right) / scale of the rows of two tables (n_features, n_rows)."""
    for k in range(columns.size):
        a, b, s = left[k], right[k], scale[k]
        target = _column(out, columns[k], stride, origin, a.size)
        for i in range(target.size):
            target[i] = _finite((np.float64(a[i]) - np.float64(b[i])) / s)


@compiled
def standings(
    recent: Float32s, settled: Float32s, spread: Float32s, columns: Int64s, out: Float32s, stride: int, origin: int
) -> None:
    """(recent - settled) / spread of the rows of three tables (n_features, n_rows); NaN where the spread is 0."""
    for k in range(columns.size):
        a, b, s = recent[k], settled[k], spread[k]
        target = _column(out, columns[k], stride, origin, a.size)
        for i in range(target.size):
            target[i] = _finite((np.float64(a[i]) - np.float64(b[i])) / np.float64(s[i]))


@compiled
def healths(
    level: Float32s, mean: Float64s, scale: Float64s, columns: Int64s, out: Float32s, stride: int, origin: int
) -> None:
    """1 / (1 + max(0, (level - mean) / scale)) of the rows of a table (n_features, n_rows)."""
    for k in range(columns.size):
        x, m, s = level[k], mean[k], scale[k]
        target = _column(out, columns[k], stride, origin, x.size)
        for i in range(target.size):
            z = (np.float64(x[i]) - m) / s
            target[i] = np.float32(1.0 / (1.0 + (0.0 if z < 0.0 else z)))


@compiled
def lookups(position: Int64s, table: Float32s, column: int, out: Float32s, stride: int, origin: int) -> None:
    """The table's value at each row's position."""
    target = _column(out, column, stride, origin, position.size)
    for i in range(position.size):
        target[i] = table[position[i]]
