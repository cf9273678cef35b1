"""Rolling statistics of one cell at a time: the window is cut out and summed twice in float64, in the order of time."""

from __future__ import annotations

import numpy as np


def rolling_cell(x, first, t, window, statistic, interval, ddof=1):
    """The float32 statistic of row `t` of `x`, whose segment begins at row `first`.

    Rows before the segment are there and missing, so that time in the window counts from its oldest row in any case.
    """
    inside = x[max(first, t - window + 1) : t + 1].astype(np.float64)
    tail = np.concatenate([np.full(window - inside.size, np.nan), inside])
    time = np.arange(tail.size)[~np.isnan(tail)]
    values = tail[~np.isnan(tail)]
    if values.size == 0 or (statistic == "std" and values.size <= ddof) or (statistic == "slope" and values.size < 2):
        return np.float32(np.nan)
    with np.errstate(over="ignore"):
        return np.float32(_STATISTICS[statistic](values, time, interval, ddof))


def in_order(values):
    """The sum from the first value to the last; numpy's own would add in pairs."""
    return np.cumsum(values)[-1]


def _mean(values):
    return in_order(values) / values.size


def _std(values, ddof):
    return _finite(np.sqrt(in_order((values - _mean(values)) ** 2) / (values.size - ddof)))


def _finite(result):
    return result if np.isfinite(np.float32(result)) else np.nan


def _median(values):
    ordered = np.sort(values)
    return (ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2.0


def _slope(values, time, interval, _):
    n, above = values.size, values - values.min()
    rise = n * in_order(time * above) - float(time.sum()) * in_order(above)
    per_sample = np.float32(rise / float(n * (time * time).sum() - time.sum() ** 2))
    return _finite(np.float64(per_sample) / interval)


_STATISTICS = {
    "mean": lambda values, *_: _mean(values),
    "std": lambda values, time, interval, ddof: _std(values, ddof),
    "min": lambda values, *_: values.min(),
    "max": lambda values, *_: values.max(),
    "median": lambda values, *_: _median(values),
    "slope": _slope,
    "range": lambda values, *_: _finite(values.max() - values.min()),
}
