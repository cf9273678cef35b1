"""Statistics of the last samples, with the sums, the order and the roundings of `ml.windows.kernels`.

Missing samples are marked rather than left out, as a graph cannot skip: they count 0 in sums, and are larger or
smaller than any reading where the smallest or largest is looked for. Results are float64 (n_windows, N, n_channels)
before their rounding to float32; a window without a value gives NaN, or a number that float32 cannot hold.

What costs time in such a graph is the number of nodes, and the medians. So the samples of all windows, of all
channels, are laid end to end in one tensor, and reduced to a row per window at the last moment. Constants have the
shape of what they meet where that is known, because equal shapes are several times as fast as shapes to broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ml.export.graph_builder import DOUBLE
from ml.export.tensors import Tensor, concat, where
from ml.export.window_readings import View, pick

Windows = Sequence[int]

_BEYOND = 1e300  # larger than any float32, small enough to add two of them


class WindowStatistics:
    """Statistics of `channels` of `view` over the last samples; `windows` are the lengths, ascending."""

    def __init__(self, view: View, channels: Sequence[str], windows: Windows) -> None:
        self.channels, self.windows = tuple(channels), tuple(windows)
        samples = np.concatenate([np.arange(view.rows - window, view.rows) for window in windows])
        values = view.over_time(channels).take(samples, axis=0)
        self._values = values
        self._filled = values.filled(0.0).cast(DOUBLE)
        self._known = 1.0 - (values.filled(1.0) - values.filled(0.0)).cast(DOUBLE)

    def mean(self) -> Tensor:
        """Mean."""
        return self._sums(self._filled) / self._count()

    def std(self) -> Tensor:
        """Standard deviation, ddof = 1; NaN below two values."""
        deviation = self._above(self.mean())
        return (self._sums(deviation * deviation) / (self._count() - 1.0)).sqrt()

    def slope(self) -> Tensor:
        """Slope of the least-squares line per sample; NaN below two values."""
        times = np.concatenate([np.arange(window, dtype=np.float64) for window in self.windows])
        times = np.repeat(times, len(self.channels)).reshape(-1, 1, len(self.channels))
        height = self._above(self.min())
        terms = [self._known * times, self._known * times**2, height, height * times]
        sums, width = self._sums(concat(terms, axis=2)), len(self.channels)
        sum_t, sum_tt, sum_x, sum_tx = (sums.slice(at * width, (at + 1) * width, axis=2) for at in range(4))
        count = self._count()
        return (count * sum_tx - sum_t * sum_x) / (count * sum_tt - sum_t * sum_t)

    def min(self) -> Tensor:
        """Minimum."""
        return self._per_window(self._values.filled(np.inf), lambda part: part.min(0, keep=True)).cast(DOUBLE)

    def max(self) -> Tensor:
        """Maximum."""
        return self._per_window(self._values.filled(-np.inf), lambda part: part.max(0, keep=True)).cast(DOUBLE)

    def median(self, windows: Windows, channels: Sequence[str]) -> Tensor:
        """Median of some of the channels over some of the windows.

        Missing samples are made too large and too small in turn, newest first, so that the values which are there
        stay in the middle of every window. The median is then among the two largest of the smaller half, which is
        much cheaper to find than to sort. An odd count leaves one too many above: an odd window then has the median
        as its middle value, an even one as the lower of its two. Too large is further from 0 than too small, so that
        the two do not cancel in a window without a value.
        """
        values = pick(self._filled + self._side(), self.channels, channels, axis=2)
        parts = dict(zip(self.windows, values.split(self.windows), strict=True))
        middle = concat([_two_middle(parts[window], window) for window in windows], axis=0)
        first = 2 * np.arange(len(windows))
        upper, lower = middle.take(first, axis=0), middle.take(first + 1, axis=0)
        single = middle.take(first + (np.array(windows) + 1) % 2, axis=0)
        known = pick(pick(self._count(), self.windows, windows, axis=0), self.channels, channels, axis=2)
        return where((known * 0.5).fraction().above(0.0), single, (lower + upper) / 2.0)

    def _side(self) -> Tensor:
        """What is added to a missing sample: so much for the newest that it is too large, too small for the next, …"""
        longest = self.windows[-1]
        missing = 1.0 - self._known.slice(sum(self.windows) - longest, sum(self.windows), axis=0)
        side = ((missing.newest_first_sum() * 0.5).fraction() - 0.125) * (missing * _BEYOND)
        samples = np.concatenate([np.arange(longest - window, longest) for window in self.windows])
        return side.take(samples, axis=0)

    def _count(self) -> Tensor:
        return self._sums(self._known)

    def _above(self, level: Tensor) -> Tensor:
        """Samples less the level of their window, 0 where missing."""
        level = level.take(np.repeat(np.arange(len(self.windows)), self.windows), axis=0)
        return (self._filled - level) * self._known

    def _sums(self, values: Tensor) -> Tensor:
        return self._per_window(values, lambda part: part.sum(0, keep=True))

    def _per_window(self, values: Tensor, reduced: Callable[[Tensor], Tensor]) -> Tensor:
        return concat([reduced(part) for part in values.split(self.windows)], axis=0)


def _two_middle(values: Tensor, window: int) -> Tensor:
    """The largest and the second largest of the smaller half, (2, N, n_channels)."""
    half = values.top(window // 2 + 1, axis=0, largest=False, ordered=False)
    return half.top(2, axis=0, largest=True, ordered=True)
