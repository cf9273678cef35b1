"""What operators answered to alarms, read as a list of events is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd

from ml.cleaning.refusals import words_seen
from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.findings import Finding
from ml.ingest.failures.event_table import read_events
from ml.options.failures import FeedbackTable, canonical
from ml.wording import plural

FIELD = "feedbackConfig"
_MICROSECONDS = 1_000_000


class Verdict(IntEnum):
    """What the last answer to an alarm says; `NONE` where there is no answer."""

    NONE = 0
    UNKNOWN = 1
    CONFIRMED = 2
    DISMISSED = 3


@dataclass(frozen=True)
class Answers:
    """All answers in the order in which they were given, of whichever alarms.

    ``table`` has ``asset`` (text), ``time`` of the alarm, ``answered`` (the time of the alarm where the table has no
    other; both epoch seconds), ``verdict`` (`Verdict`) and ``mode``.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...] = ()


def read_answers(config: OrganizationConfig, feedback: FeedbackTable) -> Answers:
    """The answers in the organisation's table or file.

    Raises
    ------
    MissingColumnError, DataError, SourceError, ConfigError, IsolationError
        As `ml.ingest.failures.event_table.read_events`; also DataError if no answer is in the lists of words.
    """
    listed = read_events(config, feedback, FIELD, before=None)
    events = listed.events
    meaning = {canonical(""): Verdict.UNKNOWN} | {
        canonical(word): verdict
        for verdict, words in (
            (Verdict.CONFIRMED, feedback.confirmed),
            (Verdict.DISMISSED, feedback.dismissed),
            (Verdict.UNKNOWN, feedback.unknown),
        )
        for word in words
    }
    text = events["verdict"].map(canonical)
    strange = ~text.isin(list(meaning)).to_numpy(dtype=np.bool_)
    if len(events) and strange.all():
        raise DataError(
            f"no answer of {listed.where} is a word that is known: it holds "
            f"{words_seen(dict(events['verdict'].value_counts()))}",
            field=f"{FIELD}.confirmed",
            hint=f"name its words in {FIELD}.confirmed and {FIELD}.dismissed",
        )
    table = pd.DataFrame(
        {
            "asset": events["asset"],
            "time": events["start"] // _MICROSECONDS,
            "answered": events["end"] // _MICROSECONDS,
            "verdict": text.map(meaning).fillna(Verdict.UNKNOWN).astype(np.int64),
            "mode": events["mode"],
        }
    ).sort_values("answered", kind="stable", ignore_index=True)
    counts, told = listed.counts, []
    for number, what, key in (
        (counts.without_start, "no time of the alarm that can be read, and were left out", "alarmColumn"),
        (counts.without_asset, "no name of an asset, and were left out", "assetColumn"),
        (counts.unreadable_ends, "a time of the answer that cannot be read", "answeredColumn"),
        (counts.end_before_start, "an answer before the alarm, and count as answered at once", "answeredColumn"),
        (int(strange.sum()), "a word that is in no list, and count as unknown", "verdictColumn"),
    ):
        if number:
            message = f"{plural(number, 'row')} of {listed.where} have {what}."
            told.append(Finding("ANSWERS_INCOMPLETE", message, f"{FIELD}.{key}"))
    if counts.local_times and feedback.timezone is None and config.data_config.timezone is None:
        message = f"{plural(counts.local_times, 'time')} of {listed.where} without a zone were read as UTC."
        told.append(Finding("EVENT_TIMEZONE_UNKNOWN", message, f"{FIELD}.timezone", f"set {FIELD}.timezone"))
    return Answers(table, tuple(told))
