"""What every operation is, and what its plan may know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.channels import Block, Constants, Series

View = Literal["physical", "normal"]


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

    samples: ClassVar[int] = 1
    """Samples the formula reads, where that does not depend on the operation."""

    @property
    def look_back(self) -> int:
        """Samples the formula reads, the row's own included."""
        return self.samples

    @property
    @abstractmethod
    def sensors(self) -> tuple[str, ...]:
        """The sensors that the formula reads, each once; none where time is all it reads."""

    @classmethod
    @abstractmethod
    def plan(cls, operations: Sequence[Any], columns: Int64s, context: Context) -> Step:
        """What computes `operations`, all of this class, into the output columns of the same number."""


@dataclass(frozen=True)
class OfSensor(Operation):
    """An operation on one sensor."""

    channel: str

    @property
    def sensors(self) -> tuple[str, ...]:
        return (self.channel,)


class OfWindow(OfSensor):
    """An operation on the last `window` samples of one sensor."""

    window: int

    @property
    def look_back(self) -> int:
        return self.window


@dataclass(frozen=True)
class OfPair(Operation):
    """An operation on two sensors."""

    left: str
    right: str

    @property
    def sensors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.left, self.right)))


def channels_of(operations: Iterable[OfSensor]) -> list[str]:
    """The channel of each operation."""
    return [operation.channel for operation in operations]


def integers(values: Iterable[int]) -> Int64s:
    """The values as the kernels take them."""
    return np.array(list(values), dtype=np.int64)
