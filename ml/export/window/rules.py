"""How each operation of `ml.windows.operations` is written as part of a graph, for all features of its kind at once.

A rule repeats the arithmetic of its operation's `compute`: the same steps in float64, in the same order, rounded to
float32 at the same places. Only the last rounding is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from ml.errors import InternalError
from ml.export.builder import DOUBLE, FLOAT
from ml.export.window.readings import Readings, pick
from ml.export.window.rolling import Rolling, Wanted, add_rolling
from ml.export.window.tensors import Tensor, concat, where
from ml.windows import operations as ops
from ml.windows.operations import Operation

Columns = tuple[Tensor, Sequence[Operation | None]]
"""A float64 tensor (N, n) before rounding to float32, and the operation of each column; None for one nobody asked."""

Item = TypeVar("Item")
_Rule = Callable[["GraphContext", list[Any]], Iterable[Columns]]

_PAST = "past_"
_SECONDS_PER_MINUTE, _SECONDS_PER_DAY, _UNIX_EPOCH_WEEKDAY = 60, 86_400, 3


class GraphContext:
    """The readings of a window, and the rolling statistics that several rules share."""

    def __init__(self, readings: Readings, operations: Iterable[Operation]) -> None:
        self.readings = readings
        self._wanted = _wanted(operations, readings.normal.channels)

    @cached_property
    def rolling(self) -> Mapping[str, Rolling]:
        """The rolling statistics that the operations need, by name."""
        return add_rolling(self.readings.normal, self._wanted)

    def mean(self, channels: Sequence[str], window: int) -> Tensor:
        """Rolling means of some channels (N, n), rounded to float32 as the feature of that name is."""
        return self.statistic("mean", channels, window).rounded()

    def statistic(self, name: str, channels: Sequence[str], window: int) -> Tensor:
        """A rolling statistic of some channels over one window: float64 (N, n), not rounded."""
        statistic = self.rolling[name]
        of_window = statistic.values.take(np.array(statistic.windows.index(window)), axis=0)
        return pick(of_window, statistic.channels, channels, axis=1)

    def deviation(self, channels: Sequence[str], values: Tensor) -> Tensor:
        """`values` (N, n) as training standard deviations from the training mean."""
        constants = [self.readings.constants[name] for name in channels]
        return (values - np.array([each.mean for each in constants])) / self.scale(channels)

    def scale(self, channels: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Training standard deviation of each channel, 1 where there is none."""
        return np.array([self.readings.constants[name].scale for name in channels])


def columns(readings: Readings, operations: Iterable[Operation]) -> list[Columns]:
    """The columns of all operations.

    Raises InternalError if an operation has no rule.
    """
    distinct = list(dict.fromkeys(operations))
    context = GraphContext(readings, distinct)
    result: list[Columns] = []
    for kind in dict.fromkeys(type(operation) for operation in distinct):
        if kind not in RULES:
            raise InternalError(f"the operation {kind.__name__} has no rule for the window graph")
        result.extend(RULES[kind](context, [operation for operation in distinct if type(operation) is kind]))
    return result


def _grouped(items: Sequence[Item], key: Callable[[Item], Hashable]) -> Iterator[tuple[Any, list[Item]]]:
    """Items with the same parameters, which become one tensor; in the order of the parameters."""
    for parameters, group in groupby(sorted(items, key=lambda item: str(key(item))), key=key):
        yield parameters, list(group)


def _channels(operations: Iterable[Any]) -> list[str]:
    return [operation.channel for operation in operations]


