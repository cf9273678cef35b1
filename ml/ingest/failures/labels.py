"""From the target on the grid to what a model learns: failure events, and whether one starts within the horizon.

A **failure event** is a run of consecutive grid rows of one asset with target 1, also across a gap in the rows; a row
with unknown target ends the run. Its **onset** is its first row. With a horizon of H seconds, the row at ``t`` is

============= ================================================================================ =======
status        when (the first that holds)                                                      label
============= ================================================================================ =======
``in_failure``  target 1 (unless such rows are to be positive: then ``labelled``)              -1 (1)
``unknown``     target unknown                                                                 -1
``recovery``    at most ``recovery_seconds`` after the last row of an event                    -1
``labelled``    observed until ``t + H``, and an onset lies in ``(t, t + H]``                  1
``labelled``    observed until ``t + H``, and none does                                        0
``censored``    otherwise: a failure may have come unseen                                      -1
============= ================================================================================ =======

**Observed** are the rows with known target that follow without a break. The rule is the same for both classes: were
rows before a pause positive where a failure follows but never negative, machines with many pauses would seem to fail
all the time. Two breaks hide nothing and end the observation of a failure that was seen before them: a pause or an
unknown target that begins inside a failure, as of a machine that stops when it fails, and the end of the asset's rows.
An onset behind a pause was not seen: nobody knows when in the pause the failure began. An asset of which no row is
observed until ``t + H`` has no label at all, as none of its rows could ever be negative.

With a **list** of events, what is not in it was healthy: pauses do not end the observation, only the asset's last row
does. Each event of the list is one failure event, and its onset has a row even where there are no readings. Rows
without readings have no label.

What **prevents** a failure ends the observation, too, and so does the start of downtime: a row is labelled only if
nothing of the kind comes until ``t + H``, or if an onset comes first.

Where answers to alarms are learned from, rows near a **confirmed** alarm are censored if their label would be 0.

H = 0 is detection: the label is the target wherever that is known.

Rows while the machine is off have the status ``off`` and no label, unless they are ``in_failure`` or ``unknown``. That
takes them out afterwards: it ends no observation, no event and no window, so every other row is as it would be.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.ingest.prepared.label_columns import MODES, STATUSES, status_names

NO_LABEL = -1
NO_EVENT = -1
_NEVER = np.iinfo(np.int64).max
_LABELLED, _CENSORED, _IN_FAILURE, _RECOVERY, _UNKNOWN, _OFF = range(len(STATUSES))
_MICROSECONDS = 1_000_000

# Columns of what is known beside the readings, under names that no sensor can have.
EPISODE = "\x1fepisode"
"""Number of the listed event in which a row lies, -1 outside; with this column, failures are known from a list."""
UNSEEN = "\x1funseen"
"""Whether a row stands for an onset without readings."""
UNTIL = "\x1funtil"
"""Instant (seconds) after each row at which its observation ends without a failure."""
DOUBTED = "\x1fdoubted"
"""Whether a failure may have been prevented near a row: it is no healthy example then."""
KNOWN = (MODES, EPISODE, UNSEEN, UNTIL, DOUBTED)
"""All of them."""

Codes = npt.NDArray[np.int8]


def label_grid(
    grid: pd.DataFrame,
    *,
    interval: int,
    horizon: int,
    during_failure: Literal["exclude", "positive"] = "exclude",
    recovery_seconds: int = 0,
    off: Bools | None = None,
) -> pd.DataFrame:
    """Add events and labels to a grid.

    Parameters
    ----------
    grid
        As `ml.grid.regular.to_grid` gives it. Its columns ``target`` and ``label`` (0, 1, NaN) may be there. A
        ``label`` is taken as it is and nothing is derived; the events are then runs of the target, or without a
        target runs of label 1.
    interval, horizon, recovery_seconds
        Seconds.
    during_failure
        Whether rows with target 1 are left out or positive (only with a horizon).
    off
        (n_rows,), true while the machine is off. Default: nobody says when it is.

    Returns
    -------
    pandas.DataFrame
        The grid with, in its last columns, ``target`` (int8: 1, 0, -1 unknown), ``event`` (int32: number of the
        failure event, -1 outside), ``label`` (int8: 1, 0, -1 none) and ``status`` (categorical of `STATUSES`).
    """
    rows = _Rows(grid, interval)
    target = _codes(grid, "target")
    given = _codes(grid, "label") if "label" in grid.columns else None
    failed = target == 1 if given is None or "target" in grid.columns else given == 1
    starts = _run_starts(rows.asset, failed, rows.episode)
    event = np.where(failed, np.cumsum(starts) - 1, NO_EVENT).astype(np.int32)
    if given is not None:
        label, status = _as_known(given)
    elif horizon == 0:
        label, status = _as_known(target)
    else:
        label, status = _look_ahead(rows, target, starts, horizon, during_failure == "positive", recovery_seconds)
    if UNSEEN in grid.columns:
        blind = grid[UNSEEN].to_numpy() & (status == _LABELLED)
        label, status = np.where(blind, NO_LABEL, label).astype(np.int8), np.where(blind, _IN_FAILURE, status)
    if DOUBTED in grid.columns:
        doubted = grid[DOUBTED].to_numpy() & (label == 0)
        label, status = np.where(doubted, NO_LABEL, label).astype(np.int8), np.where(doubted, _CENSORED, status)
    if off is not None:
        label = np.where(off, NO_LABEL, label).astype(np.int8)
        status = np.where(off & ~np.isin(status, (_IN_FAILURE, _UNKNOWN)), _OFF, status).astype(np.int8)
    columns = {
        "target": target,
        "event": event,
        "label": label,
        "status": pd.Categorical.from_codes(status, categories=status_names(with_off=off is not None)),
        **({MODES: grid[MODES]} if MODES in grid.columns else {}),
    }
    return grid.drop(columns=["target", "label", *KNOWN], errors="ignore").assign(**columns)


class _Rows:
    """Asset code and time (seconds) of each grid row, and where the rows of an asset follow without a break."""

    def __init__(self, grid: pd.DataFrame, interval: int) -> None:
        self.asset: Int64s = pd.factorize(grid["asset_id"])[0].astype(np.int64)
        micros: Int64s = grid["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64)
        self.time = micros // _MICROSECONDS  # grid instants are whole seconds
        self.follows = np.zeros(len(grid), dtype=bool)  # the row before is the same asset's, one interval earlier
        self.follows[1:] = (np.diff(self.asset) == 0) & (np.diff(self.time) == interval)
        self.episode: Int64s | None = grid[EPISODE].to_numpy() if EPISODE in grid.columns else None
        self.until: Int64s = grid[UNTIL].to_numpy() if UNTIL in grid.columns else np.full(len(grid), _NEVER)


def _as_known(flags: Codes) -> tuple[Codes, Codes]:
    return flags, np.where(flags == NO_LABEL, _UNKNOWN, _LABELLED).astype(np.int8)


def _look_ahead(
    rows: _Rows, target: Codes, starts: Bools, horizon: int, failed_is_positive: bool, recovery_seconds: int
) -> tuple[Codes, Codes]:
    failed, known = target == 1, target != NO_LABEL
    end = _observed_until(rows, known)
    positive = _onset_seen(rows, starts, end, horizon)
    last_of_asset = np.append(np.diff(rows.asset) != 0, True)
    in_sight = rows.time + horizon <= rows.time[end]
    whole = in_sight & (rows.time + horizon < rows.until)
    may_end = np.bincount(rows.asset[whole & known & ~failed], minlength=int(rows.asset.max(initial=-1)) + 1) > 0
    ends_well = (failed[end] | last_of_asset[end]) & may_end[rows.asset]
    observed = whole | (positive & (in_sight | ends_well))
    inside = np.full(len(target), _LABELLED if failed_is_positive else _IN_FAILURE)
    status = np.select(
        [failed, ~known, _recovering(rows, failed, recovery_seconds), observed],
        [inside, _UNKNOWN, _RECOVERY, _LABELLED],
        default=_CENSORED,
    ).astype(np.int8)
    label = np.where(status == _LABELLED, positive | failed, NO_LABEL).astype(np.int8)
    return label, status


def _onset_seen(rows: _Rows, starts: Bools, end: Int64s, horizon: int) -> Bools:
    """Whether the next onset comes at most `horizon` seconds after the row, and while it is observed."""
    onsets = np.flatnonzero(starts)
    if len(onsets) == 0:
        return np.zeros(len(starts), dtype=bool)
    following = np.searchsorted(onsets, np.arange(len(starts)), side="right")
    onset = onsets[np.minimum(following, len(onsets) - 1)]
    found: Bools = (following < len(onsets)) & (onset <= end)
    found &= (rows.time[onset] - rows.time <= horizon) & (rows.time[onset] <= rows.until)
    return found


def _observed_until(rows: _Rows, known: Bools) -> Int64s:
    """Position of the last row up to which rows with known target follow the row without a break.

    Of a list nothing is hidden until the asset's last row, and downtime is in `_Rows.until`.
    """
    goes_on = rows.follows.copy()
    goes_on[1:] &= known[1:] & known[:-1]
    if rows.episode is not None:
        goes_on[1:] = np.diff(rows.asset) == 0
    starts = np.flatnonzero(~goes_on)
    lengths = np.diff(np.append(starts, len(known)))
    return np.repeat(starts + lengths - 1, lengths)


def _recovering(rows: _Rows, failed: Bools, recovery_seconds: int) -> Bools:
    """Whether the last failed row of the row's asset is at most `recovery_seconds` before it."""
    latest = np.maximum.accumulate(np.where(failed, np.arange(len(failed)), -1))
    after: Bools = ~failed & (latest >= 0) & (rows.asset[latest] == rows.asset)
    after &= rows.time - rows.time[latest] <= recovery_seconds
    return after


def _run_starts(asset: Int64s, failed: Bools, episode: Int64s | None) -> Bools:
    """Where runs of failed rows begin within each asset; of a list, where its events do."""
    starts = failed.copy()
    goes_on = failed[:-1] & (np.diff(asset) == 0)
    if episode is not None:
        goes_on &= np.diff(episode) == 0
    starts[1:] &= ~goes_on
    return starts


def _codes(grid: pd.DataFrame, name: str) -> Codes:
    """A two-state column as 1, 0 and -1 for unknown; all unknown if the grid has no such column."""
    if name not in grid.columns:
        return np.full(len(grid), NO_LABEL, dtype=np.int8)
    values = grid[name].to_numpy()
    return np.where(np.isnan(values), NO_LABEL, values == 1).astype(np.int8)
