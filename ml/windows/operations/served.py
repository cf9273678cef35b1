"""Features as the backend's server computes them from its rows; see docs/backend.md.

It knows no missing value: what is missing is 0. A row is one in which any sensor has a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ml.arrays import Int64s
from ml.windows.channels import Block
from ml.windows.kernels import served
from ml.windows.operations.base import Context, OfSensor, OfWindow, Step, Target, channels_of, integers
from ml.windows.operations.readings import Value
from ml.windows.operations.rolling import rolling_step

ServedStatistic = Literal["mean", "std", "min", "max", "range"]


@dataclass(frozen=True)
class ServedValue(OfSensor):
    """The reading itself."""

    formula: ClassVar[str] = "x[t]; two-state signals 0 or 1"
    unit: ClassVar[str] = "of the sensor"
    missing: ClassVar[str] = "0 where the reading is missing"

    @classmethod
    def plan(cls, operations: Sequence[ServedValue], columns: Int64s, context: Context) -> Step:
        readings = [Value(each.channel) for each in operations]
        return _without_gaps(Value.plan(readings, columns, context), columns)


@dataclass(frozen=True)
class ServedLag(OfSensor):
    """The reading of the row nearest to a time ago, at any distance: before the history begins, its oldest row."""

    steps: int
    formula: ClassVar[str] = "x of the first row from t - k on, k the lag in samples rounded to nearest, halves up"
    unit: ClassVar[str] = "of the sensor"
    missing: ClassVar[str] = "0 where that row has no reading of the sensor"

    @property
    def look_back(self) -> int:
        return self.steps + 1

    @classmethod
    def plan(cls, operations: Sequence[ServedLag], columns: Int64s, context: Context) -> Step:
        series, sensors = context.rows(channels_of(operations), "physical"), _sensors(context)
        steps = integers(each.steps for each in operations)
        return lambda block, to: served.nearest(
            block.values, block.start, block.first, sensors, series, steps, columns, *to
        )


@dataclass(frozen=True)
class ServedRolling(OfWindow):
    """A statistic of the last `window` samples."""

    statistic: ServedStatistic
    window: int
    formula: ClassVar[str] = "mean, std (ddof = 0), min, max of x[t - w + 1 .. t]; range: max - min"
    unit: ClassVar[str] = "of the sensor"
    missing: ClassVar[str] = "missing readings are skipped; 0 if no value is left"

    @classmethod
    def plan(cls, operations: Sequence[ServedRolling], columns: Int64s, context: Context) -> Step:
        steps = [
            rolling_step(list(each), integers(each.values()), context, ddof=0)
            for each in _without_repeats(operations, columns)
        ]

        def step(block: Block, to: Target) -> None:
            for each in steps:
                each(block, to)

        return _without_gaps(step, columns)


@dataclass(frozen=True)
class ServedShare(OfWindow):
    """How often a two-state signal was on in the last `window` samples."""

    statistic: Literal["rate", "count"]
    window: int
    formula: ClassVar[str] = "count: rows i of t - w + 1 .. t with x[i] = 1; rate: count / number of rows"
    unit: ClassVar[str] = "rows; rate: none"
    missing: ClassVar[str] = "a missing reading counts as 0"

    @classmethod
    def plan(cls, operations: Sequence[ServedShare], columns: Int64s, context: Context) -> Step:
        series, sensors = context.rows(channels_of(operations), "physical"), _sensors(context)
        windows = integers(each.window for each in operations)
        shares = integers(each.statistic == "rate" for each in operations)
        return lambda block, to: served.trues(
            block.values, block.start, block.first, sensors, series, windows, shares, columns, *to
        )


def _without_repeats(operations: Sequence[ServedRolling], columns: Int64s) -> list[dict[ServedRolling, int]]:
    """Operations and their columns, in groups without repeats: windows of other seconds may hold as many samples."""
    groups: list[dict[ServedRolling, int]] = []
    for each, column in zip(operations, columns, strict=True):
        group = next((group for group in groups if each not in group), None)
        if group is None:
            groups.append(group := {})
        group[each] = int(column)
    return groups


def _sensors(context: Context) -> Int64s:
    return np.array(list(context.series.physical.values()), dtype=np.int64)


def _without_gaps(step: Step, columns: Int64s) -> Step:
    def filled(block: Block, to: Target) -> None:
        step(block, to)
        served.fill_missing(columns, block.rows, *to)

    return filled
