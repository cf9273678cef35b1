"""Statistics of the last samples, with the sums, the order and the roundings of `ml.windows.kernels`.

Missing samples are marked rather than left out, as a graph cannot skip: they count 0 in sums, and are infinitely
large or small where the smallest or largest is looked for. Results are float64 (N, n_channels), before their rounding
to float32; a window without a value gives NaN or infinity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.export.graph_builder import DOUBLE, INT64
from ml.export.tensors import Tensor
from ml.export.window_readings import View, pick


class WindowStatistics:
    """Statistics of `channels` over the last samples of `view`.

    All channels are computed together: one more column in a tensor costs less than another node.
    """

    def __init__(self, view: View, channels: Sequence[str]) -> None:
        self.channels = tuple(channels)
        self._rows = view.rows
        values = view.over_time(channels)
        self._known = values.is_nan().logical_not().cast(DOUBLE)
        self._filled = values.where_missing(0.0)
        self._beyond = 1.0 / self._known - 1.0  # 0, or infinity where missing

    def count(self, window: int) -> Tensor:
        """How many values there are."""
        return self._last(self._known, window).sum(axis=0)

    def mean(self, window: int) -> Tensor:
        """Mean."""
        return self._last(self._filled, window).sum(axis=0) / self.count(window)

    def std(self, window: int) -> Tensor:
        """Standard deviation, ddof = 1; NaN below two values."""
        deviation = self._above(self.mean(window), window)
        return ((deviation * deviation).sum(axis=0) / (self.count(window) - 1.0)).sqrt()

    def slope(self, window: int) -> Tensor:
        """Slope of the least-squares line per sample; NaN below two values."""
        time = np.arange(window, dtype=np.float64).reshape(-1, 1, 1)
        known, height = self._last(self._known, window), self._above(self.min(window), window)
        count, sum_t, sum_tt = self.count(window), (known * time).sum(axis=0), (known * time**2).sum(axis=0)
        sum_x, sum_tx = height.sum(axis=0), (height * time).sum(axis=0)
        return (count * sum_tx - sum_t * sum_x) / (count * sum_tt - sum_t * sum_t)

    def min(self, window: int) -> Tensor:
        """Minimum; infinity without a value."""
        return self._last(self._filled + self._beyond, window).min(axis=0)

    def max(self, window: int) -> Tensor:
        """Maximum; minus infinity without a value."""
        return self._last(self._filled - self._beyond, window).max(axis=0)

    def median(self, window: int, channels: Sequence[str]) -> Tensor:
        """Median of some of the channels, (N, n); infinity without a value.

        With missing values as infinity, the two middle values are among the smaller half of the window.
        """
        values = pick(self._filled + self._beyond, self.channels, channels, axis=2)
        ordered = self._last(values, window).smallest(window // 2 + 1, axis=0)
        count = pick(self.count(window), self.channels, channels, axis=1).cast(INT64)
        # For a count of 0 the first index is -1 / 2, which is 0 in ONNX.
        middle = (count - np.array([1, 0]).reshape(2, 1, 1)) / np.array(2)
        return ordered.take_along(middle, axis=0).sum(axis=0) / 2.0

    def _above(self, level: Tensor, window: int) -> Tensor:
        """Values less a level, 0 where missing: (window, N, n_channels)."""
        return (self._last(self._filled, window) - level) * self._last(self._known, window)

    def _last(self, values: Tensor, window: int) -> Tensor:
        return values if window == self._rows else values.slice(self._rows - window, self._rows, axis=0)
