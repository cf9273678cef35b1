from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from simulation.database import write_sqlite
from simulation.furnace import wearing_furnace, write_furnace
from simulation.station import Station
from tests.pipeline.backend import STEPS, run_here, spawn
from tests.pipeline.furnace_modes import furnace_config
from tests.pipeline.small_plant import PipelineRun, plant_config, simulate_small_plant, write_json


@pytest.fixture(scope="session")
def station() -> Station:
    return simulate_small_plant()


@pytest.fixture(scope="session")
def database(station: Station, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scada") / "scada.sqlite"
    write_sqlite(station, path)
    return path


@pytest.fixture(scope="session")
def readings(station: Station, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plant's readings as a file, without the target."""
    file = tmp_path_factory.mktemp("readings") / "readings.parquet"
    station.readings.drop(columns="failure_indicator").to_parquet(file)
    return file


@pytest.fixture(scope="session")
def pipeline(database: Path, tmp_path_factory: pytest.TempPathFactory) -> PipelineRun:
    """All five steps on the small plant, each given what the step before wrote. To be read only."""
    folder = tmp_path_factory.mktemp("pipeline")
    root = folder / "workspace"
    root.mkdir()
    config = plant_config(database)
    first = given = write_json(folder / "config.json", config)
    outcomes = {}
    for step in STEPS:
        outcomes[step] = spawn(step, given, root=root)
        if step == "hyperparameter_tuning" and outcomes[step].exit_code == 0:
            given = Path(outcomes[step].document["trainingConfigPath"])
    return PipelineRun(root, config, first, given, outcomes)


@pytest.fixture(scope="session")
def two_versions(pipeline: PipelineRun, tmp_path_factory: pytest.TempPathFactory) -> PipelineRun:
    """A copy of the workspace; a random forest with times, version v2, was published after v1. To be read only."""
    folder = tmp_path_factory.mktemp("two_versions")
    root = folder / "workspace"
    shutil.copytree(pipeline.root, root, symlinks=True)
    training = pipeline.config["trainingConfig"] | {"modelType": "random_forest", "timeToFailure": "on"}
    config = pipeline.config | {"version": "v2", "trainingConfig": training}
    file = write_json(folder / "config.json", config)
    outcomes = {step: run_here(step, file, root=root) for step in ("train_model", "validate_model", "convert_to_onnx")}
    return PipelineRun(root, config, file, file, outcomes)


@pytest.fixture(scope="session")
def furnace_modes(tmp_path_factory: pytest.TempPathFactory) -> PipelineRun:
    """The furnace whose failures have four modes, trained, validated and published. To be read only."""
    folder = tmp_path_factory.mktemp("furnace_modes")
    root = folder / "workspace"
    root.mkdir()
    write_furnace(wearing_furnace(), folder / "scada.sqlite")
    config = furnace_config(folder / "scada.sqlite")
    file = write_json(folder / "config.json", config)
    outcomes = {step: run_here(step, file, root=root) for step in ("train_model", "validate_model", "convert_to_onnx")}
    return PipelineRun(root, config, file, file, outcomes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def published(pipeline: PipelineRun, tmp_path: Path) -> Path:
    """A copy of the workspace in which v1 is trained, validated and published; free to be changed."""
    return Path(shutil.copytree(pipeline.root, tmp_path / "published", symlinks=True))
