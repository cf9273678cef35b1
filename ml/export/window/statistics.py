"""Statistics of the last samples, with the sums, the order and the roundings of `ml.windows.kernels`.

What costs time in such a graph is the number of nodes, and the medians. So short windows share their nodes: they are
laid side by side in one tensor, as long as the longest of them, and what is too long for a window counts 0. Levels and
constants are repeated to the shape of the samples they meet, which is several times as fast as to broadcast them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import Float64s
from ml.export.builder import INT32
from ml.export.window.samples import Samples
from ml.export.window.tensors import Operand, Tensor, concat, where

Windows = Sequence[int]

_SHORT = 48  # rows up to which a sample more costs less than a node more


class WindowStatistics:
    """Statistics over the last samples; `windows` are the lengths, ascending, the last one that of `samples`.

    Results are float64 (n_windows, N, n_channels) before their rounding to float32. A window without a value gives
    NaN, or infinity, which is NaN among the features.
    """

    def __init__(self, samples: Samples, windows: Windows, n_channels: int) -> None:
        self._samples, self._windows, self._n_channels = samples, tuple(windows), n_channels
        short = tuple(window for window in windows if window <= _SHORT)
        long = [(window,) for window in windows if window > _SHORT]
        self._stretches = [_Stretch(each, windows[-1], n_channels) for each in (short, *long) if each]

    def mean(self) -> Tensor:
        """Mean."""
        zeros = [each.within(each.of(self._samples.zeros())) for each in self._stretches]
        return self._sums(zeros) / self._counts()[0]

    def std(self) -> Tensor:
        """Standard deviation, ddof = 1; NaN below two values."""
        squares = [deviation * deviation for deviation in self._above(self.mean())]
        return (self._sums(squares) / (self._counts()[0] - 1.0)).sqrt()

    def population_std(self) -> Tensor:
        """Standard deviation, ddof = 0."""
        squares = [deviation * deviation for deviation in self._above(self.mean())]
        return (self._sums(squares) / self._counts()[0]).sqrt()

    def slope(self) -> Tensor:
        """Slope of the least-squares line per sample; NaN below two values."""
        count, sum_t, sum_tt = self._counts()
        height = self._above(self.min())
        sum_x = self._sums(height)
        sum_tx = self._sums([x * each.times() for x, each in zip(height, self._stretches, strict=True)])
        return (count * sum_tx - sum_t * sum_x) / (count * sum_tt - sum_t * sum_t)

    def min(self) -> Tensor:
        """Minimum."""
        return concat([each.of(self._samples.high()).min(0, keep=each.alone) for each in self._stretches], axis=0)

    def max(self) -> Tensor:
        """Maximum."""
        return concat([each.of(self._samples.low()).max(0, keep=each.alone) for each in self._stretches], axis=0)

    def median(self) -> Tensor:
        """Median.

        It is the largest value of the smaller half, which is much cheaper to find than to sort, or lies between the
        two largest.
        """
        halves = [
            _newest(self._samples.balanced(), window, self._windows[-1]).top(
                window // 2 + 1, axis=0, largest=False, ordered=False
            )
            for window in self._windows
        ]
        known = self._samples.known()
        if known is None:
            return self._middle_of_complete(halves)
        pairs = concat([half.top(2, axis=0, largest=True, ordered=True) for half in halves], axis=0)
        first = 2 * np.arange(len(halves))
        upper, lower = pairs.take(first, axis=0), pairs.take(first + 1, axis=0)
        single = pairs.take(first + (np.array(self._windows) + 1) % 2, axis=0)
        count = self._known_counts(known)[0]
        middle = where(count.cast(INT32).is_odd(), single, (lower + upper) / 2.0)
        return middle + 0.0 / count  # NaN where there is no value

    def _middle_of_complete(self, halves: Sequence[Tensor]) -> Tensor:
        """The median of complete windows: the largest of the smaller half, or the mean of its two largest."""
        middle = [
            half.max(0, keep=True) if window % 2 else half.top(2, axis=0, largest=True, ordered=True).sum(0, keep=True)
            for half, window in zip(halves, self._windows, strict=True)
        ]
        return concat(middle, axis=0) * self._per_channel(np.where(np.array(self._windows) % 2, 1.0, 0.5))

    def _counts(self) -> tuple[Operand, Operand, Operand]:
        """Of each window: the number of values, the sum of their times, and the sum of the squares of these."""
        known = self._samples.known()
        if known is not None:
            return self._known_counts(known)
        n = np.array(self._windows, dtype=np.float64)
        count, sum_t, sum_tt = n, n * (n - 1) / 2, (n - 1) * n * (2 * n - 1) / 6
        return self._per_channel(count), self._per_channel(sum_t), self._per_channel(sum_tt)

    def _known_counts(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """These numbers where samples are missing, by one matrix product: sums of integers are exact in any order."""
        age = np.arange(self._windows[-1])[::-1]
        inside = (age < np.array(self._windows)[:, None]).astype(np.float64)
        time = inside * (np.array(self._windows)[:, None] - 1.0 - age)
        product = known.reshape(self._windows[-1], -1).matmul_of(np.concatenate([inside, time, time**2]))
        sums = product.reshape(3 * len(self._windows), -1, self._n_channels).split([len(self._windows)] * 3)
        return sums[0], sums[1], sums[2]

    def _above(self, level: Tensor) -> list[Tensor]:
        """Samples less the level of their window, per stretch, 0 where missing."""
        levels = level.split([len(each.windows) for each in self._stretches])
        samples, known = self._samples.zeros(), self._samples.known()
        result = []
        for each, own in zip(self._stretches, levels, strict=True):
            difference = each.of(samples) - each.repeated(own)
            result.append(each.within(difference if known is None else difference * each.of(known)))
        return result

    def _sums(self, terms: Sequence[Tensor]) -> Tensor:
        return concat([term.sum(0, keep=each.alone) for term, each in zip(terms, self._stretches, strict=True)], axis=0)

    def _per_channel(self, numbers: Float64s) -> Float64s:
        """One number per window as (n_windows, 1, n_channels)."""
        return np.repeat(numbers, self._n_channels).reshape(-1, 1, self._n_channels)


def _newest(samples: Tensor, window: int, rows: int) -> Tensor:
    """The last samples of all that there are."""
    return samples if window == rows else samples.slice(rows - window, rows, axis=0)


@dataclass(frozen=True)
class _Stretch:
    """Windows computed together.

    One window alone is a tensor (rows, N, n_channels), several lie side by side, (rows, n_windows, N, n_channels),
    where a window that is shorter than the rows repeats its oldest sample in front.
    """

    windows: Windows
    longest: int
    n_channels: int

    @property
    def alone(self) -> bool:
        return len(self.windows) == 1

    def of(self, samples: Tensor) -> Tensor:
        """The samples of these windows."""
        if self.alone:
            return _newest(samples, self.windows[0], self.longest)
        first = self.longest - self.windows[-1]
        oldest = self.longest - np.array(self.windows)
        return samples.take(np.maximum(np.arange(first, self.longest)[:, None], oldest), axis=0)

    def within(self, terms: Tensor) -> Tensor:
        """Terms of a sum, 0 before the start of a window."""
        return terms if self.alone else terms * self._constant((self._steps() >= 0).astype(np.float64))

    def times(self) -> Float64s:
        """Number of each sample, from 0 for the oldest of its window; 0 before the start."""
        return self._constant(np.maximum(self._steps(), 0.0))

    def repeated(self, level: Tensor) -> Tensor:
        """A number per window (n_windows, N, n_channels) in the shape of the samples."""
        return level.repeated(self.windows[-1], *(1,) * (2 if self.alone else 3))

    def _steps(self) -> Float64s:
        rows = self.windows[-1]
        return np.arange(rows, dtype=np.float64)[:, None] + np.array(self.windows, dtype=np.float64) - rows

    def _constant(self, numbers: Float64s) -> Float64s:
        shape = (self.windows[-1], 1) if self.alone else (*numbers.shape, 1)
        return np.repeat(numbers.reshape(*shape, 1), self.n_channels, axis=-1)
