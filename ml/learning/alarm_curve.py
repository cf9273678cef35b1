"""The counts of `ml.learning.event_metrics` at every threshold at once.

Recounting alarms for each of n probabilities would cost n times the rows. Instead every row says at which thresholds
it begins an alarm, an interval, and every failure up to which threshold it is announced; counts are sums of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import TooFewFailuresError
from ml.learning.event_metrics import SECONDS_PER_DAY
from ml.learning.failures import epoch_seconds, onsets, positive_runs
from ml.windows.kernels.alarm_groups import reach_of_positives, window_maxima

IntArray = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AlarmCurve:
    """Counts with each distinct probability as threshold; every array has the shape (n_thresholds,).

    Attributes
    ----------
    thresholds
        The distinct probabilities, float32, ascending.
    alarm_rows, hit_rows
        Rows that reach the threshold, and those of them labelled 1.
    alarms, false_alarms, announced
        As `ml.learning.event_metrics` defines them.
    positives, failures, asset_days
        Rows labelled 1, failures that count, and scored rows in asset-days.
    """

    thresholds: Float32s
    alarm_rows: IntArray
    hit_rows: IntArray
    alarms: IntArray
    false_alarms: IntArray
    announced: IntArray
    positives: int
    failures: int
    asset_days: float


def alarm_curve(
    frame: pd.DataFrame,
    probability: npt.ArrayLike,
    *,
    horizon: int,
    cooldown: int,
    interval: int,
    history: pd.DataFrame,
) -> AlarmCurve:
    """Count alarms and failures at every threshold.

    Parameters
    ----------
    frame
        Rows to count, (n_rows, ...), sorted by asset and time, all with a label of 0 or 1: ``asset_id``,
        ``timestamp``, ``label``.
    probability
        Of these rows, (n_rows,), rounded to float32, from 0 to 1.
    horizon, cooldown, interval
        Seconds, as in `event_metrics`; with a horizon of 0 failures are runs of rows labelled 1.
    history
        Grid frame that holds the failures' onsets.

    Raises
    ------
    TooFewFailuresError
        If no row is positive.
    """
    asset, names = pd.factorize(frame["asset_id"])
    asset = asset.astype(np.int64)
    seconds, positive = epoch_seconds(frame["timestamp"]), frame["label"].to_numpy() == 1
    if not positive.any():
        raise TooFewFailuresError(
            "a threshold cannot be chosen on rows without a positive one", hint="give a longer validation part"
        )
    chance = np.asarray(probability, dtype=np.float32)
    thresholds = np.unique(chance)
    spacing = max(cooldown, interval)
    near, reached = np.empty_like(chance), np.empty_like(chance)
    window_maxima(asset, seconds, chance, spacing, near)
    reach_of_positives(asset, seconds, chance, positive, spacing, reached)
    alarms = _count(thresholds, near, chance)
    true_alarms = _count(thresholds, reached[positive], chance[positive])
    if horizon > 0:
        peaks = _peaks_before_onsets(asset, seconds, chance, pd.Index(names), onsets(history), horizon)
    else:
        peaks = _peaks_of_runs(positive_runs(asset, positive.astype(np.int8)), chance)
    never = np.float32(-1)
    return AlarmCurve(
        thresholds,
        alarm_rows=_count(thresholds, np.full_like(chance, never), chance),
        hit_rows=_count(thresholds, np.full(int(positive.sum()), never), chance[positive]),
        alarms=alarms,
        false_alarms=alarms - true_alarms,
        announced=_count(thresholds, np.full_like(peaks, never), peaks),
        positives=int(positive.sum()),
        failures=len(peaks),
        asset_days=len(frame) * interval / SECONDS_PER_DAY,
    )


def _count(thresholds: Float32s, above: Float32s, up_to: Float32s) -> IntArray:
    """How many of the intervals (above, up_to] hold each threshold."""
    begun = np.searchsorted(np.sort(above), thresholds, side="left")
    ended = np.searchsorted(np.sort(np.maximum(above, up_to)), thresholds, side="left")
    return np.asarray(begun - ended, dtype=np.int64)


def _peaks_before_onsets(
    asset: IntArray, seconds: IntArray, chance: Float32s, names: pd.Index, failures: pd.DataFrame, horizon: int
) -> Float32s:
    """The highest probability in ``[onset - H, onset)`` of each failure with a row there."""
    peaks = []
    code = names.get_indexer(pd.Index(failures["asset_id"].astype(names.dtype)))
    for of, onset in zip(code.tolist(), failures["timestamp"].tolist(), strict=True):
        first, last = np.searchsorted(asset, [of, of + 1])
        low, high = first + np.searchsorted(seconds[first:last], [onset - horizon, onset])
        if of >= 0 and low < high:
            peaks.append(chance[low:high].max())
    return np.array(peaks, dtype=np.float32)


def _peaks_of_runs(run: IntArray, chance: Float32s) -> Float32s:
    peaks = np.full(run.max(initial=-1) + 1, -1, dtype=np.float32)
    np.maximum.at(peaks, run[run >= 0], chance[run >= 0])
    return peaks
