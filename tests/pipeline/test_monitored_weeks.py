"""Five weeks of a plant in weekly looks: operators who err, and a sensor that is replaced; against the hidden truth."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import monitor
from ml.config import OrganizationConfig
from ml.predict import load_model
from simulation.station import START, TARGET, simulate
from simulation.wear import WearLaw
from tests.pipeline.small_plant import HORIZON_SECONDS, INTERVAL_SECONDS, ORGANIZATION, PipelineRun

WEEKS, REPLACED = 5, 3
HORIZON = pd.Timedelta(seconds=HORIZON_SECONDS)
INTERVAL = pd.Timedelta(seconds=INTERVAL_SECONDS)
ANSWERED, WRONG = 0.7, 0.1


def alarms_with_truth(scored: pd.DataFrame, rows: pd.DataFrame) -> list[tuple[str, pd.Timestamp, pd.Timestamp, bool]]:
    """Asset, start and end of each alarm outside failures, and whether its failure came: one row after the other."""
    found = []
    for asset, own in rows.groupby("asset_id"):
        failed = own[own[TARGET] == 1]["created_timestamp"].dt.ceil(INTERVAL).drop_duplicates()
        inside = {time + k * INTERVAL for time in failed for k in (0, 1, 2)}  # an hour of recovery
        onsets = failed[failed.diff() != INTERVAL]
        mine = scored[(scored["asset_id"] == asset) & (scored["label"] == 1)]["timestamp"]
        alarm: list[pd.Timestamp] = []
        for time in [*(time for time in mine if time not in inside), None]:
            if alarm and (time is None or time - alarm[-1] > INTERVAL):
                came = [o for o in onsets if alarm[0] < o <= alarm[-1] + HORIZON and alarm[0] >= o - 2 * HORIZON]
                found.append((str(asset), alarm[0], alarm[-1], bool(came)))
                alarm = []
            if time is not None:
                alarm.append(time)
    return found


@pytest.fixture
def weeks(pipeline: PipelineRun, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What monitoring says at the end of each week, with the true share of right alarms."""
    monkeypatch.setenv("ML_BASE_PATH", str(published))
    law = WearLaw(mean_life_days=3.0)
    rows = simulate(seed=6, n_assets=4, days=7 * WEEKS, interval_seconds=INTERVAL_SECONDS, law=law).readings
    later = rows["created_timestamp"] >= START + timedelta(weeks=REPLACED)
    rows["vibration"] = rows["vibration"].where(~later, 1.5 * rows["vibration"] + 2)
    truth = alarms_with_truth(load_model(ORGANIZATION).predict(rows), rows)
    config = {key: value for key, value in pipeline.config.items() if key != "scadaDbConfig"} | {
        "dataSource": {"path": str(tmp_path / "readings.parquet")},
        "feedbackConfig": {
            "path": str(tmp_path / "answers.csv"),
            "assetColumn": "machine", "alarmColumn": "alarm", "answeredColumn": "answered", "verdictColumn": "said",
        },
    }  # fmt: skip
    random, answers = np.random.default_rng(1), ["machine,alarm,answered,said"]
    for asset, start, end, right in truth:
        if random.random() < ANSWERED:
            said = right != (random.random() < WRONG)
            answers.append(f"{asset},{start.isoformat()},{(end + HORIZON).isoformat()},{str(said).lower()}")
    (tmp_path / "answers.csv").write_text("\n".join([*answers, ""]))
    found = []
    for week in range(1, WEEKS + 1):
        now: datetime = (START + timedelta(weeks=week)).to_pydatetime()
        rows[rows["created_timestamp"] < now].to_parquet(tmp_path / "readings.parquet")
        told = monitor.run(
            OrganizationConfig.from_dict(json.loads(json.dumps(config))), since=START.to_pydatetime(), until=now
        ).content
        known = [right for _, _, end, right in truth if end + HORIZON < now]
        found.append((told, sum(known) / len(known), sum(start < now for _, start, _, _ in truth)))
    return found


def test_precision_holds_the_truth_and_only_the_replaced_sensor_asks_for_a_new_model(weeks: list[Any]) -> None:
    for told, share, alarms in weeks:
        assert told["precision"]["basis"] == "answers"
        low, high = told["precision"]["interval"]
        assert low <= share <= high
        assert abs(told["alarms"]["count"] - alarms) <= 1  # one may be split where its asset pauses
        assert told["answers"]["withoutAlarm"] == 0
    reasons = [[each["code"] for each in told["reasons"]] for told, _, _ in weeks]
    assert reasons[:REPLACED] == [[]] * REPLACED
    assert "DRIFT" in reasons[-1]
    assert "vibration" in next(e["message"] for e in weeks[-1][0]["reasons"] if e["code"] == "DRIFT")
