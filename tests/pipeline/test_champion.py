"""The published version beside the next one, through the scripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from ml.evaluation.checks.gates import GATES
from tests.pipeline.backend import Json, Outcome, run_here, tree, workspace_command
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json

WEAK = {"threads": 1, "lgbParams": {"numIterations": 1, "numLeaves": 2, "learningRate": 0.001}}
NO_GATES: Json = dict.fromkeys(GATES)
QUICK: Json = NO_GATES | {"robustnessRows": 200, "latencyRuns": 20}


def report_of(root: Path, version: str) -> Any:
    file = root / "artifacts" / ORGANIZATION / version / "validation_report.json"
    return json.loads(file.read_text(encoding="utf-8"))


def predictions_of(root: Path, version: str) -> pd.DataFrame:
    return pd.read_parquet(root / "artifacts" / ORGANIZATION / version / "predictions.parquet")


@pytest.fixture(scope="module")
def weak(
    two_versions: PipelineRun, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Json, Outcome]:
    """A workspace in which v2 is current and v3, a model of one split, was trained and evaluated. To be read only."""
    folder = tmp_path_factory.mktemp("weak")
    root = Path(shutil.copytree(two_versions.root, folder / "workspace", symlinks=True))
    config = plant_config(database, trainingConfig=WEAK, validationConfig=QUICK) | {"version": "v3"}
    file = write_json(folder / "config.json", config)
    assert run_here("train_model", file, root=root).exit_code == 0
    return root, config, run_here("validate_model", file, root=root)


def test_both_versions_are_scored_on_the_same_rows(two_versions: PipelineRun) -> None:
    champion = report_of(two_versions.root, "v2")["champion"]
    old, new = predictions_of(two_versions.root, "v1"), predictions_of(two_versions.root, "v2")
    assert old[["asset_id", "timestamp", "label"]].equals(new[["asset_id", "timestamp", "label"]])
    assert (champion["version"], champion["rows"], champion["skipped"]) == ("v1", len(old), None)
    precision = [average_precision_score(each["label"], each["probability"]) for each in (old, new)]
    assert [champion["averagePrecision"], champion["candidateAveragePrecision"]] == pytest.approx(precision)
    assert champion["difference"] == pytest.approx(precision[1] - precision[0])
    assert champion["interval"][0] <= champion["difference"] <= champion["interval"][1]
    before, after = (report_of(two_versions.root, version)["events"] for version in ("v1", "v2"))
    for name, value in champion["events"].items():
        assert value == before[name]
        assert champion["candidateEvents"][name] == after[name]


def test_the_first_version_has_nothing_to_beat(pipeline: PipelineRun) -> None:
    report = report_of(pipeline.root, "v1")
    assert report["champion"] is None
    assert "championMargin" not in [gate["key"] for gate in report["gates"]]


def test_a_worse_candidate_is_refused_and_not_published(weak: tuple[Path, Json, Outcome], tmp_path: Path) -> None:
    root, config, evaluated = weak
    report = report_of(root, "v3")
    assert (evaluated.exit_code, evaluated.error["code"]) == (5, "QUALITY_GATE")
    assert "published version v2" in evaluated.error["message"]
    assert report["champion"]["worse"] is True
    assert [gate["key"] for gate in report["gates"] if not gate["passed"]] == ["championMargin"]

    before = tree(root / "models")
    converted = run_here("convert_to_onnx", write_json(tmp_path / "config.json", config), root=root)
    assert (converted.exit_code, converted.error["code"]) == (5, "QUALITY_GATE")
    assert tree(root / "models") == before


@pytest.mark.parametrize("told", [{"champion": "ignore"}, {"championMargin": 1.0}], ids=["ignored", "wide margin"])
def test_told_otherwise_it_is_published(weak: tuple[Path, Json, Outcome], tmp_path: Path, told: Json) -> None:
    root = Path(shutil.copytree(weak[0], tmp_path / "workspace", symlinks=True))
    file = write_json(tmp_path / "config.json", weak[1] | {"validationConfig": QUICK | told})
    assert run_here("validate_model", file, root=root).exit_code == 0
    assert (report_of(root, "v3")["champion"] is None) == ("champion" in told)
    assert run_here("convert_to_onnx", file, root=root).document["published"] is True


def test_a_refused_version_can_be_published_by_hand(weak: tuple[Path, Json, Outcome], tmp_path: Path) -> None:
    root = Path(shutil.copytree(weak[0], tmp_path / "workspace", symlinks=True))
    refused = workspace_command("publish", ORGANIZATION, "v3", root=root)
    assert (refused.exit_code, refused.error["code"]) == (5, "QUALITY_GATE")
    assert "lost to the published version v2" in refused.error["message"]
    forced = workspace_command("publish", ORGANIZATION, "v3", "--force", root=root)
    assert (forced.exit_code, forced.document["forced"]) == (0, True)
    assert (root / "models" / ORGANIZATION / "current").readlink().as_posix() == "versions/v3"


def test_rows_that_the_published_version_was_trained_on_are_left_out(
    two_versions: PipelineRun, database: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(two_versions.root, tmp_path / "workspace", symlinks=True))
    config = plant_config(database, validationConfig=QUICK, dataConfig={"testSplit": 0.4}) | {"version": "v4"}
    file = write_json(tmp_path / "config.json", config)
    assert run_here("train_model", file, root=root).exit_code == 0
    assert run_here("validate_model", file, root=root).exit_code in (0, 5)

    report = report_of(root, "v4")
    seen = json.loads((root / "models" / ORGANIZATION / "versions" / "v2" / "metadata.json").read_text())["data"][
        "seen"
    ]
    rows = predictions_of(root, "v4")
    last = rows["asset_id"].map({asset: span[1] for asset, span in seen.items()}).to_numpy(dtype=np.float64)
    seconds = rows["timestamp"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
    unseen = int((seconds > last + config["dataConfig"]["predictionHorizonSeconds"]).sum())
    assert 0 < report["champion"]["rows"] == unseen < report["testSet"]["rows"]


def test_the_report_holds_the_model_against_simpler_alarms(pipeline: PipelineRun) -> None:
    report = report_of(pipeline.root, "v1")
    limit, untuned = report["baselines"]
    assert " at or " in limit["description"]
    assert limit["events"]["failures"] == untuned["events"]["failures"] == report["events"]["failures"] > 0
    assert 0 < limit["averagePrecision"] < report["metrics"]["averagePrecision"]
    assert "default parameters" in untuned["description"]
    intervals = report["events"]["intervals"]
    for name, value in report["events"].items():
        if intervals.get(name) is not None:
            assert intervals[name][0] <= value <= intervals[name][1]
    assert intervals["averagePrecision"][0] < report["metrics"]["averagePrecision"] < intervals["averagePrecision"][1]
    assert 0 < report["windowLatencyMs"]["p50"] <= report["windowLatencyMs"]["p95"] <= report["windowLatencyMs"]["p99"]
