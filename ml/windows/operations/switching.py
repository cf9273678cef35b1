"""Signals that hold a value for a while, such as booleans: how often they changed, and how long ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ml.arrays import Int64s
from ml.windows.kernels import changes
from ml.windows.operations.base import Context, OfWindow, Step, channels_of, integers


@dataclass(frozen=True)
class Changes(OfWindow):
    """How often a signal changed inside the window."""

    window: int
    formula: ClassVar[str] = "number of i in t - w + 2 .. t with x[i] ≠ x[i-1]"
    unit: ClassVar[str] = "changes"
    missing: ClassVar[str] = "a pair with a NaN is no change; NaN if the window holds no value"

    @classmethod
    def plan(cls, operations: Sequence[Changes], columns: Int64s, context: Context) -> Step:
        series = context.rows(channels_of(operations), "physical")
        windows = integers(each.window for each in operations)
        return lambda block, to: changes.changes(block.values, block.start, block.first, series, windows, columns, *to)


@dataclass(frozen=True)
class SinceChange(OfWindow):
    """Time since the signal last had another value, at most the window."""

    window: int
    formula: ClassVar[str] = "interval · min(t - i over i > t - w with x[i] ≠ x[t]; w if none)"
    unit: ClassVar[str] = "seconds"
    missing: ClassVar[str] = "NaN where the reading is NaN; NaN before it are skipped"

    @classmethod
    def plan(cls, operations: Sequence[SinceChange], columns: Int64s, context: Context) -> Step:
        series, interval = context.rows(channels_of(operations), "physical"), float(context.interval)
        windows = integers(each.window for each in operations)
        return lambda block, to: changes.since_change(
            block.values, block.start, block.first, series, windows, columns, interval, *to
        )
