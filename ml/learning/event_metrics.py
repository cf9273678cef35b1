"""What a maintenance crew would notice: failures announced, how long before, and alarms for nothing.

Row metrics reward a model for being right about many rows of one failure. Plants count failures and alarms. The
definitions, over the *scored* rows (those with a known label) of each asset:

Alarm row
    A row whose probability reaches the threshold (`ml.learning.thresholds.is_alarm`).
Alarm
    A longest group of alarm rows of one asset in which neighbours are at most ``max(cooldown, interval)`` seconds
    apart. Whoever answered the first row need not be called again for the others; alarm management demands the same
    of repeating ("chattering") alarms (ANSI/ISA-18.2-2016; EEMUA Publication 191).
Announced failure (horizon H > 0)
    A failure with an alarm row in ``[onset - H, onset)``: exactly the rows labelled 1 because of it. An earlier alarm
    does not count, as it promised a failure that did not come in time. This is event-based recall with existence
    reward (Tatbul et al., "Precision and Recall for Time Series", NeurIPS 2018).
Lead time
    From the earliest alarm row in that window to the onset, hence at most H (Salfner, Lenk and Malek, "A Survey of
    Online Failure Prediction Methods", ACM Computing Surveys 42(3), 2010). Detection (H = 0) has no lead time: a
    failure is then a run of rows labelled 1, announced if it holds an alarm row, and the *detection delay* is the
    time from its first row to the first alarm row, the reverse of the early-detection reward of the Numenta benchmark
    (Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms", ICMLA 2015).
Failure that counts
    One with at least one scored row in its window; nobody could have announced the others.
False alarm
    An alarm without a row labelled 1. Censored rows, and rows inside a failure or a recovery, are not scored: an alarm
    there is neither right nor wrong.
False alarms per asset-day
    False alarms divided by asset-days, the scored rows times the interval, in days, summed over assets.
Alarm precision
    Share of alarms that are not false.
Time in alarm
    Share of scored rows that are alarm rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.learning.failures import positive_runs
from ml.learning.thresholds import is_alarm

SECONDS_PER_DAY = 86_400
QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Scored:
    """Scored rows, sorted by asset and time."""

    asset: IntArray
    seconds: IntArray
    positive: npt.NDArray[np.bool_]
    alarm: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Failures:
    """Failures that count: asset code, reference time (onset, or first row of the run), seconds to it or NaN."""

    asset: IntArray
    seconds: IntArray
    notice: npt.NDArray[np.float64]


def event_metrics(
    asset_id: npt.ArrayLike,
    timestamp: npt.ArrayLike,
    label: npt.ArrayLike,
    probability: npt.ArrayLike,
    onsets: pd.DataFrame,
    *,
    threshold: float,
    horizon: int,
    cooldown: int,
    interval: int,
) -> dict[str, Any]:
    """Count failures and alarms as defined above.

    Parameters
    ----------
    asset_id, timestamp, label, probability
        Arrays of shape (n_rows,), in any order: asset name, seconds since the epoch, label 1/0/-1, probability.
    onsets
        Columns ``asset_id`` and ``timestamp`` (seconds), as from `ml.learning.failures.onsets`. Not used if `horizon`
        is 0.
    threshold
        Alarm threshold.
    horizon
        H in seconds; 0 for detection, and for labels that were made elsewhere.
    cooldown, interval
        Alarm cooldown and grid spacing in seconds.

    Returns
    -------
    dict
        For JSON: ``failures``, ``announced``, ``eventRecall``, ``alarms``, ``falseAlarms``, ``alarmPrecision``,
        ``falseAlarmsPerAssetDay``, ``timeInAlarm``, ``assetDays``; ``leadTimeSeconds`` (or ``detectionDelaySeconds``
        if `horizon` is 0) with min, q25, median, q75 and max over announced failures, None if there are none;
        ``failureList``, one entry per failure; ``perAsset``, the counts by asset. A ratio without a denominator is
        None.
    """
    codes, assets = pd.factorize(np.asarray(asset_id, dtype=object), sort=True)
    rows = _scored_rows(codes, np.asarray(timestamp), np.asarray(label), np.asarray(probability), threshold)
    failures = _announcements(rows, assets, onsets, horizon) if horizon > 0 else _detections(rows)
    alarm_asset, alarm_is_false = _alarms(rows, max(cooldown, interval))

    n_assets = len(assets)
    announced = ~np.isnan(failures.notice)
    counts = {
        "failures": np.bincount(failures.asset, minlength=n_assets),
        "announced": np.bincount(failures.asset[announced], minlength=n_assets),
        "alarms": np.bincount(alarm_asset, minlength=n_assets),
        "falseAlarms": np.bincount(alarm_asset[alarm_is_false], minlength=n_assets),
        "rows": np.bincount(rows.asset, minlength=n_assets),
        "alarmRows": np.bincount(rows.asset[rows.alarm], minlength=n_assets),
    }
    notice_name = "leadTimeSeconds" if horizon > 0 else "detectionDelaySeconds"
    overall = _ratios({name: int(count.sum()) for name, count in counts.items()}, interval)
    return overall | {
        notice_name: _quantiles(failures.notice[announced]),
        "failureList": _failure_list(failures, assets, notice_name),
        "perAsset": {
            str(asset): _ratios({name: int(count[code]) for name, count in counts.items()}, interval)
            for code, asset in enumerate(assets)
            if counts["rows"][code]
        },
    }


def _scored_rows(
    codes: IntArray,
    seconds: npt.NDArray[Any],
    label: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    threshold: float,
) -> _Scored:
    scored = np.flatnonzero(label >= 0)
    order = scored[np.lexsort((seconds[scored], codes[scored]))]
    return _Scored(
        asset=codes[order].astype(np.int64),
        seconds=seconds[order].astype(np.int64),
        positive=label[order] == 1,
        alarm=is_alarm(probability[order], threshold),
    )


def _announcements(rows: _Scored, assets: npt.NDArray[Any], onsets: pd.DataFrame, horizon: int) -> _Failures:
    """Failures with a scored row in [onset - H, onset), and the lead time of each."""
    asset = pd.Index(assets).get_indexer(onsets["asset_id"].astype(object))
    known = asset >= 0
    asset, onset = asset[known].astype(np.int64), onsets["timestamp"].to_numpy(dtype=np.int64)[known]
    if not len(onset) or not len(rows.asset):
        return _Failures(asset=asset[:0], seconds=onset[:0], notice=np.empty(0))
    # One sortable number per (asset, time), so that one binary search serves all assets.
    origin = min(int(rows.seconds.min()), int(onset.min()) - horizon)
    stride = max(int(rows.seconds.max()), int(onset.max())) - origin + 1
    key = rows.asset * stride + (rows.seconds - origin)
    onset_key = asset * stride + (onset - origin)
    observed = np.searchsorted(key, onset_key - horizon) < np.searchsorted(key, onset_key)

    alarm_key = np.append(key[rows.alarm], np.iinfo(np.int64).max)
    first = alarm_key[np.searchsorted(alarm_key, onset_key - horizon)]
    lead = np.where(first < onset_key, onset_key - first, np.nan)
    order = np.flatnonzero(observed)
    order = order[np.argsort(onset_key[order], kind="stable")]
    return _Failures(asset=asset[order], seconds=onset[order], notice=lead[order])


def _detections(rows: _Scored) -> _Failures:
    """Runs of rows labelled 1, and the delay until the first alarm row of each."""
    run = positive_runs(rows.asset, rows.positive.astype(np.int8))
    members = np.flatnonzero(run >= 0)
    _, first = np.unique(run[members], return_index=True)
    first_row = members[first]
    delay = np.full(len(first_row), np.nan)
    hits = members[rows.alarm[members]]
    hit_runs, first_hit = np.unique(run[hits], return_index=True)
    delay[hit_runs] = rows.seconds[hits[first_hit]] - rows.seconds[first_row[hit_runs]]
    return _Failures(asset=rows.asset[first_row], seconds=rows.seconds[first_row], notice=delay)


def _alarms(rows: _Scored, spacing: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Asset code of each alarm, and whether it is false."""
    asset, seconds = rows.asset[rows.alarm], rows.seconds[rows.alarm]
    if not len(asset):
        return asset, np.empty(0, dtype=bool)
    starts = np.ones(len(asset), dtype=bool)
    starts[1:] = (np.diff(asset) != 0) | (np.diff(seconds) > spacing)
    first = np.flatnonzero(starts)
    is_false = ~np.logical_or.reduceat(rows.positive[rows.alarm], first)
    return asset[first], is_false


