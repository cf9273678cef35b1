"""Whether failures are called by their right name: the mode that a model names at the alarm rows of each failure.

Alarm rows of a failure are those that detect it: from the first that counts to its onset; of a detection, to the end of
its run. A row names its likeliest mode. A failure can begin in several modes; naming one of them is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml.arrays import Bools, Float32s, Int64s
from ml.learning.events.detection import Events
from ml.learning.events.failures import positive_runs

MISSED = "missed"
WAYS = ("atFirstRow", "atHighestRow", "atSomeRow")


def naming_metrics(
    events: Events, modes: Sequence[Sequence[str]], probability: Float32s, given: Float32s, names: Sequence[str]
) -> dict[str, Any]:
    """How failures were named.

    Parameters
    ----------
    events
        Failures and alarms, as from `ml.learning.events.detection.find_events`.
    modes
        Of each failure, in the order of ``events.failures``; one without a mode is left out.
    probability, given
        Of the rows that were given to `find_events`: of a failure, (n_rows,), and of each mode, (n_rows, n_modes).
    names
        Of the modes, in the order of the columns.

    Returns
    -------
    dict
        For JSON. ``failures``, ``detected``; ``namedAtFirstRow``, ``namedAtHighestRow``, ``namedAtSomeRow``: shares of
        the detected named right at their first alarm row, at the one of highest probability, and at any; None without
        a detected one. ``perMode``: counts by mode, ``wrongly`` those never named right, a failure of several modes
        counting for each. ``confusion``: mode -> how often it was named what at the highest row, or ``missed``.
    """
    named = [names[mode] for mode in given.argmax(axis=1)] if len(given) else []
    keys = ("failures", "detected", *WAYS, "wrongly", MISSED)
    per_mode = {name: dict.fromkeys(keys, 0) for name in names}
    confusion = {name: dict.fromkeys((*names, MISSED), 0) for name in names}
    total = dict.fromkeys(keys, 0)
    for own, rows in zip(modes, _alarm_rows(events), strict=True):
        if not own:
            continue
        found = _found([named[row] for row in rows], probability[rows], own)
        for counts in (total, *(per_mode[mode] for mode in own)):
            for key, happened in found.items():
                counts[key] += happened
        for mode in own:
            confusion[mode][_called(mode, own, rows, named, probability)] += 1
    shares = {f"named{way[0].upper()}{way[1:]}": _share(total[way], total["detected"]) for way in WAYS}
    counted = {key: total[key] for key in ("failures", "detected", "wrongly", MISSED)}
    return {**counted, **shares, "perMode": per_mode, "confusion": confusion}


def confusion_matrix(confusion: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[str], Int64s]:
    """Names of rows and columns and the counts (n_rows, n_columns) of ``confusion``."""
    columns = list(next(iter(confusion.values()), {}))
    counts = np.array([[row[name] for name in columns] for row in confusion.values()], dtype=np.int64)
    return list(confusion), columns, counts


def _found(named: Sequence[str], probability: Float32s, own: Sequence[str]) -> dict[str, bool]:
    """What happened to a failure of the modes `own`, by the names at its alarm rows."""
    right = [name in own for name in named]
    detected = bool(right)
    return {
        "failures": True,
        "detected": detected,
        "atFirstRow": detected and right[0],
        "atHighestRow": detected and right[int(np.argmax(probability))],
        "atSomeRow": any(right),
        "wrongly": detected and not any(right),
        MISSED: not detected,
    }


def _called(mode: str, own: Sequence[str], rows: Int64s, named: Sequence[str], probability: Float32s) -> str:
    """What a failure was named at its highest row; of several modes each is right where one of them is named."""
    if not len(rows):
        return MISSED
    name = named[int(rows[np.argmax(probability[rows])])]
    return mode if name in own else name


def _alarm_rows(events: Events) -> list[Int64s]:
    """The alarm rows of each failure, in order of time, as places among the rows that were given."""
    rows, failures = events.rows, events.failures
    runs = positive_runs(rows.asset, rows.positive.astype(np.int8))
    found = []
    for asset, onset, notice in zip(failures.asset, failures.seconds, failures.notice, strict=True):
        if np.isnan(notice):
            found.append(np.empty(0, dtype=np.int64))
            continue
        own: Bools = rows.alarm & rows.positive & (rows.asset == asset)
        if events.horizon > 0:
            own &= (rows.seconds >= onset - notice) & (rows.seconds < onset)
        else:
            run = runs[(rows.asset == asset) & (rows.seconds == onset)]
            own &= np.isin(runs, run) & (rows.seconds >= onset + notice)
        found.append(rows.position[own])
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
