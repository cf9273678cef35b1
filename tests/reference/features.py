"""Every feature of one row, computed the slow and obvious way from that row's window alone.

The window is float64 (W, C), oldest first, NaN before the segment's start: nothing else is looked at, so agreement
with the engine also shows that no feature depends on anything older, newer, or in another segment.
"""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Callable

import numpy as np

from ml.windows import operations as ops


def reference_row(window, channels, counters, operations, *, interval, seconds, constants, regimes=None, pairs=()):
    """The float32 value of each operation for the last row of `window`; `pairs` are (name, value, set point)."""
    physical = _physical(window, channels, counters)
    for name, value, set_point in pairs:
        apart = [np.float32(float(x) - float(y)) for x, y in zip(physical[value], physical[set_point], strict=True)]
        physical[name] = np.array([x if math.isfinite(x) else math.nan for x in apart], dtype=np.float32)
    normal, regime = physical, math.nan
    if regimes is not None:
        normal, regime = _normalise(physical, regimes)
    context = _Context(physical, normal, regime, interval, seconds, constants)
    return np.array(
        [_FORMULAS[type(operation)](operation, context) for operation in operations], dtype=np.float64
    ).astype(np.float32)


class _Context:
    def __init__(self, physical, normal, regime, interval, seconds, constants):
        self.physical, self.normal, self.regime = physical, normal, regime
        self.interval, self.seconds, self.constants = interval, seconds, constants

    def last(self, channel, steps=0, view="normal"):
        return float(getattr(self, view)[channel][-1 - steps])

    def values(self, channel, window):
        tail = self.normal[channel][-window:]
        return [float(value) for value in tail if not math.isnan(value)]

    def mean(self, channel, window):
        values = self.values(channel, window)
        return float(np.float32(math.fsum(values) / len(values))) if values else math.nan

    def z(self, channel, value):
        mean, scale = self.constants[channel].mean, self.constants[channel].std or 1.0
        return (value - mean) / scale


def _physical(window, channels, counters):
    result = {}
    for index, name in enumerate(channels):
        column = window[:, index]
        if name in counters:
            steps = [math.nan]
            for before, after in itertools.pairwise(column):
                steps.append(after - before if after - before >= 0 else math.nan)
            column = np.array(steps)
        column = column.astype(np.float32)
        result[name] = np.where(np.isfinite(column), column, np.float32(np.nan))
    return result


def _normalise(physical, regimes):
    length = len(next(iter(physical.values())))
    members = []
    for row in range(length):
        point = [
            (float(physical[name][row]) - each.mean) / (each.std or 1.0)
            for name, each in zip(regimes.columns, regimes.scaling, strict=True)
        ]
        distances = [sum((p - c) ** 2 for p, c in zip(point, centroid, strict=True)) for centroid in regimes.centroids]
        members.append(len(distances) if any(math.isnan(p) for p in point) else distances.index(min(distances)))
    normal = dict(physical)
    for name, constants in regimes.constants.items():
        normal[name] = np.array(
            [
                (float(x) - constants[m].mean) / (constants[m].std or 1.0)
                for x, m in zip(physical[name], members, strict=True)
            ]
        ).astype(np.float32)
    return normal, math.nan if members[-1] == len(regimes.centroids) else float(members[-1])


def _divide(above, below):
    return math.nan if below == 0 or math.isnan(above) or math.isnan(below) else above / below


def _rolling(op, context):
    values = context.values(op.channel, op.window)
    n = len(values)
    if n == 0:
        return math.nan
    if op.statistic == "mean":
        return math.fsum(values) / n
    if op.statistic in ("min", "max"):
        return min(values) if op.statistic == "min" else max(values)
    if op.statistic == "median":
        ordered = sorted(values)
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    if n < 2:
        return math.nan
    if op.statistic == "std":
        mean = math.fsum(values) / n
        return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    tail = context.normal[op.channel][-op.window :]
    points = [(t, float(x) - min(values)) for t, x in enumerate(tail) if not math.isnan(x)]
    sum_t, sum_tt = sum(t for t, _ in points), sum(t * t for t, _ in points)
    sum_x, sum_tx = math.fsum(x for _, x in points), math.fsum(t * x for t, x in points)
    per_sample = np.float32((n * sum_tx - sum_t * sum_x) / (n * sum_tt - sum_t * sum_t))
    return float(per_sample) / context.interval


