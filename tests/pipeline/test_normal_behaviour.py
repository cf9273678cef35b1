"""A model on day one: a source and sensor names, no failure anywhere, all five steps to a published model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import ml.predict.__main__
from tests.pipeline.backend import STEPS, Json, run_here
from tests.pipeline.small_plant import write_json

SENSORS = ["temperature", "pressure", "flow_rate", "vibration", "current", "load_setpoint"]


def day_one(readings: Path, **training: Json) -> Json:
    """A configuration with a source and sensor names, of readings that do not speak of failures."""
    return {
        "organizationId": "plant_n",
        "dataSource": {"path": str(readings)},
        "schemaConfig": {"assetColumn": "asset_id", "continuousColumns": SENSORS},
        "trainingConfig": {"modelType": "normal_behaviour", "threads": 1, **training},
    }


def test_without_any_target_all_five_steps_lead_to_a_published_model(
    readings: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    config = day_one(readings)
    file = write_json(tmp_path / "config.json", config)
    documents = {}
    for step in STEPS:
        outcome = run_here(step, file, root=root)
        assert outcome.exit_code == 0, outcome.document
        documents[step] = outcome.document
    codes = {step: [each["code"] for each in document["warnings"]] for step, document in documents.items()}
    assert "NO_FAILURE_KNOWN" in codes["data_prep"]
    assert "NOTHING_TO_SEARCH" in codes["hyperparameter_tuning"]
    assert "OPERATING_COLUMN_MISSING" in codes["train_model"]
    assert documents["train_model"]["scoreKind"] == "anomaly"
    assert documents["convert_to_onnx"]["published"]
    assert documents["convert_to_onnx"]["parity"]["windows"]["differingBits"] == 0

    artifacts = root / "artifacts" / "plant_n" / "v1"
    report = json.loads((artifacts / "validation_report.json").read_text())
    told = report["normalBehaviour"]
    assert report["status"] == "PASSED"
    assert "No failure is known" in report["verdict"]
    assert told["detected"] is None
    assert told["interval"][0] <= told["falseAlarmsPerAssetDay"] <= told["interval"][1]
    assert set(told["sensors"]) == set(SENSORS)
    assert report["metrics"]["recall"] is None
    assert report["metrics"]["brier"] is None
    page = (artifacts / "validation_report.html").read_text()
    assert "What it can find" in page
    shown = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert "robability" not in shown
    episodes = pd.read_csv(artifacts / "episodes.csv")
    assert episodes["score"].is_monotonic_decreasing
    assert episodes["confirmed"].isna().all()
    assert "score" in pd.read_parquet(artifacts / "predictions.parquet").columns
    metadata = json.loads((root / "models" / "plant_n" / "current" / "metadata.json").read_text())
    assert (metadata["scoreKind"], metadata["threshold"]) == ("anomaly", 0.5)

    scored = tmp_path / "scored.csv"
    assert ml.predict.__main__.main([str(file), str(readings), str(scored)]) == 0
    assert pd.read_csv(scored).columns.tolist() == ["asset_id", "timestamp", "score", "label"]
    alerts = ml.predict.load_model("plant_n").alerts(pd.read_parquet(readings))
    assert alerts
    assert "probability" not in alerts[0].to_json()
    assert alerts[0].reasons[0].sensor in SENSORS


def test_episodes_that_someone_confirmed_are_the_failures_of_the_next_training(
    readings: Path, root: Path, tmp_path: Path
) -> None:
    config = day_one(readings)
    file = write_json(tmp_path / "config.json", config)
    for step in ("train_model", "validate_model"):
        assert run_here(step, file, root=root).exit_code == 0
    episodes = pd.read_csv(root / "artifacts" / "plant_n" / "v1" / "episodes.csv")
    episodes["confirmed"] = ["yes"] * 3 + ["no"] * (len(episodes) - 3)
    episodes.to_csv(tmp_path / "confirmed.csv", index=False)
    config |= {
        "version": "v2",
        "failureConfig": {
            "events": {
                "path": str(tmp_path / "confirmed.csv"),
                "startColumn": "start",
                "endColumn": "end",
                "include": {"confirmed": ["yes"]},
            }
        },
    }
    outcome = run_here("train_model", write_json(tmp_path / "config.json", config), root=root)
    assert outcome.exit_code == 0, outcome.document
    assert outcome.document["positives"] > 0


@pytest.mark.parametrize("model_type", ["normal_behaviour", "lightgbm"])
def test_a_target_that_is_named_must_be_there(model_type: str, readings: Path, root: Path, tmp_path: Path) -> None:
    config = day_one(readings, modelType=model_type)
    config["schemaConfig"]["targetColumn"] = "tripped"
    outcome = run_here("data_prep", write_json(tmp_path / "config.json", config), root=root)
    assert outcome.error["code"] == "COLUMN_MISSING"
    assert "tripped" in outcome.error["message"]


def test_a_classifier_still_asks_for_its_target(readings: Path, root: Path, tmp_path: Path) -> None:
    config = day_one(readings, modelType="lightgbm")
    outcome = run_here("data_prep", write_json(tmp_path / "config.json", config), root=root)
    assert outcome.error["code"] == "COLUMN_MISSING"
