"""Mean, standard deviation and slope of long windows as differences of running sums, proven equal to the definition.

A difference of running sums costs the same for every window length, but its last digits are not those of
`ml.windows.kernels.sums`. So every result comes with a bound on how far the two can lie apart, and is taken only where
both ends of the bound round to the same float32. The other cells, about one in some thousands, are marked, and the
caller sums them again in the order of time. This is the test by which correctly rounded elementary functions are
computed (Ziv, ACM TOMS 17(3), 1991). Running sums are kept as two doubles with the exact error of every addition
(Knuth's TwoSum), so the bounds stay narrow however far the values are from zero. The errors themselves are added in
plain double, which a quiet window after a wild history feels: hence the terms with u².

Bounds use u = 2^-53: one operation is off by at most u of its result, a sum of w terms in order by at most w u times
the sum of their sizes (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapters 3 and 4). They are
rounded up generously; a wide bound costs time and never a wrong bit.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled

PREFIXES = 9  # rows of the table of running sums: count, then pairs of x, d², and t d; then t and t²
_COUNT, _X, _SQUARE, _TIMED, _TIME, _TIME_SQUARE = 0, 1, 3, 5, 7, 8
_U = 2.0**-53
# float32 values whose sizes span a factor of 2^28 at most, sums included, are multiples of one power of two and below
# 2^53 times it: double adds them without rounding, in any order.
_EXACT_SPAN = 2.0**28
_UNDECIDED = 2.0**-20  # a relative bound above this cannot decide a float32


@compiled
def run_up(
    value: Float64s, present: Float64s, pivot: float, with_slope: bool, prefix: Float64s, constant_from: Int64s
) -> None:
    """Fill the running sums of a stretch.

    Parameters
    ----------
    pivot
        What values are measured from in the sums of squares, d = x - pivot: a value of the stretch.
    prefix
        Written to, (PREFIXES, n_slots + 1 or more); column s holds sums over the slots before s.
    constant_from
        Written to, (n_slots,): the first slot from which on all values that are present are equal, up to this one.
    """
    prefix[:, 0] = 0.0
    counted, high, low, square_high, square_low = 0.0, 0.0, 0.0, 0.0, 0.0
    since, last = 0, np.nan
    newest = -1
    for slot in range(value.size):
        x, there = value[slot], present[slot]
        counted += there
        prefix[_COUNT, slot + 1] = counted
        total = high + x
        back = total - high
        low += (high - (total - back)) + (x - back)
        high = total
        prefix[_X, slot + 1], prefix[_X + 1, slot + 1] = high, low
        distance = (x - pivot) * there
        x = distance * distance
        total = square_high + x
        back = total - square_high
        square_low += (square_high - (total - back)) + (x - back)
        square_high = total
        prefix[_SQUARE, slot + 1], prefix[_SQUARE + 1, slot + 1] = square_high, square_low
        if there > 0.0:
            if value[slot] != last:
                since, last = newest + 1, value[slot]
            newest = slot
        constant_from[slot] = since
    if with_slope:
        _run_up_times(value, present, pivot, prefix)


@compiled
def _run_up_times(value: Float64s, present: Float64s, pivot: float, prefix: Float64s) -> None:
    high, low, times, squares = 0.0, 0.0, 0.0, 0.0
    for slot in range(value.size):
        there = present[slot]
        x = np.float64(slot) * ((value[slot] - pivot) * there)
        total = high + x
        back = total - high
        low += (high - (total - back)) + (x - back)
        high = total
        times += there * np.float64(slot)
        squares += there * (np.float64(slot) * np.float64(slot))
        prefix[_TIMED, slot + 1], prefix[_TIMED + 1, slot + 1] = high, low
        prefix[_TIME, slot + 1], prefix[_TIME_SQUARE, slot + 1] = times, squares


@compiled
def _ends(prefix: Float64s, before: int, window: int) -> tuple[Float64s, Float64s]:
    """A running sum before each window's oldest slot, and after its newest."""
    return prefix[before - window + 1 :], prefix[before + 1 :]


@compiled
def means(
    prefix: Float64s, before: int, window: int, smallest: float, largest: float,
    total: Float64s, count: Float64s, mean: Float64s, unsure: Bools,
) -> float:  # fmt: skip
    """Write sum, count and mean of each window, and which means are not certain; returns the bound on the sums.

    `smallest` and `largest` are the sizes that the stretch's nonzero values lie between.
    """
    exact = largest * np.float64(before + mean.size) <= _EXACT_SPAN * smallest
    error = 0.0 if exact else 2.0 * _U * np.float64(window) * np.float64(window) * largest
    rounding = 0.0 if exact else 2.0 * _U
    counts_a, counts_b = _ends(prefix[_COUNT], before, window)
    high_a, high_b = _ends(prefix[_X], before, window)
    low_a, low_b = _ends(prefix[_X + 1], before, window)
    for i in range(mean.size):
        count[i] = counts_b[i] - counts_a[i]
        total[i] = (high_b[i] - high_a[i]) + (low_b[i] - low_a[i])
        mean[i] = total[i] / count[i]
        bound = error / count[i] + rounding * abs(mean[i])
        unsure[i] = np.float32(mean[i] - bound) != np.float32(mean[i] + bound) and count[i] > 0.0
    return error


