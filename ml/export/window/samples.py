"""The samples that statistics are made of. A graph cannot skip a missing one; here is what stands in its place."""

from __future__ import annotations

import numpy as np

from ml.export.builder import DOUBLE
from ml.export.window.tensors import Tensor

_BEYOND = 1e300  # larger than any float32 after it is halved, small enough to add two of them


class Samples:
    """Samples of which none is missing; every result is float64 (rows, N, n_channels).

    Parameters
    ----------
    values
        Readings, float32 (rows, N, n_channels), oldest first.
    rows, n_channels
        The two dimensions of `values` that are known.
    """

    def __init__(self, values: Tensor, rows: int, n_channels: int) -> None:
        self._values, self._shape = values, (rows, 1, n_channels)

    def zeros(self) -> Tensor:
        """Readings, 0 where missing."""
        return self._values.cast(DOUBLE)

    def high(self) -> Tensor:
        """Readings, infinity where missing."""
        return self.zeros()

    def low(self) -> Tensor:
        """Readings, minus infinity where missing."""
        return self.zeros()

    def balanced(self) -> Tensor:
        """Readings, where missing too large and too small in turn, the newest missing one too large.

        So the values that are there lie in the middle of every window; of an odd number one too many is above.
        """
        return self.zeros()

    def known(self) -> Tensor | None:
        """1 where there is a reading, else 0; None if none is missing."""
        return None


class PartialSamples(Samples):
    """The same where NaN stands for a missing reading."""

    def zeros(self) -> Tensor:
        """Readings, 0 where missing."""
        return self._values.filled(0.0).cast(DOUBLE)

    def high(self) -> Tensor:
        """Readings, infinity where missing."""
        return self._values.filled(np.inf).cast(DOUBLE)

    def low(self) -> Tensor:
        """Readings, minus infinity where missing."""
        return self._values.filled(-np.inf).cast(DOUBLE)

    def balanced(self) -> Tensor:
        """Readings, where missing too large and too small in turn."""
        # The k-th missing sample from the end has k - 1/2, which lies 1/2 above or below the even number next to it,
        # in turn; a reading has a whole number.
        missing = self._values.is_nan().cast(DOUBLE)
        place = missing.newest_first_sum() - missing * np.full(self._shape, 0.5)
        return self.zeros() + (place - place.rounded_to_even()) * np.full(self._shape, _BEYOND)

    def known(self) -> Tensor:
        """1 where there is a reading, else 0."""
        return self._values.is_nan().logical_not().cast(DOUBLE)
