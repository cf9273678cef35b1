"""Statistics of the last samples, and levels compared by their means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.windows.channels import Block
from ml.windows.kernels import pointwise, rolling
from ml.windows.operations.base import Context, OfSensor, OfWindow, Step, Target, channels_of, integers

Statistic = Literal["mean", "std", "min", "max", "median", "slope"]


@dataclass(frozen=True)
class Rolling(OfWindow):
    """A statistic of the last `window` samples."""

    statistic: Statistic
    window: int
    formula: ClassVar[str] = (
        "mean, std (ddof = 1), min, max, median of x[t - w + 1 .. t]; "
        "slope: least-squares line over time, (n Σtx - Σt Σx) / (n Σt² - (Σt)²) / interval"
    )
    unit: ClassVar[str] = "of the sensor; slope: per second"
    first_valid: ClassVar[str] = "1st row (std and slope: 2nd)"
    missing: ClassVar[str] = "NaN are skipped; NaN only if no value is left (std, slope: fewer than two)"

    @classmethod
    def plan(cls, operations: Sequence[Rolling], columns: Int64s, context: Context) -> Step:
        return rolling_step(operations, columns, context, ddof=1)


@dataclass(frozen=True)
class Trend(OfSensor):
    """Recent mean less long-run mean: positive while the level rises."""

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
        recent = rolling_means([(each.channel, each.short) for each in operations], context)
        settled = rolling_means([(each.channel, each.long) for each in operations], context)
        unscaled = np.ones(len(operations))
        return lambda block, to: pointwise.differences(recent(block), settled(block), unscaled, columns, *to)


@dataclass(frozen=True)
class History(OfSensor):
    """A statistic of the last samples against the asset's own long past: how far it has moved, in that past's spread.

    Two machines that run at different levels have the same value while each runs as it always did.
    """

    statistic: Statistic
    short: int
    long: int
    formula: ClassVar[str] = (
        "(s of the last w₁ samples - s of the last w₂ samples) / std of the last w₂ samples, s the mean or the std, "
        "w₁ < w₂; w₁ = 1: the reading itself"
    )
    unit: ClassVar[str] = "standard deviations of the asset's own past"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN are skipped; NaN if either window holds too few values or the past never changed"

    @property
    def look_back(self) -> int:
        return self.long

    @classmethod
    def plan(cls, operations: Sequence[History], columns: Int64s, context: Context) -> Step:
        recent = rolled([(each.channel, each.statistic, each.short) for each in operations], context)
        settled = rolled([(each.channel, each.statistic, each.long) for each in operations], context)
        spread = rolled([(each.channel, "std", each.long) for each in operations], context)
        return lambda block, to: pointwise.standings(recent(block), settled(block), spread(block), columns, *to)


def rolling_step(operations: Sequence[Any], columns: Int64s, context: Context, *, ddof: int) -> Step:
    """What computes operations that have a `channel`, a `statistic` of the kernel, and a `window`, in one call."""
    names = list(dict.fromkeys(channels_of(operations)))
    series, windows = context.rows(names), integers(sorted({each.window for each in operations}))
    table = np.full((len(rolling.STATISTICS), len(names), windows.size), -1, dtype=np.int64)
    for each, column in zip(operations, columns, strict=True):
        place = rolling.STATISTICS.index(each.statistic), names.index(each.channel)
        table[(*place, int(np.searchsorted(windows, each.window)))] = column
    interval = float(context.interval)
    return lambda block, to: rolling.rolling(
        block.values, block.start, block.first, series, windows, table, interval, float(ddof), *to
    )


def rolling_means(pairs: Sequence[tuple[str, int]], context: Context) -> Callable[[Block], Float32s]:
    """What computes the rolling mean of each (channel, window): float32 (n_pairs, n_rows), rounded like the feature."""
    return rolled([(name, "mean", window) for name, window in pairs], context)


def rolled(wanted: Sequence[tuple[str, Statistic, int]], context: Context) -> Callable[[Block], Float32s]:
    """The same for each (channel, statistic, window)."""
    distinct = list(dict.fromkeys(wanted))
    step = Rolling.plan([Rolling(*each) for each in distinct], np.arange(len(distinct)), context)
    places = integers(distinct.index(each) for each in wanted)

    def compute(block: Block) -> Float32s:
        table = np.empty((len(distinct), block.rows), dtype=np.float32)
        step(block, Target(table.reshape(-1), block.rows, 0))
        return table[places]

    return compute
