"""Data that cannot be used, and data that is not the organisation's: refused, with nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipeline.backend import Json, Outcome, run_here, tree
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json

FOREIGN = "rival_works"


def write_readings(path: Path, failures: int, hours: int = 400) -> Path:
    """Hourly readings of one asset, with failures of one hour each spread over its life."""
    failed = {hours * (number + 1) // (failures + 1) for number in range(failures)}
    rows = (f"{stamp(hour)},{20 + hour % 7},{int(hour in failed)}" for hour in range(hours))
    path.write_text("\n".join(["timestamp,temperature,failure_indicator", *rows]) + "\n")
    return path


def stamp(hour: int) -> str:
    return f"2025-{1 + hour // 672:02d}-{1 + hour // 24 % 28:02d}T{hour % 24:02d}:00:00Z"


def file_config(path: Path, **sections: Json) -> Json:
    return {
        "organizationId": ORGANIZATION,
        "schemaConfig": {"continuousColumns": ["temperature"]},
        "dataSource": {"path": str(path)},
        "dataConfig": {"predictionHorizonSeconds": 14_400},
        **sections,
    }


def run(step: str, config: Json, root: Path, *arguments: Path) -> Outcome:
    return run_here(step, write_json(root.parent / "config.json", config), *arguments, root=root)


def assert_nothing_half_written(root: Path) -> None:
    """Locks, logs and the audit log may be there; of models nothing, and no temporary file."""
    for path, content in tree(root).items():
        name = path.rpartition("/")[2]
        assert not name.startswith(".") or "lock" in name, path
        assert not path.startswith("models/") or content == "/" or "lock" in name, path


def test_a_missing_column(root: Path, database: Path) -> None:
    config = plant_config(database)
    config["schemaConfig"]["continuousColumns"] = [*config["schemaConfig"]["continuousColumns"], "vibration_z"]
    outcome = run("train_model", config, root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "COLUMN_MISSING")
    assert "vibration_z" in outcome.error["message"]
    assert "vibration" in outcome.error["hint"]
    assert_nothing_half_written(root)
    assert not list(root.rglob("*.parquet"))


def test_no_rows_in_the_range(root: Path, database: Path) -> None:
    dates = {"startDate": "2031-01-01T00:00:00Z", "endDate": "2031-02-01T00:00:00Z"}
    outcome = run("train_model", plant_config(database, dataRange=dates), root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "NO_ROWS")
    assert outcome.error["field"] == "dataRange"
    assert "2031-01-01" in outcome.error["message"]
    assert "2025-01-01" in outcome.error["hint"]
    assert_nothing_half_written(root)
    assert not list(root.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("failures", "data", "words"),
    [
        (0, {}, "0 failure events"),
        (0, {"minFailureEvents": 0}, "no positive rows"),
        (6, {}, "at least 3 are needed"),
    ],
    ids=["none", "one class only", "too few"],
)
def test_too_few_failures_to_learn_from(failures: int, data: Json, words: str, root: Path, tmp_path: Path) -> None:
    readings = write_readings(tmp_path / "readings.csv", failures)
    config = file_config(readings, dataConfig={"predictionHorizonSeconds": 14_400, **data})
    outcome = run("train_model", config, root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "TOO_FEW_FAILURES")
    assert words in outcome.error["message"]
    assert "dataRange" in outcome.error["hint"]
    assert_nothing_half_written(root)


def test_the_minimum_of_failures_can_be_overridden(root: Path, tmp_path: Path) -> None:
    readings = write_readings(tmp_path / "readings.csv", 6)
    data = {"predictionHorizonSeconds": 14_400, "minFailureEvents": 1}
    training = {"threads": 1, "lgbParams": {"numIterations": 10}, "exportOnnx": False}
    outcome = run("train_model", file_config(readings, dataConfig=data, trainingConfig=training), root)
    assert outcome.exit_code == 0, outcome.document


@pytest.mark.parametrize("step", ["data_prep", "train_model"])
def test_a_source_file_that_is_not_there(step: str, root: Path, tmp_path: Path) -> None:
    outcome = run(step, file_config(tmp_path / "gone.csv"), root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "ARTIFACT_MISSING")
    assert "gone.csv" in outcome.error["message"]
    assert_nothing_half_written(root)


def test_a_database_that_is_not_there(root: Path, tmp_path: Path) -> None:
    outcome = run("data_prep", plant_config(tmp_path / "gone.sqlite"), root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "ARTIFACT_MISSING")
    assert "gone.sqlite" in outcome.error["message"]
    assert not (tmp_path / "gone.sqlite").exists()
    assert_nothing_half_written(root)


def test_a_configuration_without_a_source(root: Path) -> None:
    config = file_config(Path("unused"))
    del config["dataSource"]
    outcome = run("train_model", config, root)
    assert (outcome.exit_code, outcome.error["code"]) == (2, "CONFIG_INVALID")
    assert outcome.error["field"] == "scadaDbConfig"
    assert "dataSource" in outcome.error["hint"]


@pytest.mark.parametrize("step", ["validate_model", "convert_to_onnx"])
def test_a_version_that_was_never_trained(step: str, root: Path, database: Path) -> None:
    outcome = run(step, plant_config(database), root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "ARTIFACT_MISSING")
    assert outcome.error["field"] == "version"
    assert "train_model.py" in outcome.error["hint"]
    assert_nothing_half_written(root)


@pytest.mark.parametrize("step", ["hyperparameter_tuning", "validate_model", "convert_to_onnx"])
def test_a_file_among_anothers_artifacts(step: str, pipeline: PipelineRun, published: Path) -> None:
    theirs = published / "artifacts" / FOREIGN / "v1"
    theirs.mkdir(parents=True)
    file = write_readings(theirs / "readings.csv", 6)
    before = tree(published / "models"), tree(theirs)
    outcome = run_here(step, pipeline.tuned_file, file, root=published)
    assert_refused_without_a_name(outcome)
    assert (tree(published / "models"), tree(theirs)) == before


@pytest.mark.parametrize("step", ["hyperparameter_tuning", "validate_model"])
def test_anothers_prepared_data_copied_out_of_the_workspace(
    step: str, foreign_data: Path, pipeline: PipelineRun, published: Path
) -> None:
    before = tree(published / "models"), reports(published)
    outcome = run_here(step, pipeline.tuned_file, foreign_data, root=published)
    assert_refused_without_a_name(outcome)
    assert (tree(published / "models"), reports(published)) == before


def test_anothers_database_file(root: Path, database: Path) -> None:
    theirs = root / "artifacts" / FOREIGN / "v1"
    theirs.mkdir(parents=True)
    shutil.copyfile(database, theirs / "scada.sqlite")
    outcome = run("data_prep", plant_config(theirs / "scada.sqlite"), root)
    assert_refused_without_a_name(outcome)
    assert not list(root.rglob("*.parquet"))


def assert_refused_without_a_name(outcome: Outcome) -> None:
    assert (outcome.exit_code, outcome.error["code"]) == (6, "ISOLATION_REFUSED"), outcome.document
    assert FOREIGN not in outcome.stdout_text + outcome.stderr_text


def reports(root: Path) -> dict[str, str]:
    """What validation and tuning wrote: everything but logs and the audit log."""
    return {
        path: content for path, content in tree(root / "artifacts").items() if not path.endswith((".log", ".jsonl"))
    }


@pytest.fixture(scope="module")
def foreign_data(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of another organisation, lying outside every workspace."""
    folder = tmp_path_factory.mktemp("foreign")
    config = write_json(folder / "config.json", plant_config(database) | {"organizationId": FOREIGN})
    outcome = run_here("data_prep", config, root=folder / "workspace")
    assert outcome.exit_code == 0, outcome.document
    return Path(shutil.copyfile(outcome.document["preparedDataPath"], folder / "innocent.parquet"))
