from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds, onsets
from ml.learning.events.metrics import event_metrics
from ml.options.costs import MaintenanceCosts
from tests.reference import events as reference
from tests.unit.learning.grid_frames import grid_frame
from tests.unit.learning.strategies import INTERVAL, labelled_frames

COSTS = MaintenanceCosts(missed_failure=50.0, false_alarm=3.0, inspection=1.5)
NO_ONSETS = pd.DataFrame({"asset_id": [], "timestamp": np.empty(0, dtype=np.int64)})


def measure(
    frame: pd.DataFrame,
    probability: np.ndarray,
    *,
    horizon: int,
    cooldown: int = 0,
    threshold: float = 0.5,
    costs: MaintenanceCosts | None = None,
) -> dict[str, Any]:
    events = find_events(
        frame["asset_id"],
        epoch_seconds(frame["timestamp"]),
        frame["label"],
        probability,
        onsets(frame),
        threshold=threshold,
        horizon=horizon,
        cooldown=cooldown,
        interval=INTERVAL,
    )
    return event_metrics(events, costs)


def alarms_at(frame: pd.DataFrame, *rows: int) -> np.ndarray:
    probability = np.zeros(len(frame))
    probability[list(rows)] = 0.9
    return probability


@given(labelled_frames(), st.integers(0, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=int(os.environ.get("EAGLE_HISTORIES", "250")), deadline=None, derandomize=True)
def test_counts_equal_the_loops(case: tuple[pd.DataFrame, int], cooldown_steps: int, seed: int) -> None:
    frame, horizon = case
    rng = np.random.default_rng(seed)
    probability = np.round(rng.random(len(frame)) ** rng.choice([0.25, 1, 2]), 1)  # alarms that last, and few
    threshold, cooldown = 0.4, cooldown_steps * INTERVAL
    shuffled = rng.permutation(len(frame))
    events = find_events(
        frame["asset_id"].to_numpy()[shuffled],
        epoch_seconds(frame["timestamp"])[shuffled],
        frame["label"].to_numpy()[shuffled],
        probability[shuffled],
        onsets(frame),
        threshold=threshold,
        horizon=horizon,
        cooldown=cooldown,
        interval=INTERVAL,
    )
    found = event_metrics(events, COSTS)
    rows = list(
        zip(frame["asset_id"], epoch_seconds(frame["timestamp"]).tolist(), frame["label"], probability, strict=True)
    )
    failures = onsets(frame)
    expected = reference.event_metrics(
        rows,
        list(zip(failures["asset_id"], failures["timestamp"], strict=True)),
        threshold=threshold,
        horizon=horizon,
        cooldown=cooldown,
        interval=INTERVAL,
        prices=(COSTS.missed_failure, COSTS.false_alarm, COSTS.inspection),
    )
    notice = "leadTimeSeconds" if horizon else "detectionDelaySeconds"
    notices = sorted(entry[notice] for entry in found["failureList"] if entry["detected"])
    assert notices == expected.pop("notices")
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    for name in ("failures", "detected", "alarms", "falseAlarms", "assetDays", "savedCost"):
        assert sum(asset[name] for asset in found["perAsset"].values()) == pytest.approx(found[name])
    json.dumps(found, allow_nan=False)


@given(labelled_frames(), st.integers(0, 9))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_alarms_on_the_positive_rows_alone_detect_every_failure_without_a_false_alarm(
    case: tuple[pd.DataFrame, int], cooldown_steps: int
) -> None:
    frame, horizon = case
    right = (frame["label"] == 1).to_numpy().astype(float)
    found = measure(frame, right, horizon=horizon, cooldown=cooldown_steps * INTERVAL)
    assert (found["detected"], found["falseAlarms"]) == (found["failures"], 0)
    assert not found["healthyTimeInAlarm"]


@given(labelled_frames(), st.integers(0, 9))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_an_alarm_that_never_ends_is_false_or_early_on_every_machine(
    case: tuple[pd.DataFrame, int], cooldown_steps: int
) -> None:
    frame, horizon = case
    found = measure(frame, np.ones(len(frame)), horizon=horizon, cooldown=cooldown_steps * INTERVAL)
    assert found["healthyTimeInAlarm"] in (1, None)
    for name, machine in found["perAsset"].items():
        if machine["healthyDays"] * 86_400 > 2 * max(horizon, 86_400) and not machine["failures"]:
            assert machine["falseAlarms"] > 0, name


def test_lead_time_counts_from_the_earliest_alarm_row_within_the_horizon() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(20, 21)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 14, 16, 18), horizon=5 * INTERVAL)
    assert found["detected"] == 1
    assert found["leadTimeSeconds"]["max"] == 4 * INTERVAL
    assert found["failureList"][0]["time"] == "2024-01-01T00:20:00+00:00"


