"""Operations: what one feature is, as a formula over the last `look_back` samples of its channels.

Each class declares its formula, unit and NaN rule once; the documentation table is made from them. An operation
never looks ahead, and treats rows before the segment's start as if they were NaN. The features of one class are
computed together: `plan` prepares everything that does not depend on the rows, and returns what computes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from ml.windows.channels import Block, Constants, Float32s, Float64s, Int64s, Series
from ml.windows.kernels import changes, pointwise, rolling

View = Literal["physical", "normal"]
Statistic = Literal["mean", "std", "min", "max", "median", "slope"]
_SECONDS_PER_MINUTE = 60
_MINUTES_PER_DAY = 1440
_SIDES = ("left", "right")
_UNIX_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


class Target(NamedTuple):
    """Where features go: row i of a block's features, column c, is ``out[origin + c * stride + i]``."""

    out: Float32s
    stride: int
    origin: int


@dataclass(frozen=True)
class Context:
    """What a plan may know: where the series lie, what training found normal, and the grid's spacing in seconds."""

    series: Series
    constants: Mapping[str, Constants]
    interval: int

    def rows(self, channels: Iterable[str], view: View = "normal") -> Int64s:
        """Rows of `Block.values` that hold some channels."""
        table: Mapping[str, int] = getattr(self.series, view)
        return np.array([table[name] for name in channels], dtype=np.int64)

    def mean(self, channels: Iterable[str]) -> Float64s:
        """Training mean of each channel."""
        return np.array([self.constants[name].mean for name in channels], dtype=np.float64)

    def scale(self, channels: Iterable[str]) -> Float64s:
        """Training standard deviation of each channel, 1 where there is none."""
        return np.array([self.constants[name].scale for name in channels], dtype=np.float64)


Step = Callable[[Block, Target], None]
"""Computes the features of one class for a block's rows."""


class Operation(ABC):
    """One feature's formula."""

    formula: ClassVar[str]
    unit: ClassVar[str]
    first_valid: ClassVar[str] = "1st row"
    missing: ClassVar[str] = "NaN where the reading is NaN"

    @property
    def look_back(self) -> int:
        """Samples the formula reads, the row's own included."""
        return 1

    @property
    def sensors(self) -> tuple[str, ...]:
        """The channels that the formula reads: one, two, or none where time is all it reads."""
        return tuple(getattr(self, side) for side in ("channel", *_SIDES) if hasattr(self, side))

    @classmethod
    @abstractmethod
    def plan(cls, operations: Sequence[Any], columns: Int64s, context: Context) -> Step:
        """What computes `operations`, all of this class, into the output columns of the same number."""


def _channels(operations: Iterable[Any]) -> list[str]:
    return [operation.channel for operation in operations]


def _ints(values: Iterable[int]) -> Int64s:
    return np.array(list(values), dtype=np.int64)


def _floats(values: Iterable[float]) -> Float64s:
    return np.array(list(values), dtype=np.float64)


@dataclass(frozen=True)
class Value(Operation):
    """The reading itself."""

    channel: str
    formula: ClassVar[str] = "x[t]"
    unit: ClassVar[str] = "of the sensor (standard deviations within the regime, where regimes are used)"

    @classmethod
    def plan(cls, operations: Sequence[Value], columns: Int64s, context: Context) -> Step:
        series, steps = context.rows(_channels(operations)), np.zeros(len(operations), dtype=np.int64)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)


@dataclass(frozen=True)
class Lag(Operation):
    """The reading some samples ago."""

    channel: str
    steps: int
    formula: ClassVar[str] = "x[t - k]"
    unit: ClassVar[str] = "of the sensor"
    first_valid: ClassVar[str] = "row k + 1"
    missing: ClassVar[str] = "NaN where that reading is NaN or lies before the segment"

    @property
    def look_back(self) -> int:
        return self.steps + 1

    @classmethod
    def plan(cls, operations: Sequence[Lag], columns: Int64s, context: Context) -> Step:
        series = context.rows(_channels(operations))
        steps = _ints(each.steps for each in operations)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)


