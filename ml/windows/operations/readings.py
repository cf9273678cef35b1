"""Readings as they are: now, some samples ago, and the regime they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml.arrays import Int64s
from ml.windows.kernels import pointwise
from ml.windows.operations.base import Context, OfSensor, Operation, Step, channels_of, integers


@dataclass(frozen=True)
class Value(OfSensor):
    """The reading itself."""

    formula: ClassVar[str] = "x[t]"
    unit: ClassVar[str] = "of the sensor (standard deviations within the regime, where regimes are used)"

    @classmethod
    def plan(cls, operations: Sequence[Value], columns: Int64s, context: Context) -> Step:
        series, steps = context.rows(channels_of(operations)), np.zeros(len(operations), dtype=np.int64)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)


@dataclass(frozen=True)
class Since(Value):
    """The time since an event, which the grid row has."""

    formula: ClassVar[str] = "t - e, e the grid row of the newest event that counts at t; at most ten years"
    unit: ClassVar[str] = "seconds"
    missing: ClassVar[str] = "NaN before the first event, and where no events are given"


@dataclass(frozen=True)
class Lag(OfSensor):
    """The reading some samples ago."""

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
        series = context.rows(channels_of(operations))
        steps = integers(each.steps for each in operations)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)


@dataclass(frozen=True)
class Sample(Lag):
    """The reading some samples ago, in its own unit also where there are regimes."""

    @classmethod
    def plan(cls, operations: Sequence[Lag], columns: Int64s, context: Context) -> Step:
        series = context.rows(channels_of(operations), "physical")
        steps = integers(each.steps for each in operations)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)


@dataclass(frozen=True)
class Regime(Operation):
    """Number of the operating regime the row belongs to."""

    operating: tuple[str, ...]
    formula: ClassVar[str] = "index of the nearest training centroid of the standardised operating columns"
    unit: ClassVar[str] = "none"
    missing: ClassVar[str] = "NaN where an operating column is NaN"

    @property
    def sensors(self) -> tuple[str, ...]:
        return self.operating

    @classmethod
    def plan(cls, operations: Sequence[Regime], columns: Int64s, context: Context) -> Step:
        if context.series.regime is None:
            raise ValueError("a regime feature needs operating columns")
        series, steps = np.full(len(operations), context.series.regime), np.zeros(len(operations), dtype=np.int64)
        return lambda block, to: pointwise.lags(block.values, block.start, block.first, series, steps, columns, *to)
