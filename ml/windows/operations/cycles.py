"""Time as a position in the day and in the week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.windows.channels import Block
from ml.windows.kernels import pointwise
from ml.windows.operations.base import Context, Operation, Step, Target

_SECONDS_PER_MINUTE = 60
_MINUTES_PER_DAY = 1440
_UNIX_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


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

    @property
    def sensors(self) -> tuple[str, ...]:
        return ()

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