@dataclass(frozen=True)
class Rolling(Operation):
    """A statistic of the last `window` samples."""

    channel: str
    statistic: Statistic
    window: int
    formula: ClassVar[str] = (
        "mean, std (ddof = 1), min, max, median of x[t - w + 1 .. t]; "
        "slope: least-squares line over time, (n Σtx - Σt Σx) / (n Σt² - (Σt)²) / interval"
    )
    unit: ClassVar[str] = "of the sensor; slope: per second"
    first_valid: ClassVar[str] = "1st row (std and slope: 2nd)"
    missing: ClassVar[str] = "NaN are skipped; NaN only if no value is left (std, slope: fewer than two)"

    @property
    def look_back(self) -> int:
        return self.window

    @classmethod
    def plan(cls, operations: Sequence[Rolling], columns: Int64s, context: Context) -> Step:
        names = list(dict.fromkeys(_channels(operations)))
        series, windows = context.rows(names), _ints(sorted({each.window for each in operations}))
        table = np.full((len(rolling.STATISTICS), len(names), windows.size), -1, dtype=np.int64)
        for each, column in zip(operations, columns, strict=True):
            place = rolling.STATISTICS.index(each.statistic), names.index(each.channel)
            table[(*place, int(np.searchsorted(windows, each.window)))] = column
        interval = float(context.interval)
        return lambda block, to: rolling.rolling(
            block.values, block.start, block.first, series, windows, table, interval, *to
        )


@dataclass(frozen=True)
class Rate(Operation):
    """First difference."""

    channel: str
    formula: ClassVar[str] = "(x[t] - x[t-1]) / interval"
    unit: ClassVar[str] = "of the sensor per second"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN where either reading is NaN"

    @property
    def look_back(self) -> int:
        return 2

    @classmethod
    def plan(cls, operations: Sequence[Rate], columns: Int64s, context: Context) -> Step:
        series, interval = context.rows(_channels(operations)), float(context.interval)
        return lambda block, to: pointwise.rates(block.values, block.start, block.first, series, columns, interval, *to)


@dataclass(frozen=True)
class Acceleration(Operation):
    """Second difference."""

    channel: str
    formula: ClassVar[str] = "(x[t] - 2 x[t-1] + x[t-2]) / interval²"
    unit: ClassVar[str] = "of the sensor per second²"
    first_valid: ClassVar[str] = "3rd row"
    missing: ClassVar[str] = "NaN where one of the three readings is NaN"

    @property
    def look_back(self) -> int:
        return 3

    @classmethod
    def plan(cls, operations: Sequence[Acceleration], columns: Int64s, context: Context) -> Step:
        series, interval = context.rows(_channels(operations)), float(context.interval)
        return lambda block, to: pointwise.accelerations(
            block.values, block.start, block.first, series, columns, interval, *to
        )


@dataclass(frozen=True)
class Percent(Operation):
    """Relative change since the previous sample, of the reading in its own unit."""

    channel: str
    formula: ClassVar[str] = "100 (x[t] - x[t-1]) / |x[t-1]|"
    unit: ClassVar[str] = "percent"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN where either reading is NaN or the earlier one is 0"

    @property
    def look_back(self) -> int:
        return 2

    @classmethod
    def plan(cls, operations: Sequence[Percent], columns: Int64s, context: Context) -> Step:
        series = context.rows(_channels(operations), "physical")
        return lambda block, to: pointwise.percentages(block.values, block.start, block.first, series, columns, *to)


@dataclass(frozen=True)
class Product(Operation):
    """Product of two readings in their own units."""

    left: str
    right: str
    formula: ClassVar[str] = "x[t] · y[t]"
    unit: ClassVar[str] = "product of the two units"
    missing: ClassVar[str] = "NaN where either reading is NaN"

    @classmethod
    def plan(cls, operations: Sequence[Product], columns: Int64s, context: Context) -> Step:
        left, right = (context.rows([getattr(each, side) for each in operations], "physical") for side in _SIDES)
        return lambda block, to: pointwise.products(block.values, block.first, left, right, columns, *to)


@dataclass(frozen=True)
class Ratio(Operation):
    """Ratio of two readings in their own units."""

    left: str
    right: str
    formula: ClassVar[str] = "x[t] / y[t]"
    unit: ClassVar[str] = "ratio of the two units"
    missing: ClassVar[str] = "NaN where either reading is NaN or y is 0"

    @classmethod
    def plan(cls, operations: Sequence[Ratio], columns: Int64s, context: Context) -> Step:
        above, below = (
            context.rows([getattr(each, side) for each in operations], "physical").reshape(-1, 1) for side in _SIDES
        )
        return lambda block, to: pointwise.quotients(block.values, block.first, above, below, columns, *to)


def cycle_table(cycle: Literal["hour", "weekday"], wave: Literal["sin", "cos"]) -> Float32s:
    """The values a cyclical time feature can take: per minute of the day (1440,), or per weekday from Monday (7,)."""
    steps = _MINUTES_PER_DAY if cycle == "hour" else 7
    angle = 2.0 * np.pi * np.arange(steps) / steps
    return (np.sin(angle) if wave == "sin" else np.cos(angle)).astype(np.float32)


