"""Readings and levels against what training found normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml.arrays import Int64s
from ml.windows.kernels import pointwise
from ml.windows.operations.base import Context, OfSensor, OfWindow, Step, channels_of
from ml.windows.operations.rolling import rolling_means


@dataclass(frozen=True)
class ZScore(OfSensor):
    """Deviation from the training mean, in training standard deviations."""

    formula: ClassVar[str] = "(x[t] - mean) / std, constants of the training part"
    unit: ClassVar[str] = "standard deviations"

    @classmethod
    def plan(cls, operations: Sequence[ZScore], columns: Int64s, context: Context) -> Step:
        return _deviations(channels_of(operations), -np.inf, columns, context)


@dataclass(frozen=True)
class Outlier(OfSensor):
    """1 where the reading lies further from the training mean than a number of standard deviations."""

    threshold: float
    formula: ClassVar[str] = "1 if |x[t] - mean| / std > threshold else 0"
    unit: ClassVar[str] = "none"

    @classmethod
    def plan(cls, operations: Sequence[Outlier], columns: Int64s, context: Context) -> Step:
        names = channels_of(operations)
        series, mean, scale = context.rows(names), context.mean(names), context.scale(names)
        limit = np.array([each.threshold for each in operations])
        return lambda block, to: pointwise.outliers(block.values, block.first, series, mean, scale, limit, columns, *to)


@dataclass(frozen=True)
class MeanDistance(OfWindow):
    """Distance of the reading from its recent mean, in training standard deviations."""

    window: int
    formula: ClassVar[str] = "(x[t] - mean of x[t - w + 1 .. t]) / std of training"
    unit: ClassVar[str] = "standard deviations"

    @classmethod
    def plan(cls, operations: Sequence[MeanDistance], columns: Int64s, context: Context) -> Step:
        names = channels_of(operations)
        series, scale = context.rows(names), context.scale(names)
        means = rolling_means([(each.channel, each.window) for each in operations], context)
        return lambda block, to: pointwise.differences(
            np.ascontiguousarray(block.values[series, block.first :]), means(block), scale, columns, *to
        )


@dataclass(frozen=True)
class Stress(OfSensor):
    """How far a reading lies above what training found normal; 0 below it."""

    formula: ClassVar[str] = "max(0, (x[t] - mean) / std), constants of the training part"
    unit: ClassVar[str] = "standard deviations"

    @classmethod
    def plan(cls, operations: Sequence[Stress], columns: Int64s, context: Context) -> Step:
        return _deviations(channels_of(operations), 0.0, columns, context)


@dataclass(frozen=True)
class Health(OfWindow):
    """1 while the recent mean is at or below the training mean, falling towards 0 as it rises above."""

    window: int
    formula: ClassVar[str] = (
        "1 / (1 + max(0, (mean of the last w samples - mean) / std)), constants of the training part"
    )
    unit: ClassVar[str] = "none (0 to 1)"
    missing: ClassVar[str] = "NaN are skipped; NaN if the window holds no value"

    @classmethod
    def plan(cls, operations: Sequence[Health], columns: Int64s, context: Context) -> Step:
        names = channels_of(operations)
        mean, scale = context.mean(names), context.scale(names)
        level = rolling_means([(each.channel, each.window) for each in operations], context)
        return lambda block, to: pointwise.healths(level(block), mean, scale, columns, *to)


def _deviations(names: list[str], least: float, columns: Int64s, context: Context) -> Step:
    """Training z-scores, at least `least`."""
    series, mean, scale = context.rows(names), context.mean(names), context.scale(names)
    floor = np.full(len(names), least)
    return lambda block, to: pointwise.z_scores(block.values, block.first, series, mean, scale, floor, columns, *to)
