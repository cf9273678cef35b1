"""Statistics of the last samples, with the sums, the order and the roundings of `ml.windows.kernels`.

Missing samples are marked rather than left out, as a graph cannot skip: they count 0 in sums, and are larger or
smaller than any reading where the smallest or largest is looked for. Results are float64 (N, n_windows * n_channels),
channels of the first window first, before their rounding to float32; a window without a value gives NaN, or a number
that float32 cannot hold.

What costs time in such a graph is the number of nodes and the medians, so all channels are computed together, and all
windows too once they have been reduced to a row each. Constants have the shape of what they meet where that is known,
because equal shapes are several times as fast as shapes to broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.export.graph_builder import DOUBLE
from ml.export.tensors import Tensor, concat, where
from ml.export.window_readings import View, pick

Windows = Sequence[int]

_BEYOND = 1e300  # larger than any float32, small enough to add two of them


class WindowStatistics:
    """Statistics of `channels` of `view`; `windows` are the lengths that may be asked for, ascending, in samples."""

    def __init__(self, view: View, channels: Sequence[str], windows: Windows) -> None:
        self.channels, self.windows = tuple(channels), tuple(windows)
        self._rows = max(windows)
        values = view.over_time(channels)
        if self._rows < view.rows:
            values = values.slice(view.rows - self._rows, view.rows, axis=0)
        missing = values.is_nan()
        self._filled = where(missing, np.zeros((self._rows, 1, len(channels))), values)
        self._missing = missing.cast(DOUBLE)
        self._known = 1.0 - self._missing
        self._beyond = self._missing * _BEYOND

    def mean(self, windows: Windows) -> Tensor:
        """Mean."""
        return _joined(windows, lambda window: self._last(self._filled, window).sum(0)) / self._count(windows)

    def std(self, windows: Windows) -> Tensor:
        """Standard deviation, ddof = 1; NaN below two values."""
        mean = self.mean(windows)

        def squares(window: int) -> Tensor:
            deviation = self._above(self._of_window(mean, windows, window), window)
            return (deviation * deviation).sum(0)

        return (_joined(windows, squares) / (self._count(windows) - 1.0)).sqrt()

    def slope(self, windows: Windows) -> Tensor:
        """Slope of the least-squares line per sample; NaN below two values."""
        lowest = self.min(windows)

        def height(window: int) -> Tensor:
            return self._above(self._of_window(lowest, windows, window), window)

        count, sum_t, spread = self._sums_of_times(windows)
        sum_x = _joined(windows, lambda window: height(window).sum(0))
        sum_tx = _joined(windows, lambda window: (height(window) * self._times(window)).sum(0))
        return (count * sum_tx - sum_t * sum_x) / spread

    def min(self, windows: Windows) -> Tensor:
        """Minimum."""
        values = self._filled + self._beyond
        return _joined(windows, lambda window: self._last(values, window).min(0))

    def max(self, windows: Windows) -> Tensor:
        """Maximum."""
        values = self._filled - self._beyond
        return _joined(windows, lambda window: self._last(values, window).max(0))

    def median(self, windows: Windows, channels: Sequence[str]) -> Tensor:
        """Median of some of the channels.

        Missing samples are made too large and too small in turn, newest first, so that the values which are there
        stay in the middle of every window. The median is then among the two largest of the smaller half, which is
        much cheaper to find than to sort. An odd count leaves one too many above: an odd window then has the median
        as its middle value, an even one as the lower of its two. Too large is further from 0 than too small, so that
        the two do not cancel in a window without a value.
        """
        half_number = self._missing.newest_first_sum() * 0.5
        side = half_number - half_number.floor() - 0.125  # 0.375 for the first, third, ... missing sample, else -0.125
        values = pick(self._filled + self._beyond * side, self.channels, channels, axis=2)
        middle = _joined(windows, lambda window: _two_middle(self._last(values, window), window), axis=2)
        upper, lower = middle.take(np.array(0), axis=0), middle.take(np.array(1), axis=0)
        odd_window = np.repeat([window % 2 == 1 for window in windows], len(channels))
        single = where(self._constant(odd_window), upper, lower)
        known = pick(self._known, self.channels, channels, axis=2)
        count = _joined(windows, lambda window: self._last(known, window).sum(0))
        return where((count * 0.5 - (count * 0.5).floor()).above(0.0), single, (lower + upper) / 2.0)

    def _count(self, windows: Windows) -> Tensor:
        return _joined(windows, lambda window: self._last(self._known, window).sum(0))

    def _sums_of_times(self, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
        """n, Σt and n Σt² - (Σt)² over the samples that are there, with t = 0 at the start of each window.

        All are whole numbers and exact in any order, so they come from sums over the times of the longest window; the
        third does not depend on where time starts.
        """
        times = self._times(self._rows)
        powers = concat([self._known, self._known * times, self._known * times**2], axis=2)
        sums = _joined(windows, lambda window: self._last(powers, window).sum(0))
        places = np.arange(3 * len(windows) * len(self.channels)).reshape(len(windows), 3, len(self.channels))
        count, sum_t, sum_tt = (sums.take(places[:, power].ravel(), axis=1) for power in range(3))
        starts = np.repeat([float(self._rows - window) for window in windows], len(self.channels))
        return count, sum_t - count * starts, count * sum_tt - sum_t * sum_t

    def _times(self, window: int) -> NDArray[np.float64]:
        """Times 0, 1, ... of the samples; repeated per channel, as equal shapes multiply fastest."""
        return np.repeat(np.arange(window, dtype=np.float64), len(self.channels)).reshape(window, 1, -1)

    def _above(self, level: Tensor, window: int) -> Tensor:
        """Values less a level (N, n_channels), 0 where missing: (window, N, n_channels)."""
        return (self._last(self._filled, window) - level) * self._last(self._known, window)

    def _last(self, values: Tensor, window: int) -> Tensor:
        return values if window == self._rows else values.slice(self._rows - window, self._rows, axis=0)

    def _of_window(self, values: Tensor, windows: Windows, window: int) -> Tensor:
        """The columns of one window, (N, n_channels)."""
        first = windows.index(window) * len(self.channels)
        return values.slice(first, first + len(self.channels), axis=1)

    def _constant(self, value: NDArray[np.bool_]) -> Tensor:
        return Tensor(self._known.graph, self._known.graph.shared_constant(value))


def _joined(windows: Windows, statistic: Callable[[int], Tensor], axis: int = 1) -> Tensor:
    return concat([statistic(window) for window in windows], axis=axis)


def _two_middle(values: Tensor, window: int) -> Tensor:
    """The largest and the second largest of the smaller half, (2, N, n_channels)."""
    half = values.top(window // 2 + 1, axis=0, largest=False, ordered=False)
    return half.top(2, axis=0, largest=True, ordered=True)