def _ratios(counts: dict[str, int], interval: int) -> dict[str, Any]:
    days = counts["rows"] * interval / SECONDS_PER_DAY
    return {
        "failures": counts["failures"],
        "announced": counts["announced"],
        "eventRecall": _ratio(counts["announced"], counts["failures"]),
        "alarms": counts["alarms"],
        "falseAlarms": counts["falseAlarms"],
        "alarmPrecision": _ratio(counts["alarms"] - counts["falseAlarms"], counts["alarms"]),
        "falseAlarmsPerAssetDay": _ratio(counts["falseAlarms"], days),
        "timeInAlarm": _ratio(counts["alarmRows"], counts["rows"]),
        "assetDays": days,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _quantiles(seconds: npt.NDArray[np.float64]) -> dict[str, float] | None:
    if not len(seconds):
        return None
    return dict(zip(QUANTILES, np.quantile(seconds, list(QUANTILES.values())).tolist(), strict=True))


def _failure_list(failures: _Failures, assets: npt.NDArray[Any], notice_name: str) -> list[dict[str, Any]]:
    return [
        {
            "asset": str(assets[asset]),
            "time": pd.Timestamp(int(seconds), unit="s", tz="UTC").isoformat(),
            "announced": not np.isnan(notice),
            notice_name: None if np.isnan(notice) else float(notice),
        }
        for asset, seconds, notice in zip(failures.asset, failures.seconds, failures.notice, strict=True)
    ]
