"""At which thresholds a row begins an alarm, for all thresholds at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml.windows.kernels.compiling import compiled
from ml.windows.kernels.stretch import Float32s, Int64s

Flags = NDArray[np.bool_]


@compiled
def window_maxima(asset: Int64s, seconds: Int64s, probability: Float32s, spacing: int, before: Float32s) -> None:
    """Highest probability of the earlier rows of the asset at most `spacing` seconds before each row, else -1.

    Rows are sorted by asset and time. A row begins an alarm at the thresholds above that and up to its own
    probability: it is an alarm row, and none stands near enough before it.
    """
    queue = np.empty(asset.size, dtype=np.int64)  # rows in reach whose probability no later one exceeds
    head = tail = 0
    for row in range(asset.size):
        while head < tail and (asset[queue[head]] != asset[row] or seconds[row] - seconds[queue[head]] > spacing):
            head += 1
        before[row] = probability[queue[head]] if head < tail else -1.0
        while head < tail and probability[queue[tail - 1]] <= probability[row]:
            tail -= 1
        queue[tail] = row
        tail += 1


@compiled
def reach_of_positives(
    asset: Int64s, seconds: Int64s, probability: Float32s, positive: Flags, spacing: int, before: Float32s
) -> None:
    """Highest threshold at which an earlier positive row of the asset shares an alarm that reaches each row, else -1.

    An alarm reaches a row that stands at most `spacing` seconds after one of its rows. A positive row is the first of
    its alarm at the thresholds above that and up to its own probability, so that an alarm with positive rows is
    counted once.
    """
    reach = np.empty(asset.size, dtype=np.float32)  # highest threshold at which a row's alarm has a positive row so far
    queue = np.empty(asset.size, dtype=np.int64)
    head = tail = 0
    for row in range(asset.size):
        while head < tail and (asset[queue[head]] != asset[row] or seconds[row] - seconds[queue[head]] > spacing):
            head += 1
        before[row] = reach[queue[head]] if head < tail else -1.0
        reach[row] = probability[row] if positive[row] else min(probability[row], before[row])
        while head < tail and reach[queue[tail - 1]] <= reach[row]:
            tail -= 1
        queue[tail] = row
        tail += 1
