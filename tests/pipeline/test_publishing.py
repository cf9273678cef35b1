"""What decides which version is current, and looking after versions by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.backend import run_here, tree, workspace_command
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json


@pytest.fixture
def two(two_versions: PipelineRun, tmp_path: Path) -> Path:
    """A copy of the workspace with v1 and v2, of which v2 is current; free to be changed."""
    return Path(shutil.copytree(two_versions.root, tmp_path / "two", symlinks=True))


@pytest.fixture
def unpublished(published: Path) -> Path:
    """The workspace as it was before the last step published v1."""
    (published / "models" / ORGANIZATION / "current").unlink()
    return published


def current(root: Path) -> str:
    return (root / "models" / ORGANIZATION / "current").readlink().as_posix()


def test_converting_again_changes_no_file_of_the_models(pipeline: PipelineRun, published: Path) -> None:
    before = tree(published / "models")
    outcome = run_here("convert_to_onnx", pipeline.tuned_file, root=published)
    assert outcome.exit_code == 0, outcome.document
    assert outcome.document["published"] is True
    assert tree(published / "models") == before


def test_a_gate_that_is_not_met_keeps_the_version_from_being_published(unpublished: Path, database: Path) -> None:
    models = unpublished / "models"
    before = tree(models)
    strict = plant_config(database, validationConfig={"minPrecision": 1.0, "robustnessRows": 200, "latencyRuns": 20})
    config = write_json(unpublished.parent / "strict.json", strict)

    evaluated = run_here("validate_model", config, root=unpublished)
    assert evaluated.exit_code == 5, evaluated.document
    assert evaluated.error["code"] == "QUALITY_GATE"
    assert "precision" in evaluated.error["message"].lower()
    assert "validation_report.html" in evaluated.error["hint"]
    report = json.loads((unpublished / "artifacts" / ORGANIZATION / "v1" / "validation_report.json").read_text())
    assert report["status"] != "PASSED"
    assert [gate["key"] for gate in report["gates"] if not gate["passed"]] == ["minPrecision"]

    converted = run_here("convert_to_onnx", config, root=unpublished)
    assert converted.exit_code == 5
    assert converted.error["code"] == "QUALITY_GATE"
    assert report["verdict"] in converted.error["message"]
    assert tree(models) == before


def test_without_a_report_nothing_is_published_unless_asked_for(unpublished: Path, database: Path) -> None:
    (unpublished / "artifacts" / ORGANIZATION / "v1" / "validation_report.json").unlink()
    config = write_json(unpublished.parent / "config.json", plant_config(database))
    refused = run_here("convert_to_onnx", config, root=unpublished)
    assert (refused.exit_code, refused.error["code"]) == (5, "QUALITY_GATE")
    assert "no validation report" in refused.error["message"]
    assert "validate_model.py" in refused.error["hint"]

    always = plant_config(database, conversionConfig={"publish": "always", "parityRows": 500})
    forced = run_here("convert_to_onnx", write_json(config, always), root=unpublished)
    assert forced.exit_code == 0, forced.document
    assert [each["code"] for each in forced.document["warnings"]] == ["PUBLISHED_WITHOUT_PASSED_VALIDATION"]
    listed = workspace_command("list", ORGANIZATION, root=unpublished).document["versions"]
    assert [each["forced"] for each in listed] == [True]
    assert current(unpublished) == "versions/v1"


def test_a_published_version_is_not_replaced_by_another_model(published: Path, database: Path) -> None:
    before = tree(published / "models")
    changed = plant_config(database, trainingConfig={"threads": 1, "lgbParams": {"numIterations": 5}})
    outcome = run_here("train_model", write_json(published.parent / "config.json", changed), root=published)
    assert (outcome.exit_code, outcome.error["field"]) == (2, "version")
    assert "published" in outcome.error["message"]
    assert tree(published / "models") == before


def test_a_changed_model_file_is_refused_by_every_reader(pipeline: PipelineRun, published: Path) -> None:
    model = published / "models" / ORGANIZATION / "versions" / "v1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    for outcome in (
        run_here("validate_model", pipeline.tuned_file, root=published),
        run_here("convert_to_onnx", pipeline.tuned_file, root=published),
        workspace_command("verify", ORGANIZATION, root=published),
    ):
        assert (outcome.exit_code, outcome.error["code"]) == (6, "INTEGRITY_REFUSED")
        assert "model.onnx" in outcome.error["message"]


def test_list_names_the_versions_and_the_current_one(two_versions: PipelineRun) -> None:
    outcome = workspace_command("list", ORGANIZATION, root=two_versions.root)
    assert outcome.exit_code == 0
    listed = [(each["version"], each["modelType"], each["current"]) for each in outcome.document["versions"]]
    assert listed == [("v1", "lightgbm", False), ("v2", "random_forest", True)]


def test_rollback_and_publish_swap_the_link_and_nothing_else(two: Path) -> None:
    assert current(two) == "versions/v2"
    versions = tree(two / "models" / ORGANIZATION / "versions")
    back = workspace_command("rollback", ORGANIZATION, root=two)
    assert back.exit_code == 0, back.document
    assert (back.document["version"], back.document["previousVersion"]) == ("v1", "v2")
    assert current(two) == "versions/v1"
    forward = workspace_command("publish", ORGANIZATION, "v2", root=two)
    assert forward.exit_code == 0, forward.document
    assert current(two) == "versions/v2"
    assert tree(two / "models" / ORGANIZATION / "versions") == versions
    assert workspace_command("verify", ORGANIZATION, root=two).exit_code == 0


def test_publishing_what_does_not_exist_changes_nothing(two: Path) -> None:
    before = tree(two / "models")
    outcome = workspace_command("publish", ORGANIZATION, "v9", root=two)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "ARTIFACT_MISSING")
    assert "v9" in outcome.error["message"]
    assert tree(two / "models") == before
