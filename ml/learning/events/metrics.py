"""What a maintenance crew would notice: failures detected, how long before, alarms for nothing, and money.

Row metrics reward a model for being right about many rows of one failure. Plants count failures and alarms, which
`ml.learning.events.detection` defines. Over these:

False alarms per asset-day
    False alarms divided by asset-days, the scored rows times the interval, in days, summed over assets.
Alarm precision
    Share of alarms that are not false.
Healthy time in alarm
    Share of the scored rows labelled 0 that are alarm rows.
Saved cost
    The cost of running without alarms, every failure missed, minus the cost with them: detected failures times
    ``missedFailure``, minus alarms times ``inspection``, minus false alarms times ``falseAlarm``. Below 0 the alarms
    cost more than they save (expected cost as in Drummond and Holte, "Cost curves", Machine Learning 65, 2006).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Float64s
from ml.learning.events.detection import Events, Failures
from ml.learning.events.windows import SECONDS_PER_DAY
from ml.modes import split_modes
from ml.options.costs import MaintenanceCosts

Number = TypeVar("Number", float, Float64s)

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


def event_metrics(
    events: Events, costs: MaintenanceCosts | None = None, onsets: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Count failures and alarms.

    Parameters
    ----------
    events
        As from `ml.learning.events.detection.find_events`.
    costs
        Prices for the saved cost; None where nobody named them.
    onsets
        As from `ml.learning.events.failures.onsets`; if they have ``modes``, failures are counted by mode as well.

    Returns
    -------
    dict
        For JSON: ``failures``, ``detected``, ``early``, ``tooEarly``, ``eventRecall``, ``alarms``, ``falseAlarms``,
        ``alarmPrecision``, ``falseAlarmsPerAssetDay``, ``healthyTimeInAlarm``, ``healthyDays``, ``assetDays``;
        ``savedCost`` with `costs`;
        ``leadTimeSeconds`` (or ``detectionDelaySeconds`` for a horizon of 0) with min, q25, median, q75 and max over
        detected failures, None if there are none; ``failureList``, one entry per failure; ``perAsset``, the counts
        by asset; ``perMode``, failures, detected, early and event recall by mode of failure, where there are modes.
        A ratio without a denominator is None.
    """
    rows, failures, alarms, n_assets = events.rows, events.failures, events.alarms, len(events.assets)
    episodes = events.episodes
    counts = {
        "failures": np.bincount(failures.asset, minlength=n_assets),
        "detected": np.bincount(failures.asset[failures.detected], minlength=n_assets),
        "early": np.bincount(failures.asset[failures.early], minlength=n_assets),
        "tooEarly": np.bincount(failures.asset[failures.too_early], minlength=n_assets),
        "alarms": np.bincount(alarms.asset, minlength=n_assets),
        "wrongAlarms": np.bincount(alarms.asset[alarms.is_false], minlength=n_assets),
        "falseAlarms": np.bincount(episodes.asset, weights=episodes.false_alarms, minlength=n_assets).astype(np.int64),
        "rows": np.bincount(rows.asset, minlength=n_assets),
        "healthyRows": np.bincount(rows.asset[~rows.positive], minlength=n_assets),
        "healthyAlarmRows": np.bincount(rows.asset[rows.alarm & ~rows.positive], minlength=n_assets),
    }
    notice_name = notice_key(events.horizon)
    modes = modes_of(events, onsets)
    overall = _ratios({name: int(count.sum()) for name, count in counts.items()}, events.interval, costs)
    return overall | {
        notice_name: _quantiles(failures.notice[failures.detected]),
        "failureList": _failure_list(failures, events.assets, notice_name, modes),
        **({} if modes is None else {"perMode": _per_mode(failures, modes)}),
        "perAsset": {
            str(asset): _ratios({name: int(count[code]) for name, count in counts.items()}, events.interval, costs)
            for code, asset in enumerate(events.assets)
            if counts["rows"][code]
        },
    }


def notice_key(horizon: int) -> str:
    """What the time between alarm and failure is called, for a horizon in seconds."""
    return "leadTimeSeconds" if horizon > 0 else "detectionDelaySeconds"


def saved_cost(detected: Number, alarms: Number, false_alarms: Number, costs: MaintenanceCosts) -> Number:
    """Cost without alarms minus cost with them, as defined above; numbers, or arrays of one shape."""
    return detected * costs.missed_failure - alarms * costs.inspection - false_alarms * costs.false_alarm


def _ratios(counts: dict[str, int], interval: int, costs: MaintenanceCosts | None) -> dict[str, Any]:
    days = counts["rows"] * interval / SECONDS_PER_DAY
    saved = {}
    if costs is not None:
        saved["savedCost"] = saved_cost(
            float(counts["detected"]), float(counts["alarms"]), float(counts["falseAlarms"]), costs
        )
    return saved | {
        "failures": counts["failures"],
        "detected": counts["detected"],
        "early": counts["early"],
        "tooEarly": counts["tooEarly"],
        "eventRecall": _ratio(counts["detected"], counts["failures"]),
        "alarms": counts["alarms"],
        "falseAlarms": counts["falseAlarms"],
        "alarmPrecision": _ratio(counts["alarms"] - counts["wrongAlarms"], counts["alarms"]),
        "falseAlarmsPerAssetDay": _ratio(counts["falseAlarms"], days),
        "healthyTimeInAlarm": _ratio(counts["healthyAlarmRows"], counts["healthyRows"]),
        "healthyDays": counts["healthyRows"] * interval / SECONDS_PER_DAY,
        "assetDays": days,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _quantiles(seconds: Float64s) -> dict[str, float] | None:
    if not len(seconds):
        return None
    return dict(zip(QUANTILES, np.quantile(seconds, list(QUANTILES.values())).tolist(), strict=True))


def modes_of(events: Events, onsets: pd.DataFrame | None) -> list[list[str]] | None:
    """The modes in which each failure began; None where failures have none."""
    if onsets is None or "modes" not in onsets.columns:
        return None
    failures = events.failures
    keys = zip(onsets["asset_id"], onsets["timestamp"], strict=True)
    known = dict(zip(keys, onsets["modes"], strict=True))
    begun = zip(events.assets[failures.asset], failures.seconds.tolist(), strict=True)
    return [split_modes(known.get(key, "")) for key in begun]


def _per_mode(failures: Failures, modes: list[list[str]]) -> dict[str, dict[str, Any]]:
    found = {}
    for mode in sorted({name for names in modes for name in names}):
        own = np.array([mode in names for names in modes])
        detected, early = int(failures.detected[own].sum()), int(failures.early[own].sum())
        total = int(own.sum())
        recall = _ratio(detected, total)
        found[mode] = {"failures": total, "detected": detected, "early": early, "eventRecall": recall}
    return found


def _failure_list(
    failures: Failures, assets: npt.NDArray[Any], notice_name: str, modes: list[list[str]] | None
) -> list[dict[str, Any]]:
    return [
        {
            "asset": str(assets[asset]),
            "time": pd.Timestamp(int(seconds), unit="s", tz="UTC").isoformat(),
            "detected": not np.isnan(notice),
            "early": bool(early),
            "tooEarly": bool(too_early),
            notice_name: None if np.isnan(notice) else float(notice),
            **({} if modes is None else {"modes": modes[at]}),
        }
        for at, (asset, seconds, notice, early, too_early) in enumerate(
            zip(failures.asset, failures.seconds, failures.notice, failures.early, failures.too_early, strict=True)
        )
    ]
