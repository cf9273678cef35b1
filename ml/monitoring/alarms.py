"""Alarms of a published model, and what the record of failures says of each.

An alarm row is one with label 1 of the model. Rows inside a failure, in its recovery, and while the machine is off are
none: what is known already is no prediction. Alarm rows of an asset that are at most the spacing apart are one alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.learning.events.failures import epoch_seconds, onsets

_KNOWN_ALREADY = ("in_failure", "recovery", "off")
_NOWHERE = 1 << 62  # seconds; sums of two stay within int64


class Outcome(IntEnum):
    """What the record of failures says of an alarm."""

    OPEN = 0
    """Nothing yet, or nothing certain: rows of it are censored or unknown."""
    FOLLOWED = 1
    """The failure that it announced came."""
    NOT_FOLLOWED = 2
    """No failure came within the horizon of any of its rows, or it had begun more than twice the horizon before."""


@dataclass(frozen=True)
class Alarms:
    """Alarms by asset and time; every array has shape (n_alarms,), times are epoch seconds."""

    asset: npt.NDArray[Any]
    start: Int64s
    end: Int64s
    """The last alarm row."""
    outcome: Int64s
    """`Outcome` of each."""


def find_alarms(frame: pd.DataFrame, alarm: Bools, *, horizon: int, spacing: int) -> Alarms:
    """The alarms among the rows of a labelled grid frame, of which `alarm` (n_rows,) tells the rows with label 1.

    Parameters
    ----------
    horizon, spacing
        Seconds. A horizon of 0 is detection: an alarm is followed if it holds a row of a failure, and began at most the
        spacing before the first such row.
    """
    known = frame["status"].isin(_KNOWN_ALREADY).to_numpy(dtype=np.bool_)
    inside = known | (frame["event"].to_numpy() >= 0) if horizon else known
    at = np.flatnonzero(alarm & ~inside)
    codes, names = pd.factorize(frame["asset_id"])
    seconds, code = epoch_seconds(frame["timestamp"])[at], codes[at].astype(np.int64)
    begins = np.ones(len(at), dtype=np.bool_)
    begins[1:] = (np.diff(code) != 0) | (np.diff(seconds) > spacing)
    first = np.flatnonzero(begins)
    if not len(first):
        return Alarms(np.array([], dtype=object), first, first, first)
    start, end = seconds[first], seconds[np.append(first[1:], len(at)) - 1]
    label = frame["label"].to_numpy()[at]
    hit = np.minimum.reduceat(np.where(label == 1, seconds, _NOWHERE), first)
    if horizon:
        announced = _next_onset(frame, names, code[first], hit)
        followed = (hit < _NOWHERE) & (start >= announced - 2 * horizon)
    else:
        followed = (hit < _NOWHERE) & (hit - start <= spacing)
    decided = np.logical_and.reduceat(label >= 0, first)
    last_zero = np.maximum.reduceat(np.where(label == 0, seconds, -_NOWHERE), first)
    decided |= (last_zero - start > horizon) & (horizon > 0)
    outcome = np.select([followed, decided], [Outcome.FOLLOWED, Outcome.NOT_FOLLOWED], default=Outcome.OPEN)
    return Alarms(np.asarray(names, dtype=object)[code[first]], start, end, outcome.astype(np.int64))


def _next_onset(frame: pd.DataFrame, names: pd.Index, code: Int64s, after: Int64s) -> Int64s:
    """Epoch second of each asset's first failure that starts after the given one; the largest number if none does."""
    events = onsets(frame)
    of_asset = names.get_indexer(events["asset_id"])
    following = np.full(len(code), _NOWHERE, dtype=np.int64)
    for each in np.unique(code):
        times = np.append(np.sort(events["timestamp"].to_numpy()[of_asset == each]), _NOWHERE)
        mine = code == each
        following[mine] = times[np.searchsorted(times[:-1], after[mine], side="right")]
    return following