@dataclass(frozen=True)
class Cycle(Operation):
    """Position in the day (to the minute) or in the week (to the day), UTC, as sine or cosine."""

    cycle: Literal["hour", "weekday"]
    wave: Literal["sin", "cos"]
    formula: ClassVar[str] = "sin or cos of 2π · minute of day / 1440, or of 2π · weekday / 7 (Monday = 0)"
    unit: ClassVar[str] = "none"
    missing: ClassVar[str] = "never NaN"

    @classmethod
    def plan(cls, operations: Sequence[Cycle], columns: Int64s, context: Context) -> Step:  # noqa: ARG003 - time is all
        tables = [
            (each.cycle, cycle_table(each.cycle, each.wave), int(column))
            for each, column in zip(operations, columns, strict=True)
        ]

        def step(block: Block, to: Target) -> None:
            minutes = block.seconds[block.first :] // _SECONDS_PER_MINUTE
            position = {
                "hour": minutes % _MINUTES_PER_DAY,
                "weekday": (minutes // _MINUTES_PER_DAY + _UNIX_EPOCH_WEEKDAY) % 7,
            }
            for cycle, table, column in tables:
                pointwise.lookups(position[cycle], table, column, *to)

        return step


@dataclass(frozen=True)
class ZScore(Operation):
    """Deviation from the training mean, in training standard deviations."""

    channel: str
    formula: ClassVar[str] = "(x[t] - mean) / std, constants of the training part"
    unit: ClassVar[str] = "standard deviations"

    @classmethod
    def plan(cls, operations: Sequence[ZScore], columns: Int64s, context: Context) -> Step:
        return _deviations(_channels(operations), -np.inf, columns, context)


@dataclass(frozen=True)
class Outlier(Operation):
    """1 where the reading lies further from the training mean than a number of standard deviations."""

    channel: str
    threshold: float
    formula: ClassVar[str] = "1 if |x[t] - mean| / std > threshold else 0"
    unit: ClassVar[str] = "none"

    @classmethod
    def plan(cls, operations: Sequence[Outlier], columns: Int64s, context: Context) -> Step:
        names = _channels(operations)
        series, mean, scale = context.rows(names), context.mean(names), context.scale(names)
        limit = _floats(each.threshold for each in operations)
        return lambda block, to: pointwise.outliers(block.values, block.first, series, mean, scale, limit, columns, *to)


@dataclass(frozen=True)
class MeanDistance(Operation):
    """Distance of the reading from its recent mean, in training standard deviations."""

    channel: str
    window: int
    formula: ClassVar[str] = "(x[t] - mean of x[t - w + 1 .. t]) / std of training"
    unit: ClassVar[str] = "standard deviations"

    @property
    def look_back(self) -> int:
        return self.window

    @classmethod
    def plan(cls, operations: Sequence[MeanDistance], columns: Int64s, context: Context) -> Step:
        names = _channels(operations)
        series, scale = context.rows(names), context.scale(names)
        means = _rolling_means([(each.channel, each.window) for each in operations], context)
        return lambda block, to: pointwise.differences(
            np.ascontiguousarray(block.values[series, block.first :]), means(block), scale, columns, *to
        )


@dataclass(frozen=True)
class Changes(Operation):
    """How often a signal changed inside the window."""

    channel: str
    window: int
    formula: ClassVar[str] = "number of i in t - w + 2 .. t with x[i] ≠ x[i-1]"
    unit: ClassVar[str] = "changes"
    missing: ClassVar[str] = "a pair with a NaN is no change; NaN if the window holds no value"

    @property
    def look_back(self) -> int:
        return self.window

    @classmethod
    def plan(cls, operations: Sequence[Changes], columns: Int64s, context: Context) -> Step:
        series = context.rows(_channels(operations), "physical")
        windows = _ints(each.window for each in operations)
        return lambda block, to: changes.changes(block.values, block.start, block.first, series, windows, columns, *to)


@dataclass(frozen=True)
class SinceChange(Operation):
    """Time since the signal last had another value, at most the window."""

    channel: str
    window: int
    formula: ClassVar[str] = "interval · min(t - i over i > t - w with x[i] ≠ x[t]; w if none)"
    unit: ClassVar[str] = "seconds"
    missing: ClassVar[str] = "NaN where the reading is NaN; NaN before it are skipped"

    @property
    def look_back(self) -> int:
        return self.window

    @classmethod
    def plan(cls, operations: Sequence[SinceChange], columns: Int64s, context: Context) -> Step:
        series, interval = context.rows(_channels(operations), "physical"), float(context.interval)
        windows = _ints(each.window for each in operations)
        return lambda block, to: changes.since_change(
            block.values, block.start, block.first, series, windows, columns, interval, *to
        )


@dataclass(frozen=True)
class Efficiency(Operation):
    """Hydraulic power delivered per electrical power taken: pressure · flow / power (or / (voltage · current))."""

    pressure: str
    flow: str
    power: tuple[str, ...]
    formula: ClassVar[str] = "p[t] · q[t] / P[t], with P measured or u[t] · i[t]"
    unit: ClassVar[str] = "ratio of the units"
    missing: ClassVar[str] = "NaN where one of the readings is NaN or the power is 0"

    @classmethod
    def plan(cls, operations: Sequence[Efficiency], columns: Int64s, context: Context) -> Step:
        rows = context.series.physical
        above = np.array([[rows[each.pressure], rows[each.flow]] for each in operations], dtype=np.int64)
        below = np.array(
            [[rows[name] for name in each.power] + [-1] * (2 - len(each.power)) for each in operations], dtype=np.int64
        )
        return lambda block, to: pointwise.quotients(block.values, block.first, above, below, columns, *to)


@dataclass(frozen=True)
class Stress(Operation):
    """How far a reading lies above what training found normal; 0 below it."""

    channel: str
    formula: ClassVar[str] = "max(0, (x[t] - mean) / std), constants of the training part"
    unit: ClassVar[str] = "standard deviations"

    @classmethod
    def plan(cls, operations: Sequence[Stress], columns: Int64s, context: Context) -> Step:
        return _deviations(_channels(operations), 0.0, columns, context)


@dataclass(frozen=True)
class Trend(Operation):
    """Recent mean less long-run mean: positive while the level rises."""

    channel: str
    short: int
    long: int
    formula: ClassVar[str] = "mean of the last w₁ samples - mean of the last w₂ samples, w₁ < w₂"
    unit: ClassVar[str] = "of the sensor"
    missing: ClassVar[str] = "NaN are skipped; NaN if the short window holds no value"

    @property
    def look_back(self) -> int:
        return self.long

    @classmethod
    def plan(cls, operations: Sequence[Trend], columns: Int64s, context: Context) -> Step:
        recent = _rolling_means([(each.channel, each.short) for each in operations], context)
        settled = _rolling_means([(each.channel, each.long) for each in operations], context)
        unscaled = np.ones(len(operations))
        return lambda block, to: pointwise.differences(recent(block), settled(block), unscaled, columns, *to)


@dataclass(frozen=True)
class Health(Operation):
    """1 while the recent mean is at or below the training mean, falling towards 0 as it rises above."""

    channel: str
    window: int
    formula: ClassVar[str] = (
        "1 / (1 + max(0, (mean of the last w samples - mean) / std)), constants of the training part"
    )
    unit: ClassVar[str] = "none (0 to 1)"
    missing: ClassVar[str] = "NaN are skipped; NaN if the window holds no value"

    @property
    def look_back(self) -> int:
        return self.window

    @classmethod
    def plan(cls, operations: Sequence[Health], columns: Int64s, context: Context) -> Step:
        names = _channels(operations)
        mean, scale = context.mean(names), context.scale(names)
        level = _rolling_means([(each.channel, each.window) for each in operations], context)
        return lambda block, to: pointwise.healths(level(block), mean, scale, columns, *to)


@dataclass(frozen=True)
class Regime(Operation):
    """Number of the operating regime the row belongs to."""

    formula: ClassVar[str] = "index of the nearest training centroid of the standardised operating columns"
    unit: ClassVar[str] = "none"
    missing: ClassVar[str] = "NaN where an operating column is NaN"

    @classmethod
    def plan(cls, operations: Sequence[Regime], columns: Int64s, context: Context) -> Step:
        if context.series.regime is None:
            raise ValueError("a regime feature needs operating columns")
        series, steps = np.full(len(operations), context.series.regime), np.zeros(len(operations), dtype=np.int64)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)


def _deviations(names: list[str], least: float, columns: Int64s, context: Context) -> Step:
    """Training z-scores, at least `least`."""
    series, mean, scale = context.rows(names), context.mean(names), context.scale(names)
    floor = np.full(len(names), least)
    return lambda block, to: pointwise.z_scores(block.values, block.first, series, mean, scale, floor, columns, *to)


def _rolling_means(pairs: Sequence[tuple[str, int]], context: Context) -> Callable[[Block], Float32s]:
    """What computes the rolling mean of each (channel, window): float32 (n_pairs, n_rows), rounded like the feature."""
    distinct = list(dict.fromkeys(pairs))
    means = [Rolling(name, "mean", window) for name, window in distinct]
    step = Rolling.plan(means, np.arange(len(distinct)), context)
    places = _ints(distinct.index(pair) for pair in pairs)

    def compute(block: Block) -> Float32s:
        table = np.empty((len(distinct), block.rows), dtype=np.float32)
        step(block, Target(table.reshape(-1), block.rows, 0))
        return table[places]

    return compute
