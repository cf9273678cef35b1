from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.learning.events.alarm_curve import alarm_curve
from ml.learning.events.alarm_rows import is_alarm
from ml.learning.events.failures import epoch_seconds, onsets
from ml.learning.thresholds.policy import ThresholdChoice, choose_threshold
from ml.options.thresholds import ThresholdPolicy
from tests.reference import events as reference
from tests.unit.learning.grid_frames import regular_plant
from tests.unit.learning.strategies import INTERVAL, labelled_frames

COST = {"rule": "cost", "costs": {"missedFailure": 100, "falseAlarm": 7, "inspection": 3}}
OPTIONS = {"cooldown": 150, "interval": INTERVAL}


def chosen(frame: pd.DataFrame, probability: np.ndarray, horizon: int, **policy: Any) -> ThresholdChoice:
    scored = frame[frame["label"] >= 0]
    curve = alarm_curve(scored, probability, horizon=horizon, history=frame, **OPTIONS)
    label = scored["label"].to_numpy()
    groups = np.arange(len(scored)) % 7
    return choose_threshold(ThresholdPolicy.model_validate(policy), curve, label, probability, groups, seed=0)


def prices(missed_failure: float, false_alarm: float) -> dict[str, float]:
    return {"missedFailure": missed_failure, "falseAlarm": false_alarm, "inspection": 0}


def naive(frame: pd.DataFrame, probability: np.ndarray, horizon: int) -> dict[float, dict[str, float]]:
    """Every candidate's figures, counted by loops."""
    scored = frame[frame["label"] >= 0]
    label = scored["label"].to_numpy()
    failures = onsets(frame)
    known = list(zip(failures["asset_id"], failures["timestamp"].tolist(), strict=True))
    rows = list(zip(scored["asset_id"], epoch_seconds(scored["timestamp"]).tolist(), label, probability, strict=True))
    figures = {}
    for threshold in sorted(set(np.float32(probability).tolist())):
        events = reference.event_metrics(
            rows, known, threshold=threshold, horizon=horizon, prices=(100, 7, 3), **OPTIONS
        )
        alarm = np.float32(probability) >= np.float32(threshold)
        figures[threshold] = events | {
            "precision": (alarm & (label == 1)).sum() / alarm.sum(),
            "recall": (alarm & (label == 1)).sum() / (label == 1).sum(),
            "alarmRows": int(alarm.sum()),
            "cost": 100 * (events["failures"] - events["detected"]) + 7 * events["falseAlarms"] + 3 * events["alarms"],
        }
    return figures


def best(figures: dict[float, dict[str, float]], key: Callable[[dict[str, float]], float]) -> float:
    return max(figures, key=lambda threshold: (key(figures[threshold]), threshold))


def within(
    figures: dict[float, dict[str, float]], kept: Callable[[dict[str, float]], bool]
) -> dict[float, dict[str, float]]:
    return {threshold: figure for threshold, figure in figures.items() if kept(figure)}


@given(labelled_frames(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_each_rule_chooses_as_a_search_through_all_candidates(case: tuple[pd.DataFrame, int], seed: int) -> None:
    frame, horizon = case
    label = frame["label"].to_numpy()
    label = label[label >= 0]
    if not (label == 1).any():
        return
    probability = (np.random.default_rng(seed).integers(0, 13, len(label)) + 4 * label) / 16
    figures = naive(frame, probability, horizon)

    def same_rows(threshold: float, **policy: Any) -> ThresholdChoice:
        choice = chosen(frame, probability, horizon, **policy)
        assert is_alarm(probability, choice.threshold).tolist() == is_alarm(probability, threshold).tolist(), policy
        assert choice.figures["falseAlarms"] == figures[threshold]["falseAlarms"]
        assert choice.figures["precision"] == figures[threshold]["precision"]
        assert choice.threshold == float(np.float32(choice.threshold))
        return choice

    assert same_rows(best(figures, lambda of: -of["cost"]), **COST).figures["cost"] == min(
        of["cost"] for of in figures.values()
    )
    rate = "falseAlarmsPerAssetDay"
    sane = within(figures, lambda of: (of["healthyTimeInAlarm"] or 0) <= 0.5)
    for rule, kept, gain, nearest in (
        ("maxFalseAlarmsPerAssetDay", lambda of: of[rate] <= 8, "detected", rate),
        ("maxHealthyTimeInAlarm", lambda of: (of["healthyTimeInAlarm"] or 0) <= 0.25, "detected", "healthyTimeInAlarm"),
        ("minPrecision", lambda of: of["precision"] >= 0.5, "recall", "precision"),
        ("minRecall", lambda of: of["recall"] >= 0.5, "alarmRows", "recall"),
    ):
        limit = {"maxFalseAlarmsPerAssetDay": 8, "maxHealthyTimeInAlarm": 0.25}.get(rule, 0.5)
        feasible = within(sane, kept)
        sign = -1 if gain == "alarmRows" else 1
        away = -1 if rule.startswith("max") else 1
        expected = (
            best(feasible, lambda of, gain=gain, sign=sign: sign * of[gain])  # type: ignore[misc]
            if feasible
            else best(sane or figures, lambda of, nearest=nearest, away=away: away * (of[nearest] or 0))  # type: ignore[misc]
        )
        assert same_rows(expected, rule=rule, limit=limit).met is bool(feasible)


def plant() -> tuple[pd.DataFrame, np.ndarray, int]:
    frame = regular_plant(4, 400, 90, horizon=600)
    label = frame["label"].to_numpy()
    label = label[label >= 0]
    return frame, np.random.default_rng(3).random(len(label)) * 0.9 + 0.1 * label, 600


def test_dear_failures_lower_the_threshold_and_dear_alarms_raise_it() -> None:
    frame, probability, horizon = plant()
    dear_failures = chosen(
        frame, probability, horizon, rule="cost", costs={"missedFailure": 1000, "falseAlarm": 1, "inspection": 0}
    )
    dear_alarms = chosen(
        frame, probability, horizon, rule="cost", costs={"missedFailure": 1, "falseAlarm": 1000, "inspection": 0}
    )
    assert dear_failures.threshold < dear_alarms.threshold
    assert dear_failures.figures["detected"] == dear_failures.figures["failures"]
    assert dear_failures.figures["costWithoutAlarms"] == 1000 * dear_failures.figures["failures"]


def test_a_limit_that_nothing_keeps_is_told(caplog: pytest.LogCaptureFixture) -> None:
    frame, probability, horizon = plant()
    label = frame["label"].to_numpy()
    probability[np.argmax(label[label >= 0] == 0)] = 1.0  # the highest probability of all is wrong
    choice = chosen(frame, probability, horizon, rule="minPrecision", limit=1.0)
    assert not choice.met
    assert choice.figures["precision"] < 1.0
    assert "no threshold keeps minPrecision 1" in caplog.text
    assert choice.to_json()["policy"] == {"rule": "minPrecision", "limit": 1.0}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"rule": "minRecall"}, "needs a limit"),
        ({"rule": "f1", "limit": 0.5}, "takes no limit"),
        ({"rule": "minPrecision", "limit": 1.5}, "1 at most"),
        ({"rule": "cost"}, "needs costs"),
        ({"rule": "f1", "costs": COST["costs"]}, "takes no costs"),
    ],
)
def test_a_rule_without_its_numbers_is_refused(policy: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ThresholdPolicy.model_validate(policy)