def test_an_alarm_that_ends_before_the_horizon_is_false_and_detects_nothing() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(20, 21)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 14), horizon=5 * INTERVAL)
    assert (found["detected"], found["falseAlarms"], found["alarmPrecision"]) == (0, 1, 0)
    assert found["leadTimeSeconds"] is None
    assert found["eventRecall"] == 0


def test_an_alarm_that_starts_with_the_failure_is_too_late_but_not_false() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(20, 21)]}, horizon=5 * INTERVAL)
    frame.loc[frame["event"] >= 0, "label"] = 1
    found = measure(frame, alarms_at(frame, 20, 21), horizon=5 * INTERVAL)
    assert (found["detected"], found["alarms"], found["falseAlarms"]) == (0, 1, 0)


H = 5 * INTERVAL


def one_failure(steps: int = 40, onset: int = 30) -> pd.DataFrame:
    """One machine that fails once, with 5 rows labelled 1 before the onset."""
    return grid_frame({"a": list(range(steps))}, failures={"a": [(onset, onset + 1)]}, horizon=H)


@pytest.mark.parametrize(
    ("begins", "detected", "early", "false"),
    [
        (25, 1, 0, 0),
        (24, 1, 1, 0),
        (20, 1, 1, 0),
        (19, 0, 0, 2),
        (16, 0, 0, 2),
        (15, 0, 0, 2),
        (14, 0, 0, 3),
        (0, 0, 0, 5),
    ],
)
def test_an_alarm_may_begin_two_horizons_before_the_failure(begins: int, detected: int, early: int, false: int) -> None:
    found = measure(one_failure(), alarms_at(one_failure(), *range(begins, 30)), horizon=H)
    assert (found["detected"], found["early"], found["falseAlarms"]) == (detected, early, false)
    assert found["failureList"][0]["early"] is bool(early)
    assert (found["tooEarly"], found["failureList"][0]["tooEarly"]) == (1 - detected, not detected)
    assert found["alarmPrecision"] == (not false)


def test_without_an_alarm_row_before_it_a_failure_is_not_too_early() -> None:
    found = measure(one_failure(), alarms_at(one_failure(), *range(10, 24)), horizon=H)
    assert (found["detected"], found["tooEarly"]) == (0, 0)


@pytest.mark.parametrize("cooldown", [0, 10 * INTERVAL])
def test_an_alarm_that_never_ends_detects_nothing_and_is_false_every_horizon(cooldown: int) -> None:
    frame = grid_frame({"a": list(range(100))}, failures={"a": [(40, 41), (80, 81)]}, horizon=H)
    found = measure(frame, np.ones(len(frame)), horizon=H, cooldown=cooldown)
    assert (found["failures"], found["detected"], found["healthyTimeInAlarm"]) == (2, 0, 1)
    # 35 steps before the first, 33 from its end to the second (35 if the alarm goes on), 13 to the end of knowledge
    assert found["falseAlarms"] == 7 + 7 + 3
    assert found["alarmPrecision"] == 0


