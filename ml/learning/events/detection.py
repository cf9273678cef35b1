"""Failures and alarms: which failures count, which were detected, and which alarms were false, and how often.

Row metrics reward a model for being right about many rows of one failure. Plants count failures and alarms. The
definitions, over the *scored* rows (those with a known label) of each asset:

Alarm row
    A row whose probability reaches the threshold (`ml.learning.events.alarm_rows.is_alarm`).
Alarm
    A longest group of alarm rows of one asset in which neighbours are at most the *spacing*, ``max(cooldown,
    interval)`` seconds, apart. Whoever answered the first row need not be called again for the others; alarm management
    demands the same of repeating ("chattering") alarms (ANSI/ISA-18.2-2016; EEMUA Publication 191).
Episode
    The rows of an alarm between two failures: an alarm that goes on across an onset begins anew there. An episode
    begins with its first row.
Detected failure (horizon H > 0)
    A failure with an alarm row in ``[onset - H, onset)``, exactly the rows labelled 1 because of it, of an episode that
    began at ``onset - 2 H`` or later. It is *early* if that episode began before ``onset - H``. An alarm that stands
    forever foretells nothing. This is event-based recall with existence reward (Tatbul et al., "Precision and Recall
    for Time Series", NeurIPS 2018), but for the alarms that began too early.
Lead time
    From the earliest such alarm row to the onset, hence at most H (Salfner, Lenk and Malek, "A Survey of Online Failure
    Prediction Methods", ACM Computing Surveys 42(3), 2010).
Detection (H = 0)
    A failure is a run of rows labelled 1, and episodes end with the last row of a run. The run is detected if it holds
    an alarm row of an episode that began at most the spacing before its first row. The *detection delay* is the time
    from its first row to the first such alarm row, the reverse of the early-detection reward of the Numenta benchmark
    (Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms", ICMLA 2015).
Failure that counts
    One with at least one scored row in its window; nobody could have detected the others.
False alarms of an episode
    None if it detects a failure. Else one for every started H (a day for detection) that its rows labelled 0 last: each
    the time since the row before it in the episode, the first one `interval`. Of an episode that goes on after a
    detection's failure, the first day is free: features look back, and fade out.

Censored rows, and rows inside a failure or a recovery, are not scored: an alarm there is neither right nor wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.learning.events.alarm_rows import is_alarm
from ml.learning.events.windows import FailureWindows, failure_windows, period_of


@dataclass(frozen=True)
class ScoredRows:
    """Rows with a known label, sorted by asset and time; every array has shape (n_scored,)."""

    asset: Int64s
    seconds: Int64s
    positive: Bools
    alarm: Bools
    position: Int64s
    """Where the row stands among the rows that were given."""


@dataclass(frozen=True)
class Failures:
    """Failures that count; every array has shape (n_failures,)."""

    asset: Int64s
    seconds: Int64s
    """Reference time: the onset, or of a detection the first row of the run."""
    notice: Float64s
    """Seconds between the first alarm row that detects it and the reference time; NaN if none does."""
    early: Bools
    """Detected by an episode that began before the window."""
    too_early: Bools
    """Not detected, though in alarm within the window: by an episode that began too early to count."""
    position: Int64s
    """Where the first scored row of its window, or run, stands among the rows that were given."""

    @property
    def detected(self) -> Bools:
        """Which of them were."""
        return ~np.isnan(self.notice)


@dataclass(frozen=True)
class Episodes:
    """What alarms are counted by; every array has shape (n_episodes,)."""

    asset: Int64s
    seconds: Int64s
    """When it began."""
    false_alarms: Int64s
    position: Int64s
    """Where the first alarm row stands among the rows that were given."""
    start: Int64s
    """Where the first alarm row stands among the alarm rows of `ScoredRows`."""


@dataclass(frozen=True)
class Alarms:
    """Alarms; every array has shape (n_alarms,)."""

    asset: Int64s
    is_false: Bools
    """Whether one of its episodes has a false alarm."""
    position: Int64s
    """Where the first alarm row stands among the rows that were given."""
    start: Int64s
    """Where the first alarm row stands among the alarm rows of `ScoredRows`."""


@dataclass(frozen=True)
class Events:
    """What happened on the scored rows: assets are codes into `assets`, in alphabetical order."""

    assets: npt.NDArray[Any]
    rows: ScoredRows
    failures: Failures
    episodes: Episodes
    alarms: Alarms
    horizon: int
    interval: int

    def rows_of_alarms(self) -> list[Int64s]:
        """Where the alarm rows of each alarm stand among the rows that were given, in order of time."""
        return np.split(self.rows.position[self.rows.alarm], self.alarms.start)[1:]


def find_events(
    asset_id: npt.ArrayLike,
    timestamp: npt.ArrayLike,
    label: npt.ArrayLike,
    probability: npt.ArrayLike,
    onsets: pd.DataFrame,
    *,
    threshold: float | npt.NDArray[np.float32],
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
        Columns ``asset_id`` and ``timestamp`` (seconds), as from `ml.learning.events.failures.onsets`. Not used if
        `horizon` is 0.
    threshold
        Alarm threshold.
    horizon
        H in seconds; 0 for detection, and for labels that were made elsewhere.
    cooldown, interval
        Alarm cooldown and grid spacing in seconds.
    """
    codes, assets = pd.factorize(np.asarray(asset_id, dtype=object), sort=True)
    rows = _scored_rows(codes, np.asarray(timestamp), np.asarray(label), np.asarray(probability), threshold)
    spacing = max(cooldown, interval)
    windows = failure_windows(
        rows.asset, rows.seconds, rows.positive, onsets, pd.Index(assets), horizon=horizon, spacing=spacing
    )
    first_of_alarm, first_of_episode = _starts(rows, windows, spacing)
    episodes = _episodes(rows, windows, first_of_alarm, first_of_episode, horizon, interval)
    return Events(
        assets,
        rows,
        _failures(rows, windows, episodes),
        episodes,
        _alarms(rows, episodes, first_of_alarm),
        horizon,
        interval,
    )


