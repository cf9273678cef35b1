"""Alarms, their episodes and detected failures at all thresholds at once."""

from __future__ import annotations

import numpy as np

from ml.arrays import Bools, Float32s, Int64s
from ml.windows.kernels.compiling import compiled

Flags = Bools


@compiled
def _leader(leader: Int64s, row: int) -> int:
    """The row that keeps the figures of a row's episode."""
    while leader[row] != row:
        leader[row] = leader[leader[row]]
        row = leader[row]
    return row


@compiled
def _false_alarms(
    seconds: Int64s,
    opens: Int64s,
    earliest: Int64s,
    first: int,
    last: int,
    lasts: int,
    period: int,
    free: bool,
) -> int:
    """False alarms of the episode from row `first` to row `last`, `lasts` seconds of which are healthy."""
    if seconds[last] >= opens[first] and seconds[first] >= earliest[first]:
        return 0
    count = -(-lasts // period)
    return max(count - 1, 0) if free else count


@compiled
def count_as_rows_join(
    order: Int64s,
    asset: Int64s,
    life: Int64s,
    seconds: Int64s,
    healthy: Flags,
    opens: Int64s,
    earliest: Int64s,
    spacing: int,
    interval: int,
    period: int,
    first_period_is_free: bool,
    alarms: Int64s,
    false_alarms: Int64s,
) -> None:
    """Count alarms and false alarms after each row that joins the alarm rows, the last of `order` first.

    A row joins between two neighbours at most, so that the counts change by what these had and what they have now.

    Parameters
    ----------
    order
        Rows by rising probability, (n_rows,); the rows themselves are sorted by asset and time.
    asset, life
        Rows of different assets share no alarm, those of different lives, which are numbered over all assets, no
        episode.
    opens, earliest
        Of the next failure of each row's life: from when on an alarm row detects it, and when the episode may have
        begun. A number above all times where no failure follows.
    spacing, interval, period
        Seconds between neighbours of an alarm at most, between rows, and after which a false alarm counts again.
    first_period_is_free
        Whether the first period of an episode that goes on after a failure is not counted.
    alarms, false_alarms
        Results, (n_rows,): entry i counts with the rows ``order[i:]`` in alarm.
    """
    n = order.size
    before, after = np.arange(n) - 1, np.arange(n) + 1
    for row in order:  # taken out by rising probability; what stands beside a row then has joined before it does
        if before[row] >= 0:
            after[before[row]] = after[row]
        if after[row] < n:
            before[after[row]] = before[row]
    leader, last = np.arange(n), np.arange(n)  # an episode's leader is its first row when it began, or an earlier one
    first, lasts = np.arange(n), np.zeros(n, dtype=np.int64)
    free = np.zeros(n, dtype=np.bool_)
    n_alarms = n_false = 0
    for at in range(n - 1, -1, -1):
        row = order[at]
        left, right = before[row], after[row]
        near_left = left >= 0 and asset[left] == asset[row] and seconds[row] - seconds[left] <= spacing
        near_right = right < n and asset[right] == asset[row] and seconds[right] - seconds[row] <= spacing
        were_near = near_left and near_right and seconds[right] - seconds[left] <= spacing
        n_alarms += 1 - int(near_left) - int(near_right) + int(were_near)

        own = _leader(leader, left) if near_left and life[left] == life[row] else row
        other = _leader(leader, right) if near_right else -1
        if own != row:
            n_false -= _false_alarms(seconds, opens, earliest, first[own], last[own], lasts[own], period, free[own])
        if other not in (-1, own):
            n_false -= _false_alarms(
                seconds, opens, earliest, first[other], last[other], lasts[other], period, free[other]
            )

        if own == row:
            lasts[row] = interval if healthy[row] else 0
            free[row] = near_left and first_period_is_free
        else:
            leader[row] = own
            lasts[own] += seconds[row] - seconds[left] if healthy[row] else 0
        if other == own:  # the row fell between two rows of one episode
            lasts[own] -= seconds[row] - seconds[left] if healthy[right] else 0
        else:
            last[own] = row
            if near_right and life[right] == life[row]:
                leader[other] = own
                last[own] = last[other]
                lasts[own] += lasts[other] + (seconds[right] - seconds[row] - interval if healthy[right] else 0)
            elif near_right:
                free[other] = first_period_is_free
                n_false += _false_alarms(
                    seconds, opens, earliest, first[other], last[other], lasts[other], period, free[other]
                )
        n_false += _false_alarms(seconds, opens, earliest, first[own], last[own], lasts[own], period, free[own])
        alarms[at], false_alarms[at] = n_alarms, n_false


@compiled
def detecting_thresholds(
    life: Int64s,
    seconds: Int64s,
    probability: Float32s,
    begin: Int64s,
    first: Int64s,
    end: Int64s,
    earliest: Int64s,
    spacing: int,
    above: Float32s,
    up_to: Float32s,
) -> None:
    """Thresholds at which each failure is detected, as intervals (above, up_to], one for each row of its window.

    The last alarm row of a window decides, as its episode began last. It detects the failure unless its episode
    reaches back to a row before `earliest`. Intervals of one failure do not overlap; those of rows that decide nothing
    are empty.

    Parameters
    ----------
    begin, first, end
        Rows ``first:end`` are the failure's window; from `begin` on rows may stand in one episode with them.
    earliest
        When the episode may have begun.
    above, up_to
        Results, (sum of the windows' rows,), window after window.
    """
    at = 0
    for failure in range(first.size):
        start, stop = begin[failure], end[failure]
        reach = np.empty(stop - start, dtype=np.float32)  # highest threshold at which a row's episode began too early
        queue = np.empty(stop - start, dtype=np.int64)  # rows near enough whose reach no later one exceeds
        head = tail = 0
        for row in range(start, stop):
            while head < tail and (life[queue[head]] != life[row] or seconds[row] - seconds[queue[head]] > spacing):
                head += 1
            linked = reach[queue[head] - start] if head < tail else np.float32(-1)
            early = seconds[row] < earliest[failure]
            reach[row - start] = probability[row] if early else min(probability[row], linked)
            while head < tail and reach[queue[tail - 1] - start] <= reach[row - start]:
                tail -= 1
            queue[tail] = row
            tail += 1
        highest = np.float32(-1)
        for row in range(stop - 1, first[failure] - 1, -1):
            above[at], up_to[at] = max(highest, reach[row - start]), probability[row]
            highest = max(highest, probability[row])
            at += 1
