"""Failures and alarms: which ones count, which failures were announced, and which alarms were false.

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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.learning.failures import positive_runs
from ml.learning.thresholds import is_alarm

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredRows:
    """Rows with a known label, sorted by asset and time; every array has shape (n_scored,)."""

    asset: IntArray
    seconds: IntArray
    positive: BoolArray
    alarm: BoolArray
    position: IntArray
    """Where the row stands among the rows that were given."""


@dataclass(frozen=True)
class Failures:
    """Failures that count; every array has shape (n_failures,)."""

    asset: IntArray
    seconds: IntArray
    """Reference time: the onset, or of a detection the first row of the run."""
    notice: npt.NDArray[np.float64]
    """Seconds between the first alarm row and the reference time; NaN if the failure was not announced."""
    position: IntArray
    """Where the first scored row of its window, or run, stands among the rows that were given."""

    @property
    def announced(self) -> BoolArray:
        """Which of them were."""
        return ~np.isnan(self.notice)


@dataclass(frozen=True)
class Alarms:
    """Alarms; every array has shape (n_alarms,)."""

    asset: IntArray
    is_false: BoolArray
    position: IntArray
    """Where the first alarm row stands among the rows that were given."""
    start: IntArray
    """Where the first alarm row stands among the alarm rows of `ScoredRows`."""


@dataclass(frozen=True)
class Events:
    """What happened on the scored rows: assets are codes into `assets`, in alphabetical order."""

    assets: npt.NDArray[Any]
    rows: ScoredRows
    failures: Failures
    alarms: Alarms
    horizon: int
    interval: int

    def rows_of_alarms(self) -> list[IntArray]:
        """Where the alarm rows of each alarm stand among the rows that were given, in order of time."""
        return np.split(self.rows.position[self.rows.alarm], self.alarms.start)[1:]


def find_events(
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
) -> Events:
    """Find failures and alarms as defined above.

    Parameters
    ----------
    asset_id, timestamp, label, probability
        Arrays of shape (n_rows,), in any order: asset name, seconds since the epoch, label 1/0/-1, probability. A
        probability of NaN is no alarm.
    onsets
        Columns ``asset_id`` and ``timestamp`` (seconds), as from `ml.learning.failures.onsets`. Not used if `horizon`
        is 0.
    threshold
        Alarm threshold.
    horizon
        H in seconds; 0 for detection, and for labels that were made elsewhere.
    cooldown, interval
        Alarm cooldown and grid spacing in seconds.
    """
    codes, assets = pd.factorize(np.asarray(asset_id, dtype=object), sort=True)
    rows = _scored_rows(codes, np.asarray(timestamp), np.asarray(label), np.asarray(probability), threshold)
    failures = _announcements(rows, assets, onsets, horizon) if horizon > 0 else _detections(rows)
    return Events(assets, rows, failures, _alarms(rows, max(cooldown, interval)), horizon, interval)


def _scored_rows(
    codes: IntArray,
    seconds: npt.NDArray[Any],
    label: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    threshold: float,
) -> ScoredRows:
    scored = np.flatnonzero(label >= 0)
    order = scored[np.lexsort((seconds[scored], codes[scored]))]
    return ScoredRows(
        asset=codes[order].astype(np.int64),
        seconds=seconds[order].astype(np.int64),
        positive=label[order] == 1,
        alarm=is_alarm(probability[order], threshold),
        position=order,
    )


def _announcements(rows: ScoredRows, assets: npt.NDArray[Any], onsets: pd.DataFrame, horizon: int) -> Failures:
    """Failures with a scored row in [onset - H, onset), and the lead time of each."""
    asset = pd.Index(assets).get_indexer(onsets["asset_id"].astype(object))
    known = asset >= 0
    asset, onset = asset[known].astype(np.int64), onsets["timestamp"].to_numpy(dtype=np.int64)[known]
    if not len(onset) or not len(rows.asset):
        return Failures(asset=asset[:0], seconds=onset[:0], notice=np.empty(0), position=asset[:0])
    # One sortable number per (asset, time), so that one binary search serves all assets.
    origin = min(int(rows.seconds.min()), int(onset.min()) - horizon)
    stride = max(int(rows.seconds.max()), int(onset.max())) - origin + 1
    key = rows.asset * stride + (rows.seconds - origin)
    onset_key = asset * stride + (onset - origin)
    window_start = np.searchsorted(key, onset_key - horizon)
    observed = window_start < np.searchsorted(key, onset_key)

    alarm_key = np.append(key[rows.alarm], np.iinfo(np.int64).max)
    first = alarm_key[np.searchsorted(alarm_key, onset_key - horizon)]
    lead = np.where(first < onset_key, onset_key - first, np.nan)
    order = np.flatnonzero(observed)
    order = order[np.argsort(onset_key[order], kind="stable")]
    position = rows.position[window_start[order]]
    return Failures(asset=asset[order], seconds=onset[order], notice=lead[order], position=position)


def _detections(rows: ScoredRows) -> Failures:
    """Runs of rows labelled 1, and the delay until the first alarm row of each."""
    run = positive_runs(rows.asset, rows.positive.astype(np.int8))
    members = np.flatnonzero(run >= 0)
    _, first = np.unique(run[members], return_index=True)
    first_row = members[first]
    delay = np.full(len(first_row), np.nan)
    hits = members[rows.alarm[members]]
    hit_runs, first_hit = np.unique(run[hits], return_index=True)
    delay[hit_runs] = rows.seconds[hits[first_hit]] - rows.seconds[first_row[hit_runs]]
    return Failures(rows.asset[first_row], rows.seconds[first_row], delay, rows.position[first_row])


def _alarms(rows: ScoredRows, spacing: int) -> Alarms:
    """Groups of alarm rows at most `spacing` seconds apart."""
    asset, seconds, position = rows.asset[rows.alarm], rows.seconds[rows.alarm], rows.position[rows.alarm]
    if not len(asset):
        return Alarms(asset, np.empty(0, dtype=np.bool_), position, position)
    starts = np.ones(len(asset), dtype=bool)
    starts[1:] = (np.diff(asset) != 0) | (np.diff(seconds) > spacing)
    first = np.flatnonzero(starts)
    is_false = ~np.logical_or.reduceat(rows.positive[rows.alarm], first)
    return Alarms(asset[first], is_false, position[first], first)
