"""Changes from sample to sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ml.arrays import Int64s
from ml.windows.kernels import pointwise
from ml.windows.operations.base import Context, OfSensor, Step, channels_of


@dataclass(frozen=True)
class Rate(OfSensor):
    """First difference."""

    formula: ClassVar[str] = "(x[t] - x[t-1]) / interval"
    unit: ClassVar[str] = "of the sensor per second"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN where either reading is NaN"
    samples: ClassVar[int] = 2

    @classmethod
    def plan(cls, operations: Sequence[Rate], columns: Int64s, context: Context) -> Step:
        series, interval = context.rows(channels_of(operations)), float(context.interval)
        return lambda block, to: pointwise.rates(block.values, block.start, block.first, series, columns, interval, *to)


@dataclass(frozen=True)
class Acceleration(OfSensor):
    """Second difference."""

    formula: ClassVar[str] = "(x[t] - 2 x[t-1] + x[t-2]) / interval²"
    unit: ClassVar[str] = "of the sensor per second²"
    first_valid: ClassVar[str] = "3rd row"
    missing: ClassVar[str] = "NaN where one of the three readings is NaN"
    samples: ClassVar[int] = 3

    @classmethod
    def plan(cls, operations: Sequence[Acceleration], columns: Int64s, context: Context) -> Step:
        series, interval = context.rows(channels_of(operations)), float(context.interval)
        return lambda block, to: pointwise.accelerations(
            block.values, block.start, block.first, series, columns, interval, *to
        )


@dataclass(frozen=True)
class Percent(OfSensor):
    """Relative change since the previous sample, of the reading in its own unit."""

    formula: ClassVar[str] = "100 (x[t] - x[t-1]) / |x[t-1]|"
    unit: ClassVar[str] = "percent"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN where either reading is NaN or the earlier one is 0"
    samples: ClassVar[int] = 2

    @classmethod
    def plan(cls, operations: Sequence[Percent], columns: Int64s, context: Context) -> Step:
        series = context.rows(channels_of(operations), "physical")
        return lambda block, to: pointwise.percentages(block.values, block.start, block.first, series, columns, *to)
