import numpy as np
import pandas as pd
import pytest

from ml.evaluation.checks.gates import MEASURES, measured_values
from ml.evaluation.latency import Latency
from ml.evaluation.metrics import row_metrics
from ml.learning.events.detection import find_events
from ml.learning.events.metrics import event_metrics
from ml.options.costs import MaintenanceCosts

LABEL = np.array([0, 0, 0, 0, 1, 1, 0, 0])
ALARM = np.array([0, 1, 0, 0, 0, 1, 0, 0])
LATENCY, WINDOW = Latency(1.0, 2.0, 3.0, 4.0), Latency(5.0, 6.0, 7.0, 8.0)
COSTS = MaintenanceCosts(missed_failure=10, false_alarm=2, inspection=1)


def measured(horizon):
    onsets = pd.DataFrame({"asset_id": ["pump"], "timestamp": [6 * 3600]})
    events = find_events(
        ["pump"] * 8, np.arange(8) * 3600, LABEL, ALARM, onsets,
        threshold=0.5, horizon=horizon, cooldown=0, interval=3600,
    )  # fmt: skip
    named = {"namedAtFirstRow": 1.0, "namedAtHighestRow": 1.0, "modesAveragePrecision": 0.5}
    return measured_values(row_metrics(LABEL, ALARM, 0.5), event_metrics(events, COSTS) | named, LATENCY, WINDOW)


def test_every_name_that_a_limit_knows_is_measured():
    predicted, detected = measured(7200), measured(0)

    assert set(predicted) == set(detected) == set(MEASURES)
    for name in MEASURES:
        kind = "lead" if name.startswith("leadTime") else "delay" if name.startswith("detectionDelay") else "both"
        assert (predicted[name] is not None) == (kind != "delay"), name
        assert (detected[name] is not None) == (kind != "lead"), name


def test_names_lead_to_their_numbers():
    values = measured(7200)

    assert values["leadTimeMedianSeconds"] == values["leadTimeQ25Seconds"] == 3600
    assert (values["missedFailures"], values["falseAlarms"], values["savedCost"]) == (0, 1, 10 - 2 * 1 - 2)
    assert (values["latencyP95Ms"], values["latencyP50Ms"], values["latencyP99Ms"]) == (2.0, 1.0, 3.0)
    assert (values["windowLatencyP50Ms"], values["windowLatencyP95Ms"], values["windowLatencyP99Ms"]) == (5.0, 6.0, 7.0)
    assert values["alarmPrecision"] == 0.5
    assert values["healthyTimeInAlarm"] == 1 / 6
    assert measured(0)["detectionDelayMaxSeconds"] == 3600


def test_what_was_not_measured_is_none():
    values = measured_values(
        row_metrics(LABEL, ALARM, 0.5), {"failures": 0, "detected": 0, "leadTimeSeconds": None}, LATENCY, None
    )

    assert values["leadTimeMedianSeconds"] is None
    assert values["windowLatencyP95Ms"] is None
    assert values["savedCost"] is None
    assert values["auc"] == pytest.approx(0.6666667)