def _wanted(operations: Iterable[Operation], present: Sequence[str]) -> list[Wanted]:
    """The rolling statistics that operations need, of channels in the order in which they are present.

    Medians cost most, and an asset's own past is longest, so these are limited to their own channels and windows.
    """
    past: list[tuple[str, str, int]] = []
    smoothed: list[tuple[str, str, int]] = []
    for operation in operations:
        if isinstance(operation, ops.Rolling):
            smoothed.append((operation.statistic, operation.channel, operation.window))
        elif isinstance(operation, ops.MeanDistance | ops.Health):
            smoothed.append(("mean", operation.channel, operation.window))
        elif isinstance(operation, ops.Trend):
            smoothed += [("mean", operation.channel, window) for window in (operation.short, operation.long)]
        elif isinstance(operation, ops.History):
            past += [(name, operation.channel, operation.long) for name in dict.fromkeys((operation.statistic, "std"))]
            if operation.short > 1:
                smoothed.append((operation.statistic, operation.channel, operation.short))
        elif isinstance(operation, ops.ServedRolling):
            smoothed += [(name, operation.channel, operation.window) for name in _MADE_OF[operation.statistic]]
    medians = [each for each in smoothed if each[0] == "median"]
    others = [each for each in smoothed if each[0] != "median"]
    return [
        Wanted(
            tuple(dict.fromkeys(statistic for statistic, _, _ in group)),
            tuple(name for name in present if name in {channel for _, channel, _ in group}),
            tuple(sorted({window for _, _, window in group})),
            name,
        )
        for name, group in (("", others), ("", medians), (_PAST, past))
        if group
    ]


def _value(context: GraphContext, operations: list[ops.Value]) -> Iterator[Columns]:
    yield context.readings.normal.at(_channels(operations)), operations


def _lag(context: GraphContext, operations: list[ops.Lag]) -> Iterator[Columns]:
    for steps, group in _grouped(operations, lambda op: op.steps):
        yield context.readings.normal.at(_channels(group), steps), group


def _sample(context: GraphContext, operations: list[ops.Sample]) -> Iterator[Columns]:
    for steps, group in _grouped(operations, lambda op: op.steps):
        yield context.readings.physical.at(_channels(group), steps), group


def _rolling(context: GraphContext, operations: list[ops.Rolling]) -> Iterator[Columns]:
    asked = {(op.statistic, op.window, op.channel): op for op in operations}
    statistics = dict.fromkeys(op.statistic for op in operations)
    for channels, group in _grouped(list(statistics), lambda statistic: context.rolling[statistic].channels):
        parts = [_in_features_unit(context, statistic) for statistic in group]
        rows = [(statistic, window) for statistic in group for window in context.rolling[statistic].windows]
        side_by_side = concat(parts, axis=0).transpose(1, 0, 2).reshape(-1, len(rows) * len(channels))
        yield side_by_side, [asked.get((*row, channel)) for row in rows for channel in channels]


def _in_features_unit(context: GraphContext, statistic: str) -> Tensor:
    values = context.rolling[statistic].values
    return values.rounded() / context.readings.interval if statistic == "slope" else values


def _rate(context: GraphContext, operations: list[ops.Rate]) -> Iterator[Columns]:
    now, before = (context.readings.normal.at(_channels(operations), steps) for steps in (0, 1))
    yield (now - before) / context.readings.interval, operations


def _acceleration(context: GraphContext, operations: list[ops.Acceleration]) -> Iterator[Columns]:
    now, before, earlier = (context.readings.normal.at(_channels(operations), steps) for steps in (0, 1, 2))
    yield (now - 2.0 * before + earlier) / context.readings.interval**2, operations


def _percent(context: GraphContext, operations: list[ops.Percent]) -> Iterator[Columns]:
    now, before = (context.readings.physical.at(_channels(operations), steps) for steps in (0, 1))
    yield 100.0 * (now - before) / abs(before), operations


def _pair(context: GraphContext, operations: Sequence[ops.Product | ops.Ratio]) -> tuple[Tensor, Tensor]:
    physical = context.readings.physical
    return physical.at([op.left for op in operations]), physical.at([op.right for op in operations])


def _product(context: GraphContext, operations: list[ops.Product]) -> Iterator[Columns]:
    left, right = _pair(context, operations)
    yield left * right, operations


def _ratio(context: GraphContext, operations: list[ops.Ratio]) -> Iterator[Columns]:
    left, right = _pair(context, operations)
    yield left / right, operations