def _scored_rows(
    codes: Int64s,
    seconds: npt.NDArray[Any],
    label: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    threshold: float | npt.NDArray[np.float32],
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


def _starts(rows: ScoredRows, windows: FailureWindows, spacing: int) -> tuple[Bools, Bools]:
    """Which alarm rows begin an alarm, and which an episode, (n_alarm_rows,)."""
    asset, seconds = rows.asset[rows.alarm], rows.seconds[rows.alarm]
    alarm = np.ones(len(asset), dtype=np.bool_)
    alarm[1:] = (np.diff(asset) != 0) | (np.diff(seconds) > spacing)
    episode = alarm.copy()
    episode[1:] |= np.diff(windows.lives(rows.asset)[rows.alarm]) != 0
    return alarm, episode


def _episodes(
    rows: ScoredRows,
    windows: FailureWindows,
    first_of_alarm: Bools,
    first_of_episode: Bools,
    horizon: int,
    interval: int,
) -> Episodes:
    asset, seconds, position = rows.asset[rows.alarm], rows.seconds[rows.alarm], rows.position[rows.alarm]
    start = np.flatnonzero(first_of_episode)
    if not len(start):
        return Episodes(asset, seconds, start, position, start)
    lasts = np.where(first_of_episode, interval, np.diff(seconds, prepend=seconds[0]))
    healthy = np.add.reduceat(np.where(rows.positive[rows.alarm], 0, lasts), start)
    false_alarms = -(-healthy // period_of(horizon, interval))
    if horizon == 0:
        false_alarms = np.maximum(false_alarms - ~first_of_alarm[start], 0)
    opens, earliest = (times[rows.alarm][start] for times in windows.next_of(rows.asset))
    ends = seconds[np.append(start[1:], len(seconds)) - 1]
    detects = (ends >= opens) & (seconds[start] >= earliest)
    return Episodes(asset[start], seconds[start], np.where(detects, 0, false_alarms), position[start], start)


def _failures(rows: ScoredRows, windows: FailureWindows, episodes: Episodes) -> Failures:
    """The failures that count, by asset and time, and by which alarm row each was detected first."""
    counts = windows.counts
    opens, earliest, reference = windows.opens[counts], windows.earliest[counts], windows.seconds[counts]
    first, end = windows.first[counts], windows.end[counts]
    position = rows.position[first] if len(rows.position) else first
    at = np.flatnonzero(rows.alarm)
    alarm, last = np.searchsorted(at, first), np.searchsorted(at, end)
    if not len(at):
        return Failures(
            windows.asset[counts],
            reference,
            np.full(len(first), np.nan),
            np.zeros(len(first), bool),
            np.zeros(len(first), bool),
            position,
        )
    of = np.searchsorted(episodes.start, np.minimum(alarm, len(at) - 1), side="right") - 1
    # Of the episodes in a window, only the first can have begun too early: the second begins inside.
    too_early = (alarm < last) & (episodes.seconds[of] < earliest)
    following = np.append(episodes.start, len(at))[of + 1]
    early = (alarm < last) & ~too_early & (episodes.seconds[of] < opens)
    alarm = np.where(too_early, following, alarm)
    found = alarm < last
    seconds = rows.seconds[at[np.minimum(alarm, len(at) - 1)]]
    notice = np.where(found, np.abs(reference - seconds), np.nan)
    return Failures(windows.asset[counts], reference, notice, early, too_early & ~found, position)


def _alarms(rows: ScoredRows, episodes: Episodes, first_of_alarm: Bools) -> Alarms:
    start = np.flatnonzero(first_of_alarm)
    if not len(start):
        return Alarms(start, np.empty(0, dtype=np.bool_), start, start)
    is_false = np.logical_or.reduceat(episodes.false_alarms > 0, np.searchsorted(episodes.start, start))
    return Alarms(rows.asset[rows.alarm][start], is_false, rows.position[rows.alarm][start], start)
