"""How each operation of `ml.windows.operations` is written as part of a graph, for all features of its kind at once.

A rule repeats the arithmetic of its operation's `compute`: the same steps in float64, in the same order, rounded to
float32 at the same places. Only the last rounding is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from ml.errors import InternalError
from ml.export.graph_builder import DOUBLE
from ml.export.tensors import Tensor, where
from ml.export.window_readings import Readings, pick
from ml.export.window_statistics import WindowStatistics
from ml.windows import operations as ops
from ml.windows.operations import Operation

Columns = tuple[Tensor, Sequence[Operation | None]]
"""A float64 tensor (N, n) before rounding to float32, and the operation of each column; None for one nobody asked."""

Kind = TypeVar("Kind", bound=Operation)
_Rule = Callable[["Workshop", list[Any]], Iterable[Columns]]

_SECONDS_PER_MINUTE, _MINUTES_PER_DAY, _UNIX_EPOCH_WEEKDAY = 60, 1440, 3


class Workshop:
    """The readings of a window, and the rolling statistics that several rules share."""

    def __init__(self, readings: Readings, operations: Iterable[Operation]) -> None:
        self.readings = readings
        smoothed = [pair for operation in operations for pair in _smoothed(operation)]
        self._channels = tuple(dict.fromkeys(channel for channel, _ in smoothed))
        self._windows = sorted({window for _, window in smoothed})
        self._statistics: WindowStatistics | None = None

    @property
    def statistics(self) -> WindowStatistics:
        """Rolling statistics of every channel that one of the operations smooths."""
        if self._statistics is None:
            self._statistics = WindowStatistics(self.readings.normal, self._channels, self._windows)
        return self._statistics

    def mean(self, channels: Sequence[str], window: int) -> Tensor:
        """Rolling means of some channels (N, n), rounded to float32 as the feature of that name is."""
        means = self.statistics.mean().take(np.array(self.statistics.windows.index(window)), axis=0)
        return pick(means, self.statistics.channels, channels, axis=1).rounded()

    def deviation(self, channels: Sequence[str], values: Tensor) -> Tensor:
        """`values` (N, n) as training standard deviations from the training mean."""
        constants = [self.readings.constants[name] for name in channels]
        return (values - np.array([each.mean for each in constants])) / self.scale(channels)

    def scale(self, channels: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Training standard deviation of each channel, 1 where there is none."""
        return np.array([self.readings.constants[name].scale for name in channels])


def columns(readings: Readings, operations: Iterable[Operation]) -> list[Columns]:
    """The columns of all operations.

    Raises
    ------
    InternalError
        An operation has no rule.
    """
    distinct = list(dict.fromkeys(operations))
    workshop = Workshop(readings, distinct)
    result: list[Columns] = []
    for kind in dict.fromkeys(type(operation) for operation in distinct):
        if kind not in RULES:
            raise InternalError(f"the operation {kind.__name__} has no rule for the window graph")
        result.extend(RULES[kind](workshop, [operation for operation in distinct if type(operation) is kind]))
    return result


def _grouped(operations: Sequence[Kind], key: Callable[[Kind], Hashable]) -> Iterator[tuple[Any, list[Kind]]]:
    """Operations with the same parameters, which become one tensor; in the order of the parameters."""
    for parameters, group in groupby(sorted(operations, key=lambda op: str(key(op))), key=key):
        yield parameters, list(group)


def _channels(operations: Iterable[Any]) -> list[str]:
    return [operation.channel for operation in operations]


def _smoothed(operation: Operation) -> list[tuple[str, int]]:
    """Channels and windows of which an operation needs rolling statistics."""
    if isinstance(operation, ops.Rolling | ops.MeanDistance | ops.Health):
        return [(operation.channel, operation.window)]
    if isinstance(operation, ops.Trend):
        return [(operation.channel, operation.short), (operation.channel, operation.long)]
    return []


def _value(workshop: Workshop, operations: list[ops.Value]) -> Iterator[Columns]:
    yield workshop.readings.normal.at(_channels(operations)), operations


def _lag(workshop: Workshop, operations: list[ops.Lag]) -> Iterator[Columns]:
    for steps, group in _grouped(operations, lambda op: op.steps):
        yield workshop.readings.normal.at(_channels(group), steps), group


def _rolling(workshop: Workshop, operations: list[ops.Rolling]) -> Iterator[Columns]:
    statistics = workshop.statistics
    for statistic, group in _grouped(operations, lambda op: op.statistic):
        windows, channels = statistics.windows, statistics.channels
        if statistic == "median":
            windows, channels = tuple(sorted({op.window for op in group})), tuple(dict.fromkeys(_channels(group)))
            values = statistics.median(windows, channels)
        elif statistic == "slope":
            values = statistics.slope().rounded() / workshop.readings.interval
        else:
            values = getattr(statistics, statistic)()
        asked = {(op.window, op.channel): op for op in group}
        side_by_side = values.transpose(1, 0, 2).reshape(-1, len(windows) * len(channels))
        yield side_by_side, [asked.get((window, channel)) for window in windows for channel in channels]


def _rate(workshop: Workshop, operations: list[ops.Rate]) -> Iterator[Columns]:
    now, before = (workshop.readings.normal.at(_channels(operations), steps) for steps in (0, 1))
    yield (now - before) / workshop.readings.interval, operations


def _acceleration(workshop: Workshop, operations: list[ops.Acceleration]) -> Iterator[Columns]:
    now, before, earlier = (workshop.readings.normal.at(_channels(operations), steps) for steps in (0, 1, 2))
    yield (now - 2.0 * before + earlier) / workshop.readings.interval**2, operations