def _cycle(context: GraphContext, operations: list[ops.Cycle]) -> Iterator[Columns]:
    # Mod has the sign of the divisor, as in Python, so what is divided is not negative and Div rounds down.
    seconds = context.readings.seconds
    minute = seconds % np.array(_SECONDS_PER_DAY) / np.array(_SECONDS_PER_MINUTE)
    day = seconds % np.array(7 * _SECONDS_PER_DAY) / np.array(_SECONDS_PER_DAY)
    for cycle, group in _grouped(operations, lambda op: op.cycle):
        table = np.stack([ops.cycle_table(cycle, op.wave) for op in group], axis=1).astype(np.float64)
        if cycle == "weekday":
            table = np.roll(table, -_UNIX_EPOCH_WEEKDAY, axis=0)
        constant = Tensor(seconds.graph, seconds.graph.shared_constant(table))
        yield constant.take(minute if cycle == "hour" else day, axis=0), group


def _zscore(context: GraphContext, operations: list[ops.ZScore]) -> Iterator[Columns]:
    yield _deviation_now(context, operations), operations


def _deviation_now(context: GraphContext, operations: Iterable[ops.ZScore | ops.Outlier | ops.Stress]) -> Tensor:
    channels = _channels(operations)
    return context.deviation(channels, context.readings.normal.at(channels))


def _outlier(context: GraphContext, operations: list[ops.Outlier]) -> Iterator[Columns]:
    z = _deviation_now(context, operations)
    outside = abs(z).above(np.array([op.threshold for op in operations]))
    yield outside.cast(DOUBLE) + (z - z), operations  # z - z is NaN for NaN, else 0


def _mean_distance(context: GraphContext, operations: list[ops.MeanDistance]) -> Iterator[Columns]:
    for window, group in _grouped(operations, lambda op: op.window):
        channels = _channels(group)
        distance = context.readings.normal.at(channels) - context.mean(channels, window)
        yield distance / context.scale(channels), group


def _changes(context: GraphContext, operations: list[ops.Changes]) -> Iterator[Columns]:
    rows = context.readings.physical.rows
    for window, group in _grouped(operations, lambda op: op.window):
        x = context.readings.physical.over_time(_channels(group)).slice(rows - window, rows, axis=0).cast(DOUBLE)
        step = abs(x.slice(1, window, axis=0) - x.slice(0, window - 1, axis=0))
        known = x.is_nan().logical_not().cast(DOUBLE).sum(axis=0)
        yield where(known.above(0.0), step.above(0.0).cast(DOUBLE).sum(axis=0), np.nan), group


def _since_change(context: GraphContext, operations: list[ops.SinceChange]) -> Iterator[Columns]:
    rows = context.readings.physical.rows
    for window, group in _grouped(operations, lambda op: op.window):
        x = context.readings.physical.over_time(_channels(group)).slice(rows - window, rows, axis=0).cast(DOUBLE)
        last = context.readings.physical.at(_channels(group))
        place = np.arange(1, window + 1, dtype=np.float64).reshape(-1, 1, 1)
        age = window - (abs(x - last).above(0.0).cast(DOUBLE) * place).max(axis=0)
        yield where(last.is_nan(), np.nan, age * context.readings.interval), group


def _efficiency(context: GraphContext, operations: list[ops.Efficiency]) -> Iterator[Columns]:
    physical = context.readings.physical
    for factors, group in _grouped(operations, lambda op: len(op.power)):
        hydraulic = physical.at([op.pressure for op in group]) * physical.at([op.flow for op in group])
        electrical = physical.at([op.power[0] for op in group])
        for factor in range(1, factors):
            electrical = electrical * physical.at([op.power[factor] for op in group])
        yield hydraulic / electrical, group


def _stress(context: GraphContext, operations: list[ops.Stress]) -> Iterator[Columns]:
    yield _deviation_now(context, operations).at_least(0.0), operations


