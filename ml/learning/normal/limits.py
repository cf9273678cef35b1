"""Limits that keep a stated rate of false alarms, and how well they kept it on rows that they were not set by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.learning.events.alarm_curve import AlarmCurve
from ml.learning.events.intervals import rate_interval

MEAN_SHARE = 0.8
"""Of the rate, for the limit on the mean over sensors; the rest is for that on the largest deviation."""

_QUARTILES = np.array([0.25, 0.75])
_LEAST_DAYS = 40

Curve = Callable[[Bools, Float64s], AlarmCurve]
"""False alarms at every threshold of some rows (n_all,) of a table, with values from 0 to 1 of these, (n_rows,)."""


def limit_for(value: Float64s, rows: Bools, curve: Curve, rate: float) -> float:
    """The lowest limit from which on false alarms per asset-day are at most `rate`; above all values if none is.

    `value` is (n_all,), positive, and finite on `rows`.
    """
    distinct, rank = np.unique(value[rows], return_inverse=True)
    counted = curve(rows, rank / len(distinct))
    kept = counted.false_alarms <= rate * counted.asset_days
    first = len(kept) - int(np.argmin(kept[::-1])) if not kept.all() else 0
    if first == len(distinct):
        return float(np.nextafter(distinct[-1], np.inf))
    limit = distinct[first] if first == 0 else (distinct[first - 1] + distinct[first]) / 2
    return max(float(limit), float(np.finfo(np.float64).tiny))


def limits_for(
    mean: Float64s, largest: Float64s, rows: Bools, curve: Curve, rate: float, asset_day: Int64s | None
) -> tuple[float, float]:
    """Limits on the mean square over sensors and on the largest square, which share the rate.

    `asset_day` numbers the asset-days of a history that may hold unknown failures, (n_all,); None of a clean one.
    """
    found = []
    for value, share in ((mean, MEAN_SHARE), (largest, 1 - MEAN_SHARE)):
        limit = limit_for(value, rows, curve, share * rate)
        expected = None if asset_day is None else tail_limit(value[rows], asset_day[rows], share * rate)
        found.append(limit if expected is None else min(limit, expected))
    return found[0], found[1]


def tail_limit(value: Float64s, asset_day: Int64s, rate: float) -> float | None:
    """The limit that the middle of the asset-days lets expect; None where there are too few.

    The root of the highest value of each asset-day is taken for Gumbel distributed, with the quartiles of the days. A
    quarter of the days may hold failures that nobody recorded, and the limit hardly moves.
    """
    highest = pd.Series(value).groupby(asset_day).max().to_numpy()
    if len(highest) < _LEAST_DAYS or rate >= 1:
        return None
    low, high = np.quantile(np.sqrt(highest), _QUARTILES)
    places = -np.log(-np.log(_QUARTILES))
    slope = (high - low) / (places[1] - places[0])
    limit = float(low - slope * places[0] - slope * math.log(rate)) ** 2
    return limit if limit > 0 else None


def achieved(curve: AlarmCurve, threshold: float, rate: float) -> dict[str, Any]:
    """What an alarm threshold did on rows whose limits other rows had set, beside the rate that was aimed at."""
    at = int(np.searchsorted(curve.thresholds, np.float32(threshold)))
    alarms = int(curve.false_alarms[at]) if at < len(curve.thresholds) else 0
    share = float(curve.healthy_time_in_alarm[at]) if at < len(curve.thresholds) else 0.0
    return {
        "targetFalseAlarmsPerAssetDay": rate,
        "falseAlarms": alarms,
        "falseAlarmsPerAssetDay": alarms / curve.asset_days,
        "falseAlarmsPerAssetDayInterval": list(rate_interval(alarms, curve.asset_days)),
        "healthyTimeInAlarm": share,
        "assetDays": curve.asset_days,
    }
