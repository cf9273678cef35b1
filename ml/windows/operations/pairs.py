"""Readings of several sensors at one instant, in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml.arrays import Int64s
from ml.windows.kernels import pointwise
from ml.windows.operations.base import Context, OfPair, Operation, Step

_SIDES = ("left", "right")


@dataclass(frozen=True)
class Product(OfPair):
    """Product of two readings in their own units."""

    formula: ClassVar[str] = "x[t] · y[t]"
    unit: ClassVar[str] = "product of the two units"
    missing: ClassVar[str] = "NaN where either reading is NaN"

    @classmethod
    def plan(cls, operations: Sequence[Product], columns: Int64s, context: Context) -> Step:
        left, right = (context.rows([getattr(each, side) for each in operations], "physical") for side in _SIDES)
        return lambda block, to: pointwise.products(block.values, block.first, left, right, columns, *to)


@dataclass(frozen=True)
class Ratio(OfPair):
    """Ratio of two readings in their own units."""

    formula: ClassVar[str] = "x[t] / y[t]"
    unit: ClassVar[str] = "ratio of the two units"
    missing: ClassVar[str] = "NaN where either reading is NaN or y is 0"

    @classmethod
    def plan(cls, operations: Sequence[Ratio], columns: Int64s, context: Context) -> Step:
        above, below = (
            context.rows([getattr(each, side) for each in operations], "physical").reshape(-1, 1) for side in _SIDES
        )
        return lambda block, to: pointwise.quotients(block.values, block.first, above, below, columns, *to)


@dataclass(frozen=True)
class Efficiency(Operation):
    """Hydraulic power delivered per electrical power taken: pressure · flow / power (or / (voltage · current))."""

    pressure: str
    flow: str
    power: tuple[str, ...]
    formula: ClassVar[str] = "p[t] · q[t] / P[t], with P measured or u[t] · i[t]"
    unit: ClassVar[str] = "ratio of the units"
    missing: ClassVar[str] = "NaN where one of the readings is NaN or the power is 0"

    @property
    def sensors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.pressure, self.flow, *self.power)))

    @classmethod
    def plan(cls, operations: Sequence[Efficiency], columns: Int64s, context: Context) -> Step:
        rows = context.series.physical
        above = np.array([[rows[each.pressure], rows[each.flow]] for each in operations], dtype=np.int64)
        below = np.array(
            [[rows[name] for name in each.power] + [-1] * (2 - len(each.power)) for each in operations], dtype=np.int64
        )
        return lambda block, to: pointwise.quotients(block.values, block.first, above, below, columns, *to)
