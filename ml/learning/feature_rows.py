"""The features of some rows of a grid frame, computed when they are read, so that the wide table never exists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float32s
from ml.features import FeatureEngineer
from ml.windows.chunks import Order
from ml.windows.selection import drawn_rows

_BATCH_CELLS = 1 << 24  # features computed at a time, 64 MB: enough rows for every core, few enough to forget


class FeatureRows:
    """Scaled features of the wanted rows, as a matrix that is computed piece by piece.

    Parameters
    ----------
    engineer
        Fitted; it must not be fitted again while the rows are in use.
    frame
        Grid frame of shape (n_rows, ...).
    rows
        (n_rows,), true for the wanted rows; the others still serve as history.
    """

    def __init__(self, engineer: FeatureEngineer, frame: pd.DataFrame, rows: Bools) -> None:
        self._engineer, self._frame, self._rows = engineer, frame, rows
        self._positions = np.flatnonzero(rows)
        self.shape = len(self._positions), len(engineer.features)

    def __len__(self) -> int:
        """Number of wanted rows."""
        return self.shape[0]

    @property
    def batch_rows(self) -> int:
        """How many rows are well read at a time."""
        return max(1, _BATCH_CELLS // self.shape[1])

    def __getitem__(self, part: slice) -> Float32s:
        """Row-major features of a range of the wanted rows; step 1 only."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"features are computed for consecutive rows; the step is {step}")
        if start >= stop:
            return np.empty((0, self.shape[1]), dtype=np.float32)
        positions = self._positions[start:stop]
        first, end = max(0, int(positions[0]) - self._engineer.look_back), int(positions[-1]) + 1
        wanted = np.zeros(end - first, dtype=np.bool_)
        wanted[positions - first] = True
        return self._matrix(self._between(first, end), wanted)

    def batches(self) -> Iterator[Float32s]:
        """All rows, in order, some at a time."""
        for start in range(0, len(self), self.batch_rows):
            yield self[start : start + self.batch_rows]

    def sample(self, n_rows: int, seed: int) -> Float32s:
        """Features of `n_rows` of the rows drawn by `seed`, in order; of all rows where there are no more.

        Column-major, as they are computed: a second copy of so many would be the largest thing in memory.
        """
        return self._matrix(self._between(0, len(self._rows)), drawn_rows(self._rows, n_rows, seed), "F")

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Float32s:
        """The whole table, for libraries that need it in memory."""
        if copy is False:
            raise ValueError("the features are computed, so a copy cannot be avoided")
        return self._matrix(self._between(0, len(self._rows)), self._rows).astype(dtype or np.float32, copy=False)

    def _between(self, first: int, end: int) -> pd.DataFrame:
        """Some consecutive rows of the grid frame."""
        return self._frame.iloc[first:end]

    def _matrix(self, frame: pd.DataFrame, rows: Bools, order: Order = "C") -> Float32s:
        return self._engineer.scaling.apply(self._engineer.matrix(frame, rows=rows, order=order))