@compiled
def deviations(
    prefix: Float64s, before: int, window: int, pivot: float, error: float, largest: float, constant_from: Int64s,
    ddof: float, total: Float64s, count: Float64s, std: Float64s, unsure: Bools,
) -> None:  # fmt: skip
    """Write the standard deviation of each window, and mark those that are not certain in `unsure`, leaving its others.

    `error` bounds `total`, as `means` returned it.
    """
    size = np.float64(window)
    slots = np.float64(before + std.size)
    about_mean = 2.0 * _U * largest + 2.0 * error / size  # how far the definition's mean is from the true one
    high_a, high_b = _ends(prefix[_SQUARE], before, window)
    low_a, low_b = _ends(prefix[_SQUARE + 1], before, window)
    equal_from = constant_from[before:]
    oldest = before - window + 1
    for i in range(std.size):
        n = count[i]
        distance = total[i] - n * pivot
        distance_error = error if error == 0.0 else error + 2.0 * _U * (abs(total[i]) + n * abs(pivot))
        square = (high_b[i] - high_a[i]) + (low_b[i] - low_a[i])
        part = distance * distance / n
        spread = square - part
        bound = 2.0 * _U * ((size + 8.0) * abs(spread) + 4.0 * square + 4.0 * part)
        bound += 2.0 * abs(distance) * distance_error / n + n * about_mean * about_mean
        bound += 2.0 * _U * _U * size * slots * high_b[i]
        relative = bound / spread
        result = np.sqrt(spread / (n - ddof))
        decided = (
            spread > 0.0
            and relative < _UNDECIDED
            and np.float32(result * (1.0 - relative)) == np.float32(result * (1.0 + relative))
        )
        constant = equal_from[i] <= oldest + i
        enough = n > ddof
        std[i] = (0.0 if constant else result) if enough else np.nan
        unsure[i] |= enough and not constant and not decided


@compiled
def slopes(
    prefix: Float64s, before: int, window: int, pivot: float, error: float, smallest: float, largest: float,
    constant_from: Int64s, lowest: Float32s, total: Float64s, count: Float64s, slope: Float64s, unsure: Bools,
) -> None:  # fmt: skip
    """Write the least-squares slope per sample of each window, and mark those that are not certain in `unsure`.

    The slope does not change when times and values are shifted, so the running sums may count slots and measure from
    the pivot where the definition counts from the window's oldest sample and measures from its minimum.
    """
    size = np.float64(window)
    exact = 2.0 * largest * size * size <= _EXACT_SPAN * smallest
    terms = 4.0 if exact else size + 4.0
    most_slots = np.float64(before + slope.size)
    square_a, square_b = _ends(prefix[_SQUARE], before, window)
    high_a, high_b = _ends(prefix[_TIMED], before, window)
    low_a, low_b = _ends(prefix[_TIMED + 1], before, window)
    slots_a, slots_b = _ends(prefix[_TIME], before, window)
    slots_square_a, slots_square_b = _ends(prefix[_TIME_SQUARE], before, window)
    equal_from = constant_from[before:]
    oldest = before - window + 1
    for i in range(slope.size):
        n, origin = count[i], np.float64(oldest + i)
        distance = total[i] - n * pivot
        distance_error = error if error == 0.0 else error + 2.0 * _U * (abs(total[i]) + n * abs(pivot))
        square = square_b[i] - square_a[i] + 2.0**-36 * square_b[i]
        timed = (high_b[i] - high_a[i]) + (low_b[i] - low_a[i])
        slots = slots_b[i] - slots_a[i]
        slots_square = slots_square_b[i] - slots_square_a[i]
        times = slots - origin * n
        times_square = slots_square - 2.0 * origin * slots + origin * origin * n
        spread = n * times_square - times * times
        rise = n * timed - slots * distance
        above = total[i] - n * np.float64(lowest[i])
        bound = 2.0 * _U * (8.0 * n * (origin + size) * np.sqrt(n * square) + abs(slots * distance))
        bound += slots * distance_error + 4.0 * _U * terms * n * size * (above + error)
        bound += 4.0 * _U * _U * n * size * most_slots * most_slots * np.sqrt(most_slots * square_b[i])
        result = rise / spread
        relative = bound / abs(rise) + 16.0 * _U
        decided = relative < _UNDECIDED and np.float32(result * (1.0 - relative)) == np.float32(
            result * (1.0 + relative)
        )
        constant = equal_from[i] <= oldest + i
        several = n > 1.0
        slope[i] = (0.0 if constant else result) if several else np.nan
        unsure[i] |= several and not constant and not decided
