"""Medians of long windows: the samples of a stretch are ranked once, a window is a set of ranks.

The set is a row of bits. When a sample enters or leaves, the median moves to a neighbouring rank, which is found by
looking at a word of 64 ranks at a time; the cost per row does not grow with the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml.windows.kernels.compiling import compiled
from ml.windows.kernels.stretch import Float32s, Float64s, Int64s

UInt32s = NDArray[np.uint32]
UInt64s = NDArray[np.uint64]

_MANY = 2048  # from so many samples on, sorting by 3 digits of 11 bits is faster than by 4 of 8
# Multiplying a lone bit by this number (a de Bruijn sequence) brings a different 6 bits to the top for each place.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)


def _places() -> Int64s:
    table = np.zeros(64, dtype=np.int64)
    for place in range(64):
        table[((int(_DE_BRUIJN) << place) % 2**64) >> 58] = place
    return table


_PLACE_OF = _places()


@compiled
def ranked_medians(value: Float64s, present: Float64s, before: int, windows: Int64s, out: Float32s) -> None:
    """Write the median of each window, (n_windows, n_rows or more): the mean of the two middle values of an even count.

    There are as many rows as slots follow `before`. NaN where a window holds no value.
    """
    order, rank = _ranked(value, present)
    in_order = np.empty(order.size)
    for place in range(order.size):
        in_order[place] = value[order[place]]
    bits = np.empty(order.size // 64 + 1, dtype=np.uint64)
    for index in range(windows.size):
        _slide(rank, in_order, before, windows[index], bits, out[index][: value.size - before])


@compiled
def _slide(rank: Int64s, in_order: Float64s, before: int, window: int, bits: UInt64s, out: Float32s) -> None:
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
        out[slot - before] = (in_order[at] + in_order[upper]) / 2.0


@compiled
def _at_or_after(bits: UInt64s, rank: int) -> int:
    """The lowest rank in the set that is not below `rank`; there must be one."""
    word = rank >> 6
    rest = bits[word] & (~np.uint64(0) << np.uint64(rank & 63))
    while rest == 0:
        word += 1
        rest = bits[word]
    lone = rest & (~rest + np.uint64(1))
    return int((word << 6) + _PLACE_OF[(lone * _DE_BRUIJN) >> np.uint64(58)])


@compiled
def _at_or_before(bits: UInt64s, rank: int) -> int:
    """The highest rank in the set that is not above `rank`; there must be one."""
    word = rank >> 6
    rest = bits[word] & (~np.uint64(0) >> np.uint64(63 - (rank & 63)))
    while rest == 0:
        word -= 1
        rest = bits[word]
    for shift in (1, 2, 4, 8, 16, 32):  # all bits below the highest
        rest |= rest >> np.uint64(shift)
    lone = rest - (rest >> np.uint64(1))
    return int((word << 6) + _PLACE_OF[(lone * _DE_BRUIJN) >> np.uint64(58)])


@compiled
def _ranked(value: Float64s, present: Float64s) -> tuple[Int64s, Int64s]:
    """Slots of the present values in ascending order of value, and the rank of each slot, -1 where missing.

    Radix sort of the float32 bits, with the sign turned so that they order like the values; equal values keep the order
    of time.
    """
    narrow = value.astype(np.float32).view(np.uint32)
    keys = np.empty(value.size, dtype=np.uint32)
    order = np.empty(value.size, dtype=np.int64)
    size = 0
    for slot in range(value.size):
        if present[slot] > 0.0:
            bit = narrow[slot]
            keys[slot] = ~bit if bit >> np.uint32(31) else bit | np.uint32(0x80000000)
            order[size] = slot
            size += 1
    order = order[:size]
    sorted_order = np.empty(size, dtype=np.int64)
    digit_bits = 11 if size >= _MANY else 8
    buckets = 1 << digit_bits
    starts = np.empty(buckets, dtype=np.int64)
    for low_bit in range(0, 32, digit_bits):
        shift = np.uint32(low_bit)
        starts[:] = 0
        for place in range(size):
            starts[(keys[order[place]] >> shift) & np.uint32(buckets - 1)] += 1
        total = 0
        for bucket in range(buckets):
            count = starts[bucket]
            starts[bucket] = total
            total += count
        for place in range(size):
            slot = order[place]
            bucket = (keys[slot] >> shift) & np.uint32(buckets - 1)
            sorted_order[starts[bucket]] = slot
            starts[bucket] += 1
        order, sorted_order = sorted_order, order
    rank = np.full(value.size, -1, dtype=np.int64)
    for place in range(size):
        rank[order[place]] = place
    return order, rank
