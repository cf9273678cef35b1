"""Rows in alarm as alerts, and what happens to alerts as rows come."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import DataError
from ml.predict.alert_tracker import AlertTracker
from ml.predict.alerts import Alert, Reason, ScoredRow, TimeToFailure, scored_rows
from tests.reference.alerts import lives

START = pd.Timestamp("2024-01-01T00:00Z")
MINUTE = 60
PROBABILITIES = [0.25, 0.5, 0.75, 1.0]


def at(minutes: int) -> pd.Timestamp:
    return START + pd.Timedelta(minutes=minutes)


def alarm(asset: str, minutes: int, probability: float = 0.5, component: str | None = None) -> ScoredRow:
    return ScoredRow(asset, at(minutes), True, probability, component, None if component is None else 0.9)


def quiet(asset: str, minutes: int) -> ScoredRow:
    return ScoredRow(asset, at(minutes), alarm=False)


def kinds(events) -> list[tuple[str, str | None]]:
    return [(event.kind, event.alert.component) for event in events]


@st.composite
def histories(draw) -> list[ScoredRow]:
    """Rows of up to two assets, those of each in order of time, with pauses."""
    minutes = dict.fromkeys("ab", 0)
    rows = []
    for asset in draw(st.lists(st.sampled_from("ab"), max_size=40)):
        minutes[asset] += draw(st.integers(1, 4))
        if draw(st.booleans()):
            component = draw(st.sampled_from(["heater", "fan"]))
            rows.append(alarm(asset, minutes[asset], draw(st.sampled_from(PROBABILITIES)), component))
        else:
            rows.append(quiet(asset, minutes[asset]))
    return rows


@settings(max_examples=200, deadline=None)
@given(rows=histories(), cooldown=st.integers(1, 6))
def test_alerts_are_those_of_the_definition_however_the_rows_come(rows: list[ScoredRow], cooldown: int) -> None:
    whole = AlertTracker(cooldown * MINUTE)
    events = whole.take(rows)
    single, one_by_one = AlertTracker(cooldown * MINUTE), []
    for row in rows:
        single = AlertTracker.from_json(json.loads(json.dumps(single.to_json())))
        one_by_one += single.take([row])
        assert single.take([row]) == [], "a row that comes again changes nothing"
    assert one_by_one == events
    assert single.to_json() == whole.to_json()

    ended = [event.alert for event in events if event.kind == "end"] + whole.close()
    found = [(each.asset, each.component, each.start, each.end, each.peak, each.probability) for each in ended]
    assert sorted(found, key=lambda life: (life[0], life[2], life[1] or "")) == lives(rows, cooldown * MINUTE)
    assert [event.alert.start for event in events if event.kind == "start"] == [
        event.time for event in events if event.kind == "start"
    ]


def test_an_alert_begins_rises_and_is_over_once_the_cool_down_has_passed():
    tracker = AlertTracker(5 * MINUTE)
    assert kinds(tracker.take([alarm("a", 0, 0.5)])) == [("start", None)]
    assert tracker.take([alarm("a", 1, 0.5)]) == [], "no higher: nothing to tell"
    (risen,) = tracker.take([alarm("a", 2, 0.9)])
    assert (risen.kind, risen.alert.start, risen.alert.peak, risen.alert.probability) == ("update", at(0), at(2), 0.9)
    assert tracker.take([alarm("a", 4, 0.6), quiet("a", 9)]) == [], "five minutes are not over"
    (over,) = tracker.take([quiet("a", 10)])
    assert (over.kind, over.time, over.alert.end, over.alert.probability) == ("end", at(10), at(4), 0.9)
    assert tracker.open == []


def test_another_component_is_another_alert_and_the_first_goes_on():
    tracker = AlertTracker(5 * MINUTE)
    events = tracker.take([alarm("a", 0, 0.5, "fan"), alarm("a", 1, 0.6, "heater"), alarm("a", 2, 0.7, "fan")])
    assert kinds(events) == [("start", "fan"), ("start", "heater"), ("update", "fan")]
    assert kinds(tracker.take([alarm("a", 7, 0.5, "fan")])) == [("end", "heater")]


def test_the_time_to_failure_is_that_of_the_newest_row():
    tracker = AlertTracker(5 * MINUTE)
    tracker.take([replace(alarm("a", 0, 0.9), time_to_failure=TimeToFailure(9.0, 9.0, 9.0))])
    tracker.take([replace(alarm("a", 1, 0.6), time_to_failure=TimeToFailure(1.0, 2.0, 3.0))])
    (alert,) = tracker.open
    assert (alert.peak, alert.time_to_failure) == (at(0), TimeToFailure(1.0, 2.0, 3.0))


def test_the_clock_ends_alerts_of_assets_that_send_nothing_any_more():
    tracker = AlertTracker(5 * MINUTE)
    tracker.take([alarm("a", 0), alarm("b", 3)])
    assert tracker.advance(at(5)) == []
    assert [(event.kind, event.alert.asset) for event in tracker.advance(at(6))] == [("end", "a")]
    assert [alert.asset for alert in tracker.open] == ["b"]


def test_an_alert_is_read_back_as_it_was_written():
    times = TimeToFailure(60.0, 120.0, float("inf"))
    written = Alert("a", "fan", at(0), at(2), at(1), 0.5, 0.25, (Reason("heat", 1.5),), "v1", times)
    assert Alert.from_json(json.loads(json.dumps(written.to_json()))) == written
    assert written.to_json()["start"] == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"formatVersion": 2, "cooldownSeconds": 1, "open": [], "seen": {}},
        {"formatVersion": 1, "cooldownSeconds": "soon", "open": [], "seen": {}},
        {"formatVersion": 1, "cooldownSeconds": 1, "open": [{"asset": "a"}], "seen": {}},
        {"formatVersion": 1, "cooldownSeconds": 1, "open": [], "seen": {"a": "yesterday or so"}},
        {"formatVersion": 1, "cooldownSeconds": 1, "open": [], "seen": {"a": "2024-01-01T00:00:00"}},
        {"formatVersion": 1, "cooldownSeconds": 1, "open": [], "seen": {"a": None}},
        {"formatVersion": 1, "cooldownSeconds": 1, "open": [], "seen": ["a"]},
    ],
)
def test_what_is_no_state_is_refused(state):
    with pytest.raises(DataError, match="no state of an alert tracker"):
        AlertTracker.from_json(state)


def test_alarm_rows_of_a_table_have_component_and_reasons():
    scored = pd.DataFrame(
        {
            "asset_id": ["a", "a", "b"],
            "timestamp": [at(0), at(1), at(1)],
            "probability": [0.1, 0.9, 0.8],
            "label": [0, 1, 1],
        }
    )
    modes = pd.DataFrame({"fan": [0.25, 0.5], "heater": [0.75, 0.5]}, dtype="float32")
    reasons = pd.DataFrame({"heat": [2.0, -1.0], "oil": [3.0, 0.2], "load": [-4.0, 0.0]})
    times = pd.DataFrame({"p10": [9.5, 1.0], "p50": [200.4, 2.0], "p90": [np.inf, 3.0]}, dtype="float32")
    first, second, third = scored_rows(scored, modes, reasons, times, version="v1")
    assert second.as_alert().to_json()["timeToFailure"] == {"p10": 10, "p50": 200, "p90": None}
    assert not first.alarm
    assert (second.component, second.component_probability) == ("heater", 0.75)
    assert [each.sensor for each in second.reasons] == ["oil", "heat"], "what lowered the score is no reason"
    assert (third.component, [each.sensor for each in third.reasons]) == ("fan", ["oil"]), "of equal ones the first"
    (without, _) = (row for row in scored_rows(scored, None, None, version="v1") if row.alarm)
    assert (without.component, without.component_probability, without.reasons) == (None, None, ())
