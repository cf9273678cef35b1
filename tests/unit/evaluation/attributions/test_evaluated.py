from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.attributions import evaluated
from ml.evaluation.attributions.evaluated import explanation_of
from ml.evaluation.rows import EvaluatedData
from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds
from ml.windows.catalogue import Feature
from ml.windows.operations import Value
from ml.windows.scaling import Scaling

HOUR = 3600
COLUMNS = [Feature("heat", Value("heat")), Feature("flow", Value("flow"))]
NO_ONSETS = pd.DataFrame({"asset_id": [], "timestamp": []})
# a false alarm of two rows; a failure at 10 missed in rows 8 and 9; on another asset a false alarm and a right one
ASSET = ["a"] * 11 + ["b"] * 6
LABEL = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1]
PROBABILITY = [0.1, 0.6, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.1, 0.1, 0.7, 0.1, 0.1, 0.8, 0.1]
HOURS = [*range(11), *range(6)]
MISSED = {"asset": "a", "time": "2024-01-01T10:00:00+00:00", "detected": False, "tooEarly": False}
FOUND = {"asset": "b", "time": "2024-01-01T06:00:00+00:00", "detected": True, "tooEarly": False}


def explain(measured, *, contributions=None, probability=PROBABILITY, scaling=None):
    time = pd.to_datetime("2024-01-01", utc=True) + pd.to_timedelta(HOURS, unit="h")
    frame = pd.DataFrame({"asset_id": ASSET, "timestamp": time, "label": np.array(LABEL, np.int8)})
    rows = EvaluatedData(frame, np.ones(len(frame), dtype=bool), "a file", "0" * 64, 2 * HOUR, None, {})
    seen = []

    def own(matrix):
        seen.append(matrix)
        return np.column_stack([matrix, np.zeros(len(matrix))]) if contributions is None else None

    trained = SimpleNamespace(
        metadata=SimpleNamespace(horizon_seconds=2 * HOUR),
        engineer=SimpleNamespace(
            interval=HOUR,
            features=COLUMNS,
            scaling=scaling or Scaling("none", np.empty(0), np.empty(0)),
            constants={},
        ),
        estimator=SimpleNamespace(contributions=own),
    )
    features = np.column_stack([np.arange(len(LABEL)), -np.arange(len(LABEL))]).astype(np.float32)
    options = {"threshold": 0.5, "horizon": 0, "cooldown": 0, "interval": HOUR}
    events = find_events(ASSET, epoch_seconds(frame["timestamp"]), LABEL, np.float32(probability), NO_ONSETS, **options)
    return explanation_of(trained, rows, features, np.float32(probability), events, measured), seen


def test_missed_failures_and_false_alarms_are_explained_at_their_most_alarming_row():
    found, _ = explain({"failureList": [MISSED, FOUND], "leadTimeSeconds": None})

    (missed,), false = found.of("missedFailure"), found.of("falseAlarm")
    assert (missed.case.asset, missed.case.time, missed.case.row) == ("a", MISSED["time"], 9)
    assert missed.case.probability == np.float32(0.3)
    assert [(each.case.asset, each.case.row, each.case.time[11:16]) for each in false] == [
        ("a", 2, "01:00"),
        ("b", 12, "01:00"),
    ]
    assert (found.missed, found.false) == (1, 2)
    assert {driver.feature: driver.value for driver in missed.drivers} == {"heat": 9.0, "flow": -9.0}


def test_a_missed_detection_is_explained_within_its_run_of_rows():
    failure = {"asset": "a", "time": "2024-01-01T08:00:00+00:00", "detected": False, "tooEarly": False}

    found, _ = explain({"failureList": [failure], "detectionDelaySeconds": None})

    (missed,) = found.of("missedFailure")
    assert missed.case.row == 9


def test_the_means_are_over_the_alarm_rows():
    found, _ = explain({"failureList": []})

    assert (found.alarm_rows, found.explained_rows) == (4, 4)
    assert found.features == {"heat": pytest.approx((1 + 2 + 12 + 15) / 4), "flow": pytest.approx(7.5)}


def test_many_alarm_rows_are_thinned_and_many_cases_cut_to_the_most_alarming(monkeypatch):
    monkeypatch.setattr(evaluated, "MOST_ALARM_ROWS", 2)
    monkeypatch.setattr(evaluated, "MOST_CASES", 1)

    found, _ = explain({"failureList": []})

    assert (found.alarm_rows, found.explained_rows) == (4, 2)
    assert found.features["heat"] == (1 + 15) / 2
    assert (found.false, [each.case.row for each in found.of("falseAlarm")]) == (2, [2])


def test_the_model_is_asked_about_scaled_features_and_the_values_told_are_not():
    scaling = Scaling("standard", np.float32([1, 0]), np.float32([2, 1]))

    found, seen = explain({"failureList": [MISSED]}, scaling=scaling)

    assert seen[0][-3].tolist() == [4.0, -9.0]
    assert {driver.feature: driver.value for driver in found.of("missedFailure")[0].drivers}["heat"] == 9.0


def test_without_an_alarm_or_a_failure_nothing_drove_anything():
    found, _ = explain({"failureList": []}, probability=[0.1] * len(LABEL))

    assert (found.alarm_rows, found.cases, set(found.features.values())) == (0, (), {0.0})


def test_a_model_type_that_cannot_tell_has_no_explanation():
    assert explain({"failureList": []}, contributions="none")[0] is None