def test_a_failure_ends_what_was_told_before_it() -> None:
    frame = grid_frame({"a": list(range(60))}, failures={"a": [(20, 21), (30, 31)]}, horizon=H)
    found = measure(frame, alarms_at(frame, *range(12, 60)), horizon=H, cooldown=10 * INTERVAL)
    assert (found["alarms"], found["detected"], found["early"]) == (1, 2, 2)
    # after the second failure it goes on to the last row whose future is known
    assert found["falseAlarms"] == 5


def test_what_an_alarm_that_chatters_lasts_is_counted_through_its_breaks() -> None:
    frame = grid_frame({"a": list(range(100))}, failures={"a": [(95, 95)]}, horizon=H)
    chatter = alarms_at(frame, *range(10, 40, 3))
    assert measure(frame, chatter, horizon=H)["falseAlarms"] == 10
    assert measure(frame, chatter, horizon=H, cooldown=3 * INTERVAL)["falseAlarms"] == 6  # 28 of 5 minutes each


DAY = 86_400 // INTERVAL


def detection(*, begins: int, ends: int, cooldown: int = 0) -> dict[str, Any]:
    """An alarm around a failure from row 2 days to row 2 days + 9."""
    frame = grid_frame({"a": list(range(6 * DAY))}, failures={"a": [(2 * DAY, 2 * DAY + 9)]}, horizon=0)
    return measure(frame, alarms_at(frame, *range(2 * DAY + begins, 2 * DAY + ends)), horizon=0, cooldown=cooldown)


@pytest.mark.parametrize(
    ("begins", "ends", "cooldown", "detected", "false"),
    [
        (0, 10, 0, 1, 0),
        (-1, 10, 0, 1, 0),  # one interval before is the tolerance
        (-2, 10, 0, 0, 1),
        (-2, 10, 120, 1, 0),
        (-DAY - 1, 10, 0, 0, 2),  # every started day
        (3, 10 + DAY, 0, 1, 0),  # the first day after the failure is free
        (3, 11 + DAY, 0, 1, 1),
        (3, 10 + 3 * DAY, 0, 1, 2),
        (12, 14, 0, 0, 1),
    ],
)
def test_a_detection_that_stood_before_is_none(
    begins: int, ends: int, cooldown: int, detected: int, false: int
) -> None:
    found = detection(begins=begins, ends=ends, cooldown=cooldown)
    assert (found["detected"], found["falseAlarms"]) == (detected, false)


def test_labels_that_flicker_do_not_hide_a_detection() -> None:
    frame = grid_frame({"a": list(range(40))}, failures={"a": [(10, 12), (14, 16), (18, 19)]}, horizon=0)
    found = measure(frame, alarms_at(frame, *range(10, 20)), horizon=0, cooldown=2 * INTERVAL)
    assert (found["failures"], found["detected"], found["falseAlarms"], found["alarms"]) == (3, 3, 0, 1)


def test_healthy_time_in_alarm_is_told_per_asset_and_of_all() -> None:
    frame = grid_frame({name: list(range(50)) for name in "ab"}, failures={"a": [(30, 30)]}, horizon=H)
    found = measure(frame, np.where(frame["asset_id"] == "b", 1.0, 0.0), horizon=H)
    healthy = {name: int(((frame["asset_id"] == name) & (frame["label"] == 0)).sum()) for name in "ab"}
    assert found["perAsset"]["a"]["healthyTimeInAlarm"] == 0
    assert found["perAsset"]["b"]["healthyTimeInAlarm"] == 1
    assert found["healthyTimeInAlarm"] == healthy["b"] / sum(healthy.values())
    assert found["healthyDays"] == sum(healthy.values()) * INTERVAL / 86_400


def test_cooldown_joins_alarm_rows() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={}, horizon=0)
    probability = alarms_at(frame, 3, 4, 7, 12)
    assert measure(frame, probability, horizon=0, cooldown=0)["alarms"] == 3
    assert measure(frame, probability, horizon=0, cooldown=3 * INTERVAL)["alarms"] == 2
    assert measure(frame, probability, horizon=0, cooldown=5 * INTERVAL)["alarms"] == 1