def _changes(op, context):
    tail = context.physical[op.channel][-op.window :]
    if np.isnan(tail).all():
        return math.nan
    return sum(1 for a, b in itertools.pairwise(tail) if not math.isnan(a) and not math.isnan(b) and a != b)


def _since_change(op, context):
    tail = context.physical[op.channel][-op.window :]
    now = tail[-1]
    if math.isnan(now):
        return math.nan
    for age in range(1, len(tail)):
        before = tail[-1 - age]
        if not math.isnan(before) and before != now:
            return age * context.interval
    return op.window * context.interval


def _cycle(op, context):
    moment = datetime.datetime.fromtimestamp(context.seconds, datetime.UTC)
    share = (moment.hour * 60 + moment.minute) / 1440 if op.cycle == "hour" else moment.weekday() / 7
    return math.sin(2 * math.pi * share) if op.wave == "sin" else math.cos(2 * math.pi * share)


def _outlier(op, context):
    z = context.z(op.channel, context.last(op.channel))
    return math.nan if math.isnan(z) else float(abs(z) > op.threshold)


def _mean_distance(op, context):
    deviation = context.last(op.channel) - context.mean(op.channel, op.window)
    return deviation / (context.constants[op.channel].std or 1.0)


def _percent(op, context):
    now, before = (context.last(op.channel, steps, "physical") for steps in (0, 1))
    return _divide(100.0 * (now - before), abs(before))


def _efficiency(op, context):
    power = math.prod(context.last(name, view="physical") for name in op.power)
    return _divide(context.last(op.pressure, view="physical") * context.last(op.flow, view="physical"), power)


def _at_least_zero(value):
    return math.nan if math.isnan(value) else max(0.0, value)


def _history(op, context):
    def of(statistic, window):
        values = context.values(op.channel, window)
        if statistic == "mean":
            return context.mean(op.channel, window)
        if len(values) < 2:
            return math.nan
        mean = math.fsum(values) / len(values)
        return float(np.float32(math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))))

    return _divide(of(op.statistic, op.short) - of(op.statistic, op.long), of("std", op.long))


_FORMULAS: dict[type, Callable] = {
    ops.Value: lambda op, c: c.last(op.channel),
    ops.Since: lambda op, c: c.last(op.channel),
    ops.Lag: lambda op, c: c.last(op.channel, op.steps),
    ops.Rolling: _rolling,
    ops.Rate: lambda op, c: (c.last(op.channel) - c.last(op.channel, 1)) / c.interval,
    ops.Acceleration: lambda op, c: (
        (c.last(op.channel) - 2 * c.last(op.channel, 1) + c.last(op.channel, 2)) / c.interval**2
    ),
    ops.Percent: _percent,
    ops.Product: lambda op, c: c.last(op.left, view="physical") * c.last(op.right, view="physical"),
    ops.Ratio: lambda op, c: _divide(c.last(op.left, view="physical"), c.last(op.right, view="physical")),
    ops.Cycle: _cycle,
    ops.ZScore: lambda op, c: c.z(op.channel, c.last(op.channel)),
    ops.Outlier: _outlier,
    ops.MeanDistance: _mean_distance,
    ops.Changes: _changes,
    ops.SinceChange: _since_change,
    ops.Efficiency: _efficiency,
    ops.Stress: lambda op, c: _at_least_zero(c.z(op.channel, c.last(op.channel))),
    ops.Trend: lambda op, c: c.mean(op.channel, op.short) - c.mean(op.channel, op.long),
    ops.History: _history,
    ops.Health: lambda op, c: 1 / (1 + _at_least_zero(c.z(op.channel, c.mean(op.channel, op.window)))),
    ops.Regime: lambda op, c: c.regime,
}