def _percent(workshop: Workshop, operations: list[ops.Percent]) -> Iterator[Columns]:
    now, before = (workshop.readings.physical.at(_channels(operations), steps) for steps in (0, 1))
    yield 100.0 * (now - before) / abs(before), operations


def _pair(workshop: Workshop, operations: Sequence[ops.Product | ops.Ratio]) -> tuple[Tensor, Tensor]:
    physical = workshop.readings.physical
    return physical.at([op.left for op in operations]), physical.at([op.right for op in operations])


def _product(workshop: Workshop, operations: list[ops.Product]) -> Iterator[Columns]:
    left, right = _pair(workshop, operations)
    yield left * right, operations


def _ratio(workshop: Workshop, operations: list[ops.Ratio]) -> Iterator[Columns]:
    left, right = _pair(workshop, operations)
    yield left / right, operations


def _cycle(workshop: Workshop, operations: list[ops.Cycle]) -> Iterator[Columns]:
    # Mod has the sign of the divisor, as in Python, so what is divided has no remainder and is not truncated.
    seconds = workshop.readings.seconds
    minutes = (seconds - seconds % np.array(_SECONDS_PER_MINUTE)) / np.array(_SECONDS_PER_MINUTE)
    minute = minutes % np.array(_MINUTES_PER_DAY)
    weekday = ((minutes - minute) / np.array(_MINUTES_PER_DAY) + np.array(_UNIX_EPOCH_WEEKDAY)) % np.array(7)
    for cycle, group in _grouped(operations, lambda op: op.cycle):
        table = np.stack([ops.cycle_table(cycle, op.wave) for op in group], axis=1).astype(np.float64)
        constant = Tensor(seconds.graph, seconds.graph.shared_constant(table))
        yield constant.take(minute if cycle == "hour" else weekday, axis=0), group


def _zscore(workshop: Workshop, operations: list[ops.ZScore]) -> Iterator[Columns]:
    yield _deviation_now(workshop, operations), operations


def _deviation_now(workshop: Workshop, operations: Iterable[ops.ZScore | ops.Outlier | ops.Stress]) -> Tensor:
    channels = _channels(operations)
    return workshop.deviation(channels, workshop.readings.normal.at(channels))


def _outlier(workshop: Workshop, operations: list[ops.Outlier]) -> Iterator[Columns]:
    z = _deviation_now(workshop, operations)
    outside = abs(z).above(np.array([op.threshold for op in operations]))
    yield where(z.is_nan(), np.nan, outside.cast(DOUBLE)), operations


def _mean_distance(workshop: Workshop, operations: list[ops.MeanDistance]) -> Iterator[Columns]:
    for window, group in _grouped(operations, lambda op: op.window):
        channels = _channels(group)
        distance = workshop.readings.normal.at(channels) - workshop.mean(channels, window)
        yield distance / workshop.scale(channels), group


def _changes(workshop: Workshop, operations: list[ops.Changes]) -> Iterator[Columns]:
    rows = workshop.readings.physical.rows
    for window, group in _grouped(operations, lambda op: op.window):
        x = workshop.readings.physical.over_time(_channels(group)).slice(rows - window, rows, axis=0).cast(DOUBLE)
        step = abs(x.slice(1, window, axis=0) - x.slice(0, window - 1, axis=0))
        known = x.is_nan().logical_not().cast(DOUBLE).sum(axis=0)
        yield where(known.above(0.0), step.above(0.0).cast(DOUBLE).sum(axis=0), np.nan), group


def _since_change(workshop: Workshop, operations: list[ops.SinceChange]) -> Iterator[Columns]:
    rows = workshop.readings.physical.rows
    for window, group in _grouped(operations, lambda op: op.window):
        x = workshop.readings.physical.over_time(_channels(group)).slice(rows - window, rows, axis=0).cast(DOUBLE)
        last = workshop.readings.physical.at(_channels(group))
        place = np.arange(1, window + 1, dtype=np.float64).reshape(-1, 1, 1)
        age = window - (abs(x - last).above(0.0).cast(DOUBLE) * place).max(axis=0)
        yield where(last.is_nan(), np.nan, age * workshop.readings.interval), group


def _efficiency(workshop: Workshop, operations: list[ops.Efficiency]) -> Iterator[Columns]:
    physical = workshop.readings.physical
    for factors, group in _grouped(operations, lambda op: len(op.power)):
        hydraulic = physical.at([op.pressure for op in group]) * physical.at([op.flow for op in group])
        electrical = physical.at([op.power[0] for op in group])
        for factor in range(1, factors):
            electrical = electrical * physical.at([op.power[factor] for op in group])
        yield hydraulic / electrical, group


def _stress(workshop: Workshop, operations: list[ops.Stress]) -> Iterator[Columns]:
    yield _deviation_now(workshop, operations).at_least(0.0), operations


def _trend(workshop: Workshop, operations: list[ops.Trend]) -> Iterator[Columns]:
    for (short, long), group in _grouped(operations, lambda op: (op.short, op.long)):
        yield workshop.mean(_channels(group), short) - workshop.mean(_channels(group), long), group


def _health(workshop: Workshop, operations: list[ops.Health]) -> Iterator[Columns]:
    for window, group in _grouped(operations, lambda op: op.window):
        channels = _channels(group)
        above = workshop.deviation(channels, workshop.mean(channels, window)).at_least(0.0)
        yield 1.0 / (1.0 + above), group


def _regime(workshop: Workshop, operations: list[ops.Regime]) -> Iterator[Columns]:
    if workshop.readings.regime is None:
        raise InternalError("a regime feature needs operating columns")
    yield workshop.readings.regime.as_column(), operations


RULES: dict[type[Operation], _Rule] = {
    ops.Value: _value,
    ops.Lag: _lag,
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
    ops.Regime: _regime,
}
"""One rule per operation; the catalogue may only use operations that are here."""