def test_rows_without_a_label_count_neither_way() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(10, 12)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 11, 28), horizon=5 * INTERVAL)
    assert (found["alarms"], found["falseAlarms"], found["healthyTimeInAlarm"]) == (0, 0, 0)


def test_false_alarms_are_counted_per_asset_and_day_of_scored_rows() -> None:
    day = 86_400 // INTERVAL
    frame = grid_frame({"a": list(range(day)), "b": list(range(day // 2))}, failures={}, horizon=0, interval=INTERVAL)
    found = measure(frame, alarms_at(frame, 5, 100, day + 7), horizon=0)
    assert found["assetDays"] == 1.5
    assert found["falseAlarmsPerAssetDay"] == pytest.approx(2)
    assert found["perAsset"]["b"]["falseAlarmsPerAssetDay"] == pytest.approx(2)
    assert found["perAsset"]["a"]["falseAlarms"] == 2
    assert found["eventRecall"] is None


def test_detection_delay_counts_from_the_first_row_of_the_run() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(10, 14), (20, 22)]}, horizon=0)
    found = measure(frame, alarms_at(frame, 9, 12), horizon=0)
    assert (found["failures"], found["detected"]) == (2, 1)
    assert found["detectionDelaySeconds"]["median"] == 2 * INTERVAL


def test_onsets_outside_the_scored_rows_do_not_count() -> None:
    frame = grid_frame({"a": list(range(60))}, failures={"a": [(10, 11), (50, 51)]}, horizon=5 * INTERVAL)
    part = frame.iloc[30:]
    events = find_events(
        part["asset_id"],
        epoch_seconds(part["timestamp"]),
        part["label"],
        np.zeros(len(part)),
        pd.concat([onsets(frame), pd.DataFrame({"asset_id": ["other"], "timestamp": [0], "event": [9]})]),
        threshold=0.5,
        horizon=5 * INTERVAL,
        cooldown=0,
        interval=INTERVAL,
    )
    assert event_metrics(events)["failures"] == 1


@pytest.mark.parametrize("threshold", [0.5, 0.95])
def test_the_rows_of_each_alarm_are_known_by_their_places_in_what_was_given(threshold: float) -> None:
    asset, hour = ["b", "a", "a", "b", "a", "a"], [5, 9, 1, 4, 2, 3]
    probability = [0.9, 0.9, 0.9, 0.9, 0.9, 0.1]
    options = {"threshold": threshold, "horizon": 0, "cooldown": 0, "interval": 3600}
    events = find_events(asset, np.array(hour) * 3600, [0, 1, 0, 0, 0, 0], probability, NO_ONSETS, **options)
    expected = [[2, 4], [1], [3, 0]] if threshold < 0.9 else []
    assert [rows.tolist() for rows in events.rows_of_alarms()] == expected
    assert events.alarms.position.tolist() == [rows[0] for rows in expected]
    assert events.alarms.is_false.tolist() == [rows != [1] for rows in expected]


def test_no_rows_give_empty_counts() -> None:
    nothing = np.empty(0)
    options = {"threshold": 0.5, "cooldown": 0, "interval": 60}
    for horizon in (0, 600):
        found = event_metrics(find_events(nothing, nothing, nothing, nothing, NO_ONSETS, horizon=horizon, **options))
        assert (found["failures"], found["alarms"], found["healthyTimeInAlarm"], found["perAsset"]) == (0, 0, None, {})


def test_saved_cost_weighs_what_alarms_prevent_against_what_they_ask_for() -> None:
    frame = grid_frame({"a": list(range(60))}, failures={"a": [(20, 21), (50, 51)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 3, 7, 17), horizon=5 * INTERVAL, costs=COSTS)
    assert (found["detected"], found["alarms"], found["falseAlarms"]) == (1, 3, 2)
    assert found["savedCost"] == 50 - 3 * 1.5 - 2 * 3
    assert found["perAsset"]["a"]["savedCost"] == found["savedCost"]
    assert "savedCost" not in measure(frame, alarms_at(frame, 3), horizon=5 * INTERVAL)
