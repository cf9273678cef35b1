"""Which rows can detect which failure: the windows that `events.detection` and `events.alarm_curve` share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.learning.events.failures import positive_runs

SECONDS_PER_DAY = 86_400
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class FailureWindows:
    """All failures of some rows by asset and time; arrays have the shape (n_failures,) but where they say otherwise.

    Attributes
    ----------
    asset
        Code of the asset.
    seconds
        The onset; of a detection, the first row of the run labelled 1.
    opens
        From when on an alarm row detects the failure.
    earliest
        When the episode of that alarm row may have begun.
    first, end
        Rows ``first:end`` are the window. A failure counts if there are any.
    over
        How many failures, of all assets up to its own, were over before each row, (n_rows,): the number of the
        failure that comes next.
    """

    asset: Int64s
    seconds: Int64s
    opens: Int64s
    earliest: Int64s
    first: Int64s
    end: Int64s
    over: Int64s

    @property
    def counts(self) -> Bools:
        """Which failures have a row in their window."""
        return self.first < self.end

    def lives(self, asset: Int64s) -> Int64s:
        """Number of the time between two failures in which each row lies, (n_rows,), from the rows' asset codes."""
        return self.over + asset

    def next_of(self, asset: Int64s) -> tuple[Int64s, Int64s]:
        """`opens` and `earliest` of the failure that follows each row, (n_rows,); a time never reached without one."""
        if not len(self.asset):
            never = np.full(len(asset), _NEVER)
            return never, never
        following = np.minimum(self.over, len(self.asset) - 1)
        follows = (self.over < len(self.asset)) & (self.asset[following] == asset)
        return np.where(follows, self.opens[following], _NEVER), np.where(follows, self.earliest[following], _NEVER)


def failure_windows(
    asset: Int64s,
    seconds: Int64s,
    positive: Bools,
    onsets: pd.DataFrame,
    names: pd.Index,
    *,
    horizon: int,
    spacing: int,
) -> FailureWindows:
    """The failures of rows that are sorted by asset and time.

    Parameters
    ----------
    asset, seconds, positive
        Asset code, time, and whether the label is 1, (n_rows,).
    onsets
        As from `ml.learning.events.failures.onsets`; those of unknown assets are left out. Not used if `horizon` is 0.
    names
        Names of the assets by code.
    horizon, spacing
        Seconds.
    """
    if horizon == 0:
        return _runs(asset, seconds, positive, spacing)
    code = names.get_indexer(pd.Index(onsets["asset_id"].astype(names.dtype)))
    known = code >= 0
    code, onset = code[known].astype(np.int64), onsets["timestamp"].to_numpy(dtype=np.int64)[known]
    order = np.lexsort((onset, code))
    code, onset = code[order], onset[order]
    first, end = (rows_since(asset, seconds, code, since) for since in (onset - horizon, onset))
    return FailureWindows(
        code, onset, onset - horizon, onset - 2 * horizon, first, end, _over_before_rows(end, len(asset))
    )


def period_of(horizon: int, interval: int) -> int:
    """Seconds after which an alarm that lasts is false once more."""
    return max(horizon or SECONDS_PER_DAY, interval)


def rows_since(asset: Int64s, seconds: Int64s, of: Int64s, since: Int64s) -> Int64s:
    """The first row of each asset `of` that is not before `since`, or the row after its last one, (n,).

    The rows' `asset` and `seconds` are sorted, (n_rows,).
    """
    origin = int(seconds.min()) if len(seconds) else 0
    stride = int(seconds.max(initial=0)) - origin + 2
    # One sortable number per (asset, time), so that one binary search serves all assets.
    wanted = of * stride + np.clip(since - origin, 0, stride - 1)
    return np.asarray(np.searchsorted(asset * stride + (seconds - origin), wanted), dtype=np.int64)


def _runs(asset: Int64s, seconds: Int64s, positive: Bools, tolerance: int) -> FailureWindows:
    run = positive_runs(asset, positive.astype(np.int8))
    members = np.flatnonzero(run >= 0)
    _, at, lengths = np.unique(run[members], return_index=True, return_counts=True)
    first = members[at]
    end, start = first + lengths, seconds[first]
    return FailureWindows(asset[first], start, start, start - tolerance, first, end, _over_before_rows(end, len(asset)))


def _over_before_rows(end: Int64s, n_rows: int) -> Int64s:
    return np.cumsum(np.bincount(end, minlength=n_rows + 1)[:n_rows])
