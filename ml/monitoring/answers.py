"""Answers of operators matched to the alarms of the published model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Int64s
from ml.findings import Finding
from ml.ingest.failures.answers import FIELD, Answers, Verdict
from ml.monitoring.alarms import Alarms
from ml.wording import listed, plural


@dataclass(frozen=True)
class Matched:
    """The last answer to each alarm, (n_alarms,), and what became of all answers."""

    verdict: Int64s
    counts: dict[str, int]


def match_answers(answers: Answers, alarms: Alarms, *, since: int, until: int, within: int, horizon: int) -> Matched:
    """Give each alarm its last answer.

    An answer belongs to the alarm of its asset that lasts at its time, or else to the nearest one at most `within`
    seconds away; of two equally near the earlier. What was answered at `until` or later is not known yet.

    Parameters
    ----------
    since, until
        Epoch seconds between which the alarms lie. Answers to alarms before are about another version.
    """
    table = answers.table
    given = table[table["answered"] < until]
    ours = given[given["time"] >= since - within]
    of_alarm = _alarm_of(ours, alarms, within)
    belongs = of_alarm >= 0
    alarm, verdict = of_alarm[belongs], ours["verdict"].to_numpy()[belongs]
    last = np.full(len(alarms.start), Verdict.NONE, dtype=np.int64)
    last[alarm] = verdict  # of several values for one place, numpy keeps the last
    decided = np.isin(verdict, (Verdict.CONFIRMED, Verdict.DISMISSED))
    both = set(alarm[verdict == Verdict.CONFIRMED].tolist()) & set(alarm[verdict == Verdict.DISMISSED].tolist())
    late = ours["answered"].to_numpy()[belongs] > alarms.end[alarm] + horizon
    return Matched(
        last,
        {
            "given": len(given),
            "beforeLive": len(given) - len(ours),
            "withoutAlarm": int((~belongs).sum()),
            "matched": int(belongs.sum()),
            "repeated": len(alarm) - len(np.unique(alarm)),
            "contradicting": len(both),
            "late": int((late & decided).sum()),
        },
    )


def findings_of(matched: Matched, answers: Answers) -> list[Finding]:
    """What is odd about answers of which not one belongs to an alarm."""
    ours = matched.counts["given"] - matched.counts["beforeLive"]
    if not ours or matched.counts["matched"]:
        return []
    names = listed([str(name) for name in answers.table["asset"].unique()])
    message = f"None of {plural(ours, 'answer')} belongs to an alarm of the published version; they name {names}."
    hint = f"check {FIELD}.assets, the time zone of the answers, and whether they are about this model"
    return [Finding("ANSWERS_WITHOUT_ALARM", message, FIELD, hint)]


def _alarm_of(answers: pd.DataFrame, alarms: Alarms, within: int) -> Int64s:
    """Which alarm each answer belongs to, (n_answers,); -1 for none."""
    found = np.full(len(answers), -1, dtype=np.int64)
    time, far = answers["time"].to_numpy(dtype=np.int64), np.iinfo(np.int64).max
    alarms_of = pd.Series(alarms.asset).groupby(alarms.asset).indices
    for name, mine in answers.groupby("asset").indices.items():
        own = alarms_of.get(name)
        if own is None:
            continue
        start, end, at = alarms.start[own], alarms.end[own], time[mine]
        following = np.searchsorted(start, at, side="right")
        before, after = np.maximum(following - 1, 0), np.minimum(following, len(own) - 1)
        gap_before = np.where(following > 0, np.maximum(at - end[before], 0), far)
        gap_after = np.where(following < len(own), start[after] - at, far)
        nearest = np.where(gap_before <= gap_after, before, after)
        close = np.minimum(gap_before, gap_after) <= within
        found[mine[close]] = own[nearest[close]]
    return found
