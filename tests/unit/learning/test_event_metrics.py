from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.learning.event_metrics import event_metrics
from ml.learning.events import find_events
from ml.learning.failures import epoch_seconds, onsets
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
@settings(max_examples=250, deadline=None, derandomize=True)
def test_counts_equal_the_loops(case: tuple[pd.DataFrame, int], cooldown_steps: int, seed: int) -> None:
    frame, horizon = case
    rng = np.random.default_rng(seed)
    probability = np.round(rng.random(len(frame)) ** 2, 1)
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
    notices = sorted(entry[notice] for entry in found["failureList"] if entry["announced"])
    assert notices == expected.pop("notices")
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    for name in ("failures", "announced", "alarms", "falseAlarms", "assetDays", "savedCost"):
        assert sum(asset[name] for asset in found["perAsset"].values()) == pytest.approx(found[name])
    json.dumps(found, allow_nan=False)


def test_lead_time_counts_from_the_earliest_alarm_row_within_the_horizon() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(20, 21)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 14, 16, 18), horizon=5 * INTERVAL)
    assert found["announced"] == 1
    assert found["leadTimeSeconds"]["max"] == 4 * INTERVAL
    assert found["failureList"][0]["time"] == "2024-01-01T00:20:00+00:00"


def test_an_alarm_before_the_horizon_is_false_and_announces_nothing() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(20, 21)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 14), horizon=5 * INTERVAL)
    assert (found["announced"], found["falseAlarms"], found["alarmPrecision"]) == (0, 1, 0)
    assert found["leadTimeSeconds"] is None
    assert found["eventRecall"] == 0


def test_an_alarm_that_starts_with_the_failure_is_too_late_but_not_false() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(20, 21)]}, horizon=5 * INTERVAL)
    frame.loc[frame["event"] >= 0, "label"] = 1
    found = measure(frame, alarms_at(frame, 20, 21), horizon=5 * INTERVAL)
    assert (found["announced"], found["alarms"], found["falseAlarms"]) == (0, 1, 0)


def test_cooldown_joins_alarm_rows() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={}, horizon=0)
    probability = alarms_at(frame, 3, 4, 7, 12)
    assert measure(frame, probability, horizon=0, cooldown=0)["alarms"] == 3
    assert measure(frame, probability, horizon=0, cooldown=3 * INTERVAL)["alarms"] == 2
    assert measure(frame, probability, horizon=0, cooldown=5 * INTERVAL)["alarms"] == 1


def test_rows_without_a_label_count_neither_way() -> None:
    frame = grid_frame({"a": list(range(30))}, failures={"a": [(10, 12)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 11, 28), horizon=5 * INTERVAL)
    assert (found["alarms"], found["falseAlarms"], found["timeInAlarm"]) == (0, 0, 0)


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
    assert (found["failures"], found["announced"]) == (2, 1)
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
        assert (found["failures"], found["alarms"], found["timeInAlarm"], found["perAsset"]) == (0, 0, None, {})


def test_saved_cost_weighs_what_alarms_prevent_against_what_they_ask_for() -> None:
    frame = grid_frame({"a": list(range(60))}, failures={"a": [(20, 21), (50, 51)]}, horizon=5 * INTERVAL)
    found = measure(frame, alarms_at(frame, 3, 7, 17), horizon=5 * INTERVAL, costs=COSTS)
    assert (found["announced"], found["alarms"], found["falseAlarms"]) == (1, 3, 2)
    assert found["savedCost"] == 50 - 3 * 1.5 - 2 * 3
    assert found["perAsset"]["a"]["savedCost"] == found["savedCost"]
    assert "savedCost" not in measure(frame, alarms_at(frame, 3), horizon=5 * INTERVAL)
