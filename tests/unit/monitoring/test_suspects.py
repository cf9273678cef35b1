from __future__ import annotations

import numpy as np
import pandas as pd

from ml.monitoring.suspects import suspects
from tests.unit.monitoring.frames import BEGIN, HOUR, labelled

THRESHOLD = 0.5


def found(label: str, event: str, score: str) -> list[tuple[str, int, int]]:
    """Kind, first and last hour of each proposal; scores in tenths, a blank for none. The horizon is four hours."""
    values = np.array([np.nan if each == " " else int(each) / 10 for each in score], dtype=np.float32)
    frame = labelled(label, event=event)
    table = suspects(frame, values, THRESHOLD, horizon=4 * HOUR, interval=HOUR, spacing=HOUR)
    recorded = table[table["source"] == "recorded"]
    assert len(recorded) == frame["event"].max() + 1
    assert (recorded["finding"] == "").all()
    proposed = table[table["source"] == "proposed"]
    return [(kind, hour(start), hour(end)) for kind, start, end in proposed[["finding", "start", "end"]].to_numpy()]


def hour(text: str) -> int:
    return (int(pd.Timestamp(text).timestamp()) - BEGIN) // HOUR


def test_a_failure_announced_as_it_should_be_is_not_suspicious() -> None:
    assert found("0000000001111...00", "-------------xx---", "112111111178  1111") == []


def test_an_alarm_that_stands_long_before_the_failure() -> None:
    got = found("0000000000001111..00", "----------------xx--", "1118888888888888  11")
    assert got == [("ONSET_EARLIER", 7, 17)]  # the alarm begins in hour 3


def test_an_alarm_only_after_the_failure() -> None:
    assert found("0001111..000000", "-------xx------", "1121322  179111") == [("ONSET_LATER", 10, 11)]


def test_a_failure_that_looks_like_none() -> None:
    assert found("0000001111..000000", "----------xx------", "323334101111233333"[:18]) == [("LOOKS_HEALTHY", 10, 11)]


def test_a_failure_that_begins_when_another_has_just_ended() -> None:
    got = found("001111..1..000", "------xx-xx---", "11138 8 8  111"[:14])
    assert got == [("REPEATED", 6, 10)]


def test_a_quiet_stretch_that_looks_like_a_failure() -> None:
    label, event = "0000000000" + "0001111.." + "000", "-" * 17 + "xx" + "-" * 3
    got = found(label, event, "1119999111" + "11118811 " + "  1"[:3])
    assert got == [("LOOKS_LIKE_FAILURE", 6, 6)]
    short = found(label, event, "1119111111" + "11118811 " + "  1")
    assert short == []


def test_without_scores_nothing_is_proposed() -> None:
    assert found("0000001111..000000", "----------xx------", " " * 18) == []
