"""The counts of `ml.learning.events.metrics` at every threshold at once.

Recounting alarms for each of n probabilities would cost n times the rows. Instead rows join the alarm rows in the order
of falling probability, and each changes the counts by what it changes beside it; a failure says between which
thresholds it is detected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Float32s, Float64s, Int64s
from ml.errors import TooFewFailuresError
from ml.learning.events.failures import epoch_seconds, onsets
from ml.learning.events.windows import SECONDS_PER_DAY, FailureWindows, failure_windows, period_of, rows_since
from ml.windows.kernels.alarm_groups import count_as_rows_join, detecting_thresholds


@dataclass(frozen=True)
class AlarmCurve:
    """Counts with each distinct probability as threshold; every array has the shape (n_thresholds,).

    Attributes
    ----------
    thresholds
        The distinct probabilities, float32, ascending.
    alarm_rows, hit_rows
        Rows that reach the threshold, and those of them labelled 1.
    alarms, false_alarms, detected
        As `ml.learning.events.metrics` defines them.
    rows, positives, failures, asset_days
        Scored rows, those labelled 1, failures that count, and scored rows in asset-days.
    cooldown
        The seconds that alarms were counted with.
    """

    thresholds: Float32s
    alarm_rows: Int64s
    hit_rows: Int64s
    alarms: Int64s
    false_alarms: Int64s
    detected: Int64s
    rows: int
    positives: int
    failures: int
    asset_days: float
    cooldown: int

    @property
    def healthy_time_in_alarm(self) -> Float64s:
        """Share of healthy rows that are alarm rows; 0 without a healthy row."""
        return (self.alarm_rows - self.hit_rows) / max(self.rows - self.positives, 1)


def alarm_curve(
    frame: pd.DataFrame,
    probability: npt.ArrayLike,
    *,
    horizon: int,
    cooldown: int,
    interval: int,
    history: pd.DataFrame,
    without_failures: bool = False,
) -> AlarmCurve:
    """Count alarms and failures at every threshold.

    Raises TooFewFailuresError if no row is positive, unless `without_failures` says that false alarms are all that is
    asked for.

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
    """
    codes, names = pd.factorize(frame["asset_id"])
    asset = codes.astype(np.int64)
    seconds, positive = epoch_seconds(frame["timestamp"]), frame["label"].to_numpy() == 1
    if not (positive.any() or without_failures):
        raise TooFewFailuresError(
            "a threshold cannot be chosen on rows without a positive one", hint="give a longer validation part"
        )
    chance = np.asarray(probability, dtype=np.float32)
    spacing = max(cooldown, interval)
    windows = failure_windows(
        asset, seconds, positive, onsets(history), pd.Index(names), horizon=horizon, spacing=spacing
    )
    order = np.argsort(chance, kind="stable")
    thresholds, lowest = np.unique(chance[order], return_index=True)
    alarms, false_alarms = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
    count_as_rows_join(
        order,
        asset,
        windows.lives(asset),
        seconds,
        ~positive,
        *windows.next_of(asset),
        spacing,
        interval,
        period_of(horizon, interval),
        horizon == 0,
        alarms,
        false_alarms,
    )
    hits = np.cumsum(positive[order][::-1])[::-1]
    return AlarmCurve(
        thresholds,
        alarm_rows=len(order) - lowest,
        hit_rows=hits[lowest],
        alarms=alarms[lowest],
        false_alarms=false_alarms[lowest],
        detected=_detected(thresholds, asset, seconds, chance, windows, spacing),
        rows=len(frame),
        positives=int(positive.sum()),
        failures=int(windows.counts.sum()),
        asset_days=len(frame) * interval / SECONDS_PER_DAY,
        cooldown=cooldown,
    )


def _detected(
    thresholds: Float32s, asset: Int64s, seconds: Int64s, chance: Float32s, windows: FailureWindows, spacing: int
) -> Int64s:
    """Failures detected at each threshold."""
    size = int((windows.end - windows.first).sum())
    above, up_to = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
    detecting_thresholds(
        windows.lives(asset),
        seconds,
        chance,
        rows_since(asset, seconds, windows.asset, windows.earliest - spacing),
        windows.first,
        windows.end,
        windows.earliest,
        spacing,
        above,
        up_to,
    )
    return _count(thresholds, above, up_to)


def _count(thresholds: Float32s, above: Float32s, up_to: Float32s) -> Int64s:
    """How many of the intervals (above, up_to] hold each threshold."""
    begun = np.searchsorted(np.sort(above), thresholds, side="left")
    ended = np.searchsorted(np.sort(np.maximum(above, up_to)), thresholds, side="left")
    return np.asarray(begun - ended, dtype=np.int64)
