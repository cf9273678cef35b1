"""Medians of long windows: the samples of a stretch are ranked once, a window is a set of ranks.

The set is a row of bits. When a sample enters or leaves, the median moves to a neighbouring rank, which is found by
looking at a word of 64 ranks at a time; the cost per row does not grow with the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.bits import highest_bit, lowest_bit
from ml.windows.kernels.compiling import compiled

Int32s = NDArray[np.int32]
UInt64s = NDArray[np.uint64]

_MANY = 2048  # from so many samples on, sorting by 3 digits of 11 bits is faster than by 4 of 8


@compiled
def ranked_medians(value: Float64s, present: Float64s, before: int, windows: Int64s, out: Float32s) -> None:
    """Write the median of each window, (n_windows, n_rows or more): the mean of the two middle values of an even count.

    There are as many rows as slots follow `before`. NaN where a window holds no value.
    """
    in_order, rank = _ranked(value, present)
    bits = np.empty(in_order.size // 64 + 1, dtype=np.uint64)
    for index in range(windows.size):
        _slide(rank, in_order, before, windows[index], bits, out[index][: value.size - before])


@compiled
def _slide(rank: Int32s, in_order: Float32s, before: int, window: int, bits: UInt64s, out: Float32s) -> None:
    bits[:] = 0
    size, below, at = 0, 0, 0  # values in the window, those of a rank below `at`, and the rank of the (lower) median
    for slot in range(before - window + 1, rank.size):
        entering = rank[slot]
        if entering >= 0:
            bits[entering >> 6] |= np.uint64(1) << np.uint64(entering & 63)
            size += 1
            below += entering < at
        if slot > before:
            leaving = rank[slot - window]
            if leaving >= 0:
                bits[leaving >> 6] &= ~(np.uint64(1) << np.uint64(leaving & 63))
                size -= 1
                below -= leaving < at
        if slot < before:
            continue
        if size == 0:
            at, below = 0, 0
            out[slot - before] = np.nan
            continue
        wanted = (size - 1) // 2
        while below > wanted:
            at = _at_or_before(bits, at - 1)
            below -= 1
        at = _at_or_after(bits, at)
        while below < wanted:
            at = _at_or_after(bits, at + 1)
            below += 1
        upper = at if size % 2 == 1 else _at_or_after(bits, at + 1)
        out[slot - before] = (np.float64(in_order[at]) + np.float64(in_order[upper])) / 2.0


@compiled
def _at_or_after(bits: UInt64s, rank: int) -> int:
    """The lowest rank in the set that is not below `rank`; there must be one."""
    word = rank >> 6
    rest = bits[word] & (~np.uint64(0) << np.uint64(rank & 63))
    while rest == 0:
        word += 1
        rest = bits[word]
    return int((word << 6) + lowest_bit(rest))


@compiled
def _at_or_before(bits: UInt64s, rank: int) -> int:
    """The highest rank in the set that is not above `rank`; there must be one."""
    word = rank >> 6
    rest = bits[word] & (~np.uint64(0) >> np.uint64(63 - (rank & 63)))
    while rest == 0:
        word -= 1
        rest = bits[word]
    return int((word << 6) + highest_bit(rest))


@compiled
def _ranked(value: Float64s, present: Float64s) -> tuple[Float32s, Int32s]:
    """The present values in ascending order, and the rank of each slot, -1 where missing.

    Radix sort of the float32 bits, with the sign turned so that they order like the values, and the slot behind them;
    equal values keep the order of time.
    """
    narrow = value.astype(np.float32).view(np.uint32)
    items = np.empty(value.size, dtype=np.uint64)
    size = 0
    for slot in range(value.size):
        if present[slot] > 0.0:
            bit = narrow[slot]
            key = ~bit if bit >> np.uint32(31) else bit | np.uint32(0x80000000)
            items[size] = (np.uint64(key) << np.uint64(32)) | np.uint64(slot)
            size += 1
    items = items[:size]
    sorted_items = np.empty(size, dtype=np.uint64)
    digit_bits = 11 if size >= _MANY else 8
    buckets = 1 << digit_bits
    mask = np.uint64(buckets - 1)
    starts = np.empty(buckets, dtype=np.int64)
    for low_bit in range(32, 64, digit_bits):
        shift = np.uint64(low_bit)
        starts[:] = 0
        for place in range(size):
            starts[(items[place] >> shift) & mask] += 1
        total = 0
        for bucket in range(buckets):
            count = starts[bucket]
            starts[bucket] = total
            total += count
        for place in range(size):
            item = items[place]
            bucket = (item >> shift) & mask
            sorted_items[starts[bucket]] = item
            starts[bucket] += 1
        items, sorted_items = sorted_items, items
    rank = np.full(value.size, -1, dtype=np.int32)
    in_order = np.empty(size, dtype=np.float32)
    for place in range(size):
        slot = items[place] & np.uint64(0xFFFFFFFF)
        rank[slot] = place
        in_order[place] = value[slot]
    return in_order, rank