def _trend(context: GraphContext, operations: list[ops.Trend]) -> Iterator[Columns]:
    for (short, long), group in _grouped(operations, lambda op: (op.short, op.long)):
        yield context.mean(_channels(group), short) - context.mean(_channels(group), long), group


def _history(context: GraphContext, operations: list[ops.History]) -> Iterator[Columns]:
    for (statistic, short, long), group in _grouped(operations, lambda op: (op.statistic, op.short, op.long)):
        channels = _channels(group)
        now = context.readings.normal.at(channels) if short == 1 else context.statistic(statistic, channels, short)
        settled = context.statistic(_PAST + statistic, channels, long).rounded()
        spread = context.statistic(f"{_PAST}std", channels, long).cast(FLOAT).finite().cast(DOUBLE)
        yield (now.rounded() - settled) / spread, group


def _health(context: GraphContext, operations: list[ops.Health]) -> Iterator[Columns]:
    for window, group in _grouped(operations, lambda op: op.window):
        channels = _channels(group)
        above = context.deviation(channels, context.mean(channels, window)).at_least(0.0)
        yield 1.0 / (1.0 + above), group


def _regime(context: GraphContext, operations: list[ops.Regime]) -> Iterator[Columns]:
    if context.readings.regime is None:
        raise InternalError("a regime feature needs operating columns")
    yield context.readings.regime.as_column(), operations


_MADE_OF: Mapping[str, tuple[str, ...]] = {
    "mean": ("mean",),
    "std": ("population_std",),
    "min": ("min",),
    "max": ("max",),
    "range": ("max", "min"),
}


def _served_value(context: GraphContext, operations: list[ops.ServedValue]) -> Iterator[Columns]:
    yield context.readings.normal.at(_channels(operations)).or_zero(), operations


def _served_lag(context: GraphContext, operations: list[ops.ServedLag]) -> Iterator[Columns]:
    for steps, group in _grouped(operations, lambda op: op.steps):
        yield context.readings.physical.first_there(_channels(group), steps).or_zero(), group


def _served_rolling(context: GraphContext, operations: list[ops.ServedRolling]) -> Iterator[Columns]:
    for (statistic, window), group in _grouped(operations, lambda op: (op.statistic, op.window)):
        parts = [context.statistic(name, _channels(group), window) for name in _MADE_OF[statistic]]
        yield reduce(Tensor.__sub__, parts).or_zero(), group


def _served_share(context: GraphContext, operations: list[ops.ServedShare]) -> Iterator[Columns]:
    physical = context.readings.physical
    for (statistic, window), group in _grouped(operations, lambda op: (op.statistic, op.window)):
        on = abs(physical.over_time(_channels(group), window).cast(DOUBLE)).above(0.0).cast(DOUBLE).sum(axis=0)
        there = (1.0 - physical.empty.slice(physical.rows - window, physical.rows, axis=0)).sum(axis=0).as_column()
        yield (on / there).or_zero() if statistic == "rate" else on, group


RULES: dict[type[Operation], _Rule] = {
    ops.Value: _value,
    ops.Since: _value,
    ops.Lag: _lag,
    ops.Sample: _sample,
    ops.Rolling: _rolling,
    ops.Rate: _rate,
    ops.Acceleration: _acceleration,
    ops.Percent: _percent,
    ops.Product: _product,
    ops.Ratio: _ratio,
    ops.Cycle: _cycle,
    ops.ZScore: _zscore,
    ops.Outlier: _outlier,
    ops.MeanDistance: _mean_distance,
    ops.Changes: _changes,
    ops.SinceChange: _since_change,
    ops.Efficiency: _efficiency,
    ops.Stress: _stress,
    ops.Trend: _trend,
    ops.Health: _health,
    ops.History: _history,
    ops.Regime: _regime,
    ops.ServedValue: _served_value,
    ops.ServedLag: _served_lag,
    ops.ServedRolling: _served_rolling,
    ops.ServedShare: _served_share,
}
"""One rule per operation; the catalogue may only use operations that are here."""
