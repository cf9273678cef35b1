"""Assets that log far more slowly than the grid, which have a gap limit of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ml.arrays import Int64s
from ml.grid.regular import MAX_GAP_INTERVALS, Spacings

_SLOW = 2  # intervals of the grid; most readings of a slow asset are further apart
_SLOWEST = 200  # likewise; with a limit of its own, a still slower asset would make over 1000 rows of each reading
_FEWEST_SPACINGS = 10
_MICROSECONDS = 1_000_000


def slow_assets(keys: Callable[[], Iterable[tuple[Int64s, Int64s]]], interval: int) -> dict[int, int]:
    """Asset codes that log at less than half the pace of a grid, with their own median spacing in whole seconds.

    Parameters
    ----------
    keys
        Gives asset codes and microseconds, both of shape (n_rows,), sorted over all pieces; called twice at most.
    interval
        Of the grid, in seconds.
    """
    every: Counter[int] = Counter()
    far: Counter[int] = Counter()
    last: tuple[Int64s, Int64s] = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    for codes, times in keys():
        asset, time = np.append(last[0], codes), np.append(last[1], times)
        last = asset[-1:], time[-1:]
        spacing, owner = np.diff(time), asset[1:]
        own = np.diff(asset) == 0
        for counter, chosen in ((every, own), (far, own & (spacing > _SLOW * interval * _MICROSECONDS))):
            names, counts = np.unique(owner[chosen], return_counts=True)
            counter.update(dict(zip(names.tolist(), counts.tolist(), strict=True)))
    spacings = {
        code: Spacings() for code, count in far.items() if every[code] >= _FEWEST_SPACINGS and 2 * count > every[code]
    }
    for asset, time in keys() if spacings else ():
        for code in np.unique(asset).tolist():
            if code in spacings:
                start, stop = np.searchsorted(asset, [code, code + 1])
                spacings[code].add(asset[start:stop], time[start:stop])
    return {code: each.interval() for code, each in spacings.items()}


def resolve_own_gaps(paces: Mapping[str, int], max_gap: int | None, interval: int) -> dict[str, int]:
    """The gap limits of slow assets in seconds: `MAX_GAP_INTERVALS` times their own spacing.

    Parameters
    ----------
    paces
        Spacing of slow assets by name, in seconds.
    max_gap
        As configured. A configured limit is that of all assets.
    interval
        Of the grid, in seconds.
    """
    if max_gap is not None:
        return {}
    return {name: MAX_GAP_INTERVALS * pace for name, pace in sorted(paces.items()) if pace <= _SLOWEST * interval}
