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
    distinct = list(dict.fromkeys(pairs))
    means = [Rolling(name, "mean", window) for name, window in distinct]
    step = Rolling.plan(means, np.arange(len(distinct)), context)
    places = integers(distinct.index(pair) for pair in pairs)

    def compute(block: Block) -> Float32s:
        table = np.empty((len(distinct), block.rows), dtype=np.float32)
        step(block, Target(table.reshape(-1), block.rows, 0))
        return table[places]

    return compute
