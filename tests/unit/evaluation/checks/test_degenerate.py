"""Models that say nothing, on three kinds of data: refused, and the verdict says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.checks.degenerate import constant_on_assets, refusals
from ml.evaluation.checks.gates import GATES, check_gates
from ml.evaluation.metrics import row_metrics
from ml.evaluation.report.report import ValidationReport
from ml.evaluation.rows import EvaluatedRows
from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds, onsets
from ml.learning.events.metrics import event_metrics
from ml.options.delivery import ValidationConfig
from tests.unit.learning.grid_frames import grid_frame, regular_plant, with_given_labels

HOUR = 3600
NO_GATES = ValidationConfig.model_validate(dict.fromkeys(GATES))


def plant() -> tuple[pd.DataFrame, int, int]:
    """Pumps that fail again and again, two days ahead on an hourly grid."""
    return regular_plant(4, 1500, 300, horizon=48 * HOUR, interval=HOUR), 48 * HOUR, HOUR


def engines() -> tuple[pd.DataFrame, int, int]:
    """Engines that run until they fail, and some that do not; a row per day, ten days ahead."""
    day = 24 * HOUR
    lives = {f"e{number:02d}": list(range(90 + number)) for number in range(12)}
    ends = {name: [(steps[-1], steps[-1])] for name, steps in lives.items() if name < "e09"}
    return grid_frame(lives, failures=ends, horizon=10 * day, interval=day), 10 * day, day


def valves() -> tuple[pd.DataFrame, int, int]:
    """Short runs with labels made elsewhere, every second; detection."""
    runs = {f"v{number}": [0] * 300 + [1] * 200 + [0] * 40 + [1] * 3 + [0] * 100 for number in range(4)}
    return with_given_labels(runs, interval=1), 0, 1


DATA = [plant, engines, valves]


def evaluated(data: tuple[pd.DataFrame, int, int], probability: Any, config: ValidationConfig) -> ValidationReport:
    frame, horizon, interval = data
    scored = frame[frame["label"] >= 0]
    chance = np.asarray(probability(scored), dtype=np.float32)
    found = find_events(
        scored["asset_id"], epoch_seconds(scored["timestamp"]), scored["label"], chance, onsets(frame),
        threshold=0.5, horizon=horizon, cooldown=30, interval=interval,
    )  # fmt: skip
    events, metrics = event_metrics(found), row_metrics(scored["label"], chance, 0.5)
    return ValidationReport(
        organization_id="plant",
        version="v1",
        model_type="lightgbm",
        model_sha256=None,
        threshold=0.5,
        horizon_seconds=horizon,
        test_set=EvaluatedRows("a file", len(scored), metrics.positives, 4),
        metrics=metrics,
        gates=tuple(check_gates({**metrics.to_json(), **events, "latencyP95Ms": 1.0}, config)),
        refusals=refusals(chance, events, horizon=horizon, interval=interval),
        events=events,
    )


def always(rows: pd.DataFrame) -> np.ndarray:
    return np.ones(len(rows))


def almost_always(rows: pd.DataFrame) -> np.ndarray:
    return np.arange(len(rows)) % 10 > 0


def constant(rows: pd.DataFrame) -> np.ndarray:
    return np.full(len(rows), 0.03)


def right(rows: pd.DataFrame) -> np.ndarray:
    return (rows["label"] == 1).to_numpy()


def one_machine(rows: pd.DataFrame) -> np.ndarray:
    return right(rows) | (rows["asset_id"] == rows["asset_id"].iloc[0]).to_numpy()


@pytest.mark.parametrize("config", [NO_GATES, ValidationConfig()], ids=["nothing demanded", "defaults"])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (always, "gives the probability 1 for all"),
        (constant, "gives the probability 0.03 for all"),
        (always, "in alarm for 100\u00a0% of the healthy time of all machines"),
        (almost_always, "of the healthy time of all machines"),
        (one_machine, "in alarm for 100\u00a0% of the healthy time of {first}"),
    ],
)
def test_a_model_that_says_nothing_is_refused_and_the_verdict_says_why(
    data: Any, model: Any, words: str, config: ValidationConfig
) -> None:
    report = evaluated(data(), model, config)
    assert report.status == "REFUSED"
    assert report.verdict.startswith("This model is refused: ")
    assert words.format(first=data()[0]["asset_id"].iloc[0]) in report.verdict


@pytest.mark.parametrize("data", DATA)
def test_a_model_that_is_right_passes(data: Any) -> None:
    report = evaluated(data(), right, ValidationConfig())
    assert (report.status, report.refusals) == ("PASSED", ())
    assert report.events is not None
    assert report.events["detected"] == report.events["failures"] > 0
    assert "no false alarm" in report.verdict


@pytest.mark.parametrize("data", DATA)
def test_an_alarm_that_never_ends_wins_nothing(data: Any) -> None:
    events = evaluated(data(), always, NO_GATES).events
    assert events is not None
    assert events["healthyTimeInAlarm"] == 1
    assert events["detected"] == 0
    assert events["falseAlarms"] >= len(events["perAsset"])


def test_an_early_alarm_on_a_machine_with_little_healthy_time_refuses_nothing() -> None:
    data = engines()
    frame = data[0]

    def early(rows: pd.DataFrame) -> np.ndarray:
        return right(rows) | (rows["asset_id"] == "e00").to_numpy()

    few = frame[(frame["asset_id"] != "e00") | (frame.groupby("asset_id").cumcount() >= 90 - 10 - 12)]
    assert evaluated((few, *data[1:]), early, NO_GATES).status == "PASSED"


def test_one_probability_for_a_machine_that_fails_is_told_and_for_one_that_does_not_is_none() -> None:
    asset = np.repeat(["fails", "runs", "short", "varies"], [30, 30, 10, 30])
    label = np.tile([0] * 9 + [1], 10)
    label[asset == "runs"] = 0
    probability = np.full(100, 0.25)
    probability[-1] = 0.3
    finding = constant_on_assets(asset, label, probability)
    assert finding is not None
    assert finding.code == "CONSTANT_ON_ASSETS"
    assert finding.message == "it gives one probability for all rows of fails, before failures and after"
