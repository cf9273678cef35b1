"""What is known of each row's time to the next failure, and the horizons at which it is asked.

A row says something about the horizon h only if it is known what happens until ``t + h``, *whether or not a failure
comes first*: taking early failures from rows whose observation ends soon, but not the healthy rows beside them, would
make failures look more frequent the longer the horizon. How far a row is known follows from the labels of the rows
after it: a labelled row is observed for one horizon, and rows in failure hide nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.learning.events.failures import epoch_seconds

NEVER = np.iinfo(np.int64).max
"""Seconds of a failure that never came, or of an observation without an end."""
LONGEST = 4
"""Horizons are asked up to so many times the prediction horizon."""
PER_ROW = 3
"""Times that each row is asked: at the prediction horizon itself, and at random horizons."""
_HIDING = ("off", "recovery")


class Remaining(NamedTuple):
    """Of each row, (n_rows,): seconds to the next failure (0 inside one), and seconds for which that is known."""

    failure: Int64s
    known: Int64s


class Asked(NamedTuple):
    """Pairs of a row and a horizon, (n_pairs,), by row: its place among the wanted rows, seconds, and the label."""

    row: Int64s
    horizon: Int64s
    label: Bools


def remaining(frame: pd.DataFrame, rows: Bools, *, horizon: int, interval: int) -> Remaining:
    """What is known of the wanted rows' time to failure.

    Parameters
    ----------
    frame
        Grid frame with labels of `horizon` seconds, sorted by asset and time.
    rows
        (n_rows,), true for the wanted rows, which have a label. Another part's rows end what is known: a horizon that
        reaches behind them would tell of them.
    """
    asset, seconds = frame["asset_id"].factorize()[0], epoch_seconds(frame["timestamp"])
    event = frame["event"].to_numpy()
    failure = np.where(event >= 0, 0, _to_next_onset(asset, seconds, event))
    return Remaining(failure[rows], _known(frame, asset, seconds, rows, horizon, interval)[rows])


def ask(found: Remaining, *, horizon: int, interval: int, seed: int) -> Asked:
    """Each row `PER_ROW` times, as far as the answer is known: at `horizon`, and at random ones of equal log-odds.

    The random horizons are multiples of `interval`, uniform on a logarithmic scale from one interval to `LONGEST` times
    the horizon.
    """
    rng = np.random.default_rng(seed)
    shape = (len(found.failure), PER_ROW)
    drawn = np.exp(rng.uniform(np.log(interval), np.log(LONGEST * horizon), shape))
    wanted = np.maximum(np.round(drawn / interval), 1).astype(np.int64) * interval
    wanted[:, 0] = horizon
    row, column = np.nonzero(found.known[:, None] >= wanted)
    asked = wanted[row, column]
    return Asked(row, asked, found.failure[row] <= asked)


def horizons_of(horizon: int, interval: int) -> tuple[int, ...]:
    """The horizons, in seconds, between which a time is interpolated: H/16, H/8, … 4H, none below one interval."""
    every = [horizon / 16 * 2**step for step in range(7)]
    return tuple(round(each) for each in every if each >= interval)


def samples_of(horizon: Int64s | Float64s, interval: int) -> Float64s:
    """A horizon as the model takes it: 1 + log2 of it in samples, never 0."""
    return 1.0 + np.log2(np.asarray(horizon, dtype=np.float64) / interval)


def _to_next_onset(asset: Int64s, seconds: Int64s, event: Int64s) -> Int64s:
    """Seconds from each row to the first row of the next failure of its asset, `NEVER` without one."""
    begins = np.flatnonzero((event >= 0) & (np.diff(event, prepend=-1) != 0))
    place = np.searchsorted(begins, np.arange(len(event)), side="right")
    following = np.append(begins, -1)[place]
    same = (following >= 0) & (asset[following] == asset)
    return np.where(same, seconds[following] - seconds, NEVER)


def _known(frame: pd.DataFrame, asset: Int64s, seconds: Int64s, rows: Bools, horizon: int, interval: int) -> Int64s:
    """Seconds for which each row's future is known, `NEVER` where the asset's rows end inside a failure.

    The rows of an asset are cut at those that end what is known: censored, unknown, or of another part; and where rows
    that have no label for another reason may hide a censored one: behind one horizon of them, and at a pause.
    """
    status, event = frame["status"].astype(str).to_numpy(), frame["event"].to_numpy()
    new_asset = np.diff(asset, prepend=-1) != 0
    hiding = np.isin(status, _HIDING)
    latest = np.maximum.accumulate(np.where(~hiding | new_asset, np.arange(len(asset)), 0))
    too_long = hiding & (seconds - seconds[latest] > horizon)
    paused = ~new_asset & (np.diff(seconds, prepend=0) > interval)
    beside = hiding | np.append(False, hiding[:-1])
    ends = ~(rows | (event >= 0) | hiding) | too_long
    stretch = np.cumsum(new_asset | ends | np.append(False, ends[:-1]) | (paused & beside)) - 1
    last = np.append(np.flatnonzero(np.diff(stretch)), len(stretch) - 1)
    reach = np.full(int(stretch[-1]) + 1 if len(stretch) else 0, np.iinfo(np.int64).min)
    np.maximum.at(reach, stretch, np.where(rows, seconds + horizon, seconds))
    last_of_asset = np.append(new_asset[1:], True)
    reach[last_of_asset[last] & (event[last] >= 0)] = NEVER
    known = reach[stretch]
    return np.where(known == NEVER, NEVER, known - seconds)
