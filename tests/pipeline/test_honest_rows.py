"""A verdict rests on rows that the model has not seen, at the threshold that is shipped, on data that is current."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ml.evaluation.checks.gates import GATES
from simulation.database import write_sqlite
from simulation.station import Station
from tests.pipeline.backend import run_here
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json


def report_of(root: Path) -> dict:
    return json.loads((root / "artifacts" / ORGANIZATION / "v1" / "validation_report.json").read_text())


def test_the_prepared_data_itself_as_test_data_is_judged_on_its_held_out_part(
    pipeline: PipelineRun, published: Path
) -> None:
    honest = report_of(published)
    prepared = published / "artifacts" / ORGANIZATION / "v1" / "prepared_data.parquet"
    outcome = run_here("validate_model", pipeline.tuned_file, prepared, root=published)
    assert outcome.exit_code == 0, outcome.document
    assert report_of(published)["metrics"] == honest["metrics"]


def test_rows_of_the_training_history_in_a_test_file_do_not_count(
    pipeline: PipelineRun, published: Path, station: Station, tmp_path: Path
) -> None:
    honest = report_of(published)
    history = tmp_path / "history.csv"
    station.readings.to_csv(history, index=False)
    outcome = run_here("validate_model", pipeline.tuned_file, history, root=published)
    assert outcome.exit_code in (0, 5), outcome.document
    evaluated = report_of(published)["testSet"]
    seen_until = pd.Timestamp(honest["split"]["validation"]["lastTime"])
    assert pd.Timestamp(evaluated["from"]) > seen_until
    assert evaluated["rows"] < honest["split"]["train"]["rows"]


@pytest.mark.parametrize("threshold", [0.0, 0.0001])
def test_an_alarm_that_never_ends_is_refused_whatever_is_configured(
    pipeline: PipelineRun, published: Path, threshold: float
) -> None:
    lenient = json.loads(pipeline.tuned_file.read_text())
    lenient["validationConfig"] |= dict.fromkeys(GATES) | {"threshold": threshold, "untunedModel": False}
    outcome = run_here("validate_model", write_json(published.parent / "lenient.json", lenient), root=published)
    assert (outcome.exit_code, outcome.error["code"]) == (5, "QUALITY_GATE")
    assert "of the healthy time of all machines" in outcome.error["message"]
    report = report_of(published)
    assert report["gates"] == []
    assert [finding["code"] for finding in report["refusals"]] == ["ALARM_NEVER_ENDS"]


def test_a_cooldown_other_than_the_training_had_is_told(pipeline: PipelineRun, published: Path) -> None:
    other = json.loads(pipeline.tuned_file.read_text())
    other["validationConfig"] |= dict.fromkeys(GATES) | {"alarmCooldownSeconds": 7200, "untunedModel": False}
    outcome = run_here("validate_model", write_json(published.parent / "other.json", other), root=published)
    assert outcome.exit_code == 0, outcome.document
    assert "COOLDOWN_DIFFERS" in [finding["code"] for finding in outcome.document["warnings"]]


def test_a_model_that_learned_nothing_is_no_success(database: Path, tmp_path: Path, root: Path) -> None:
    """Leaves larger than the data: not one split."""
    config = plant_config(database, trainingConfig={"threads": 1, "lgbParams": {"minDataInLeaf": 1_000_000}})
    outcome = run_here("train_model", write_json(tmp_path / "config.json", config), root=root)
    assert (outcome.exit_code, outcome.error["code"]) == (5, "QUALITY_GATE")
    assert "has learned nothing: it gives the probability" in outcome.error["message"]
    assert "minDataInLeaf" in outcome.error["hint"]
    assert not (root / "models" / ORGANIZATION / "versions" / "v1").exists()


def test_a_verdict_at_another_threshold_publishes_nothing(pipeline: PipelineRun, published: Path) -> None:
    (published / "models" / ORGANIZATION / "current").unlink()
    lenient = json.loads(pipeline.tuned_file.read_text())
    lenient["validationConfig"] |= dict.fromkeys(GATES) | {"threshold": 0.811}
    config = write_json(published.parent / "lenient.json", lenient)
    evaluated = run_here("validate_model", config, root=published)
    assert evaluated.exit_code == 0, evaluated.document
    refused = run_here("convert_to_onnx", config, root=published)
    assert (refused.exit_code, refused.error["code"]) == (5, "QUALITY_GATE")
    assert "0.811" in refused.error["message"]
    assert not (published / "models" / ORGANIZATION / "current").exists()


def test_a_source_that_grew_is_prepared_again(station: Station, tmp_path: Path) -> None:
    half = Station(station.readings.iloc[: len(station.readings) // 2], station.hidden)
    database = tmp_path / "growing.sqlite"
    write_sqlite(half, database)
    root = tmp_path / "workspace"
    root.mkdir()
    config = write_json(tmp_path / "config.json", plant_config(database))
    first = run_here("data_prep", config, root=root).document["rows"]
    write_sqlite(station, database)
    outcome = run_here("train_model", config, root=root)
    assert outcome.exit_code == 0, outcome.document
    rows = len(pd.read_parquet(root / "artifacts" / ORGANIZATION / "v1" / "prepared_data.parquet"))
    assert rows > first


def test_prepared_data_of_another_horizon_is_refused_where_there_is_no_source(
    pipeline: PipelineRun, database: Path, tmp_path: Path
) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(pipeline.root, root, symlinks=True)
    other = plant_config(database)
    del other["scadaDbConfig"]
    other["dataConfig"] |= {"predictionHorizonSeconds": other["dataConfig"]["predictionHorizonSeconds"] * 2}
    Path(root / "models" / ORGANIZATION / "current").unlink()
    refused = run_here("train_model", write_json(tmp_path / "other.json", other), root=root)
    assert (refused.exit_code, refused.error["code"]) == (3, "DATA_INVALID")
    assert "other columns, grid or labels" in refused.error["message"]
