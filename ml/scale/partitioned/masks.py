"""Which rows are wanted, small enough to send: one bit a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from ml.arrays import Bools

PARTITION_ROWS = 262_144
"""Rows of a partition: two row groups of the prepared file, some seconds of work, some tens of megabytes."""


@dataclass(frozen=True)
class Mask:
    """Which of the rows start .. end are wanted; the rows before `start` still serve as history."""

    start: int
    end: int
    bits: bytes

    @classmethod
    def of(cls, rows: Bools, start: int = 0, end: int | None = None) -> Self:
        """The part of a mask over all rows (n_rows,) from `start` to `end`."""
        end = len(rows) if end is None else end
        return cls(start, end, np.packbits(rows[start:end]).tobytes())

    @property
    def wanted(self) -> Bools:
        """The mask over the rows start .. end."""
        bits = np.frombuffer(self.bits, dtype=np.uint8)
        return np.unpackbits(bits, count=self.end - self.start).view(np.bool_)

    def after(self, first: int) -> Bools:
        """The mask over the rows first .. end, for a `first` of at most `start`."""
        return np.concatenate([np.zeros(self.start - first, dtype=np.bool_), self.wanted])


def partitions(rows: Bools) -> Iterator[Mask]:
    """The partitions that hold wanted rows, in order."""
    for start in range(0, len(rows), PARTITION_ROWS):
        end = min(start + PARTITION_ROWS, len(rows))
        if rows[start:end].any():
            yield Mask.of(rows, start, end)


def shares(rows: Bools, count: int) -> list[Mask]:
    """The wanted rows divided into `count` runs of equally many."""
    positions = np.flatnonzero(rows)
    cuts = [0, *(int(positions[len(positions) * number // count]) for number in range(1, count)), len(rows)]
    return [Mask.of(rows, start, end) for start, end in pairwise(cuts)]
