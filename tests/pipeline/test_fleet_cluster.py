"""An existing cluster: one scheduler and three workers on loopback, and one of them killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.dask_cluster import Cluster, dask_cluster
from tests.pipeline.backend import Json, fleet, spawn
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.test_fleet import ENDLESS, LIGHT, processes_about, version_files, write_config

STEP_ENDS_SECONDS = 2  # after its worker; raises psutil.TimeoutExpired
LONG_ENOUGH_TO_BE_KILLED = LIGHT | {
    "earlyStoppingRounds": 0,
    "lgbParams": {"numLeaves": 7, "numIterations": 250, "learningRate": 0.01, "minDataInLeaf": 20},
}
KILLED_WHILE = ("putting readings on the grid", "computing features", "fitting")
BEGINS = "begins"  # the first line about a step, which has no message


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with dask_cluster(tmp_path, workers=3) as running:
        yield running


def test_a_killed_worker_costs_time_and_nothing_else(cluster: Cluster, database: Path, tmp_path: Path) -> None:
    """One of three workers is killed in preparation, while features are computed and in training; another goes on."""
    root, alone = tmp_path / "workspace", tmp_path / "alone"
    config = plant_config(database, trainingConfig=LONG_ENOUGH_TO_BE_KILLED)
    config["schemaConfig"] |= {"lagSeconds": [1800], "rollingWindows": [4]}
    (tmp_path / "configs").mkdir()
    file = write_json(tmp_path / "configs" / "plant_a.json", config)
    killed: list[int] = []
    told: list[str] = []

    def kill_the_worker(event: Json) -> bool:
        message = event.get("message")
        if event.get("state") == "running":
            told.append(message or BEGINS)
        if len(killed) < len(KILLED_WHILE) and message == KILLED_WHILE[len(killed)]:
            running = _running_step(file)
            killed.append(running.ppid())
            os.kill(killed[-1], signal.SIGKILL)
            running.wait(timeout=STEP_ENDS_SECONDS)
            cluster.add_worker()
        return False

    arguments = (tmp_path / "configs", "--steps", "data_prep", "train_model", "--scheduler", cluster.address)
    outcome = fleet(*arguments, root=root, terminate_on=kill_the_worker)
    assert outcome.document["counts"] == {"done": 1}, outcome.document
    assert len(set(killed)) == len(KILLED_WHILE)
    assert told[told.index("computing features") + 1] == BEGINS, "no feature was ready when the worker was killed"
    assert [step["step"] for step in outcome.document["organizations"][0]["steps"]] == ["train_model"]

    for step in ("data_prep", "train_model"):
        assert spawn(step, file, root=alone).exit_code == 0
    assert version_files(root, ORGANIZATION) == version_files(alone, ORGANIZATION)
    prepared = [folder / "artifacts" / ORGANIZATION / "v1" / "prepared_data.parquet" for folder in (root, alone)]
    assert prepared[0].read_bytes() == prepared[1].read_bytes()


def test_sigterm_ends_the_steps_of_other_processes_too(
    cluster: Cluster, database: Path, tmp_path: Path, root: Path
) -> None:
    write_config(tmp_path / "configs", database, ORGANIZATION, trainingConfig=LIGHT | ENDLESS)
    arguments = (tmp_path / "configs", "--steps", "train_model", "--scheduler", cluster.address)
    outcome = fleet(*arguments, root=root, terminate_on=lambda event: event.get("message") == "fitting")
    assert outcome.exit_code == 143
    assert processes_about(tmp_path / "configs") == []


def _running_step(file: Path) -> psutil.Process:
    """The step that runs with the configuration `file`; there is one at a time, and its parent is the worker."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "ml.scale.fleet.child" in command and str(file) in command:
            return process
    raise AssertionError("no step is running")


def test_workers_must_say_what_they_have(tmp_path: Path, root: Path, database: Path) -> None:
    """Without resources tasks would never be given to them, and the fleet would wait for ever."""
    write_json(tmp_path / "plant_a.json", plant_config(database))
    folder = tmp_path / "scheduler"
    folder.mkdir()
    with dask_cluster(folder) as cluster:
        none = fleet(tmp_path, "--scheduler", cluster.address, root=root)
    assert none.exit_code == 4
    assert none.error["code"] == "CLUSTER_UNAVAILABLE"
    assert "no worker" in none.error["message"]
    assert '--resources "cpus=' in none.error["hint"]
