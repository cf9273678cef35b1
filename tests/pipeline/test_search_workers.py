"""A parameter search on many workers, each a process: the same result whatever dies, and nothing left of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ml.config import OrganizationConfig
from ml.scripts import data_prep, hyperparameter_tuning
from tests.pipeline.backend import ML, Json, environment, spawn
from tests.pipeline.dask_cluster import dask_cluster
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

STEP = "hyperparameter_tuning"
ENDS_SECONDS = 2.0
TRIALS = 10
TRAINING = {
    "threads": 2,
    "earlyStoppingRounds": 0,
    "lgbParams": {"numLeaves": 7, "numIterations": 150, "minDataInLeaf": 20},
}
SPACE = {"learningRate": {"low": 0.02, "high": 0.3}, "minDataInLeaf": {"low": 5, "high": 200}}
TUNING = {"nTrials": TRIALS, "cvFolds": 2, "workers": 2, "searchSpace": SPACE}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Address of a scheduler with workers."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with dask_cluster(folder) as running:
        yield running.address


@pytest.fixture
def config_file(database: Path, tmp_path: Path) -> Path:
    config = plant_config(database, trainingConfig=TRAINING, tuningConfig=TUNING)
    config["schemaConfig"] |= {"lagSeconds": [1800], "rollingWindows": [4]}
    return write_json(tmp_path / "config.json", config)


@pytest.fixture
def in_one_process(config_file: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """Trials of the same search where there is one CPU, and so no other process; leaves prepared data in `root`."""
    config = OrganizationConfig.load_from_file(config_file)
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    data_prep.run(config)
    alone = Path(shutil.copytree(root, tmp_path / "alone"))
    with monkeypatch.context() as one_cpu:
        one_cpu.setenv("ML_BASE_PATH", str(alone))
        one_cpu.setenv("OMP_NUM_THREADS", "1")
        hyperparameter_tuning.run(config)
    return trials(alone)


def results(root: Path) -> Path:
    return root / "artifacts" / ORGANIZATION / "v1" / "hyperparameter_results"


def trials(root: Path) -> list[Json]:
    kept: list[Json] = json.loads((results(root) / "trials.json").read_text())["trials"]
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in kept]


def kept_seconds(root: Path) -> dict[int, float]:
    """Finished trials that the journal holds, by number, each with the time that it took."""
    journal = results(root) / "journal.log"
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    kept = [entry["user_attrs"] for entry in map(json.loads, lines) if entry["op_code"] == 4]  # 4: trial created
    return {attributes["number"]: attributes["seconds"] for attributes in kept}


def children(root: Path) -> list[psutil.Process]:
    """Processes that run trials in the workspace."""
    running = [each for each in psutil.process_iter(["cmdline"]) if "ml.spread.child" in (each.info["cmdline"] or [])]
    return [each for each in running if variables(each).get("ML_BASE_PATH") == str(root)]


def variables(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # it has just ended
        return {}


def crowd() -> float:
    """How many processes share a CPU; a process can promise seconds only where it has one of its own."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def assert_nothing_left(root: Path) -> None:
    deadline = time.monotonic() + ENDS_SECONDS * crowd()
    while children(root) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert children(root) == []


@pytest.mark.usefixtures("several_threads")
def test_whatever_dies_the_result_is_that_of_one_process(
    in_one_process: list[Json],
    config_file: Path,
    root: Path,
    cluster: str,
) -> None:
    """Its workers are killed and then it is stopped; it is killed; at last it goes on elsewhere and loses a worker."""
    threads: list[set[str]] = []
    stopped: list[float] = []

    def kill_the_workers_and_stop(_: Json) -> bool:
        running = children(root)
        if not threads and len(running) == 2 and kept_seconds(root):
            threads.append({variables(child)["OMP_NUM_THREADS"] for child in running})
            for child in running:
                child.kill()
        elif threads and len(kept_seconds(root)) >= 3:
            stopped.append(time.monotonic())
        return bool(stopped)

    outcome = spawn(STEP, config_file, root=root, terminate_on=kill_the_workers_and_stop)
    assert time.monotonic() - stopped[0] < ENDS_SECONDS * crowd()
    assert (outcome.exit_code, outcome.error["code"]) == (143, "STOPPED")
    assert threads == [{"1"}]  # two workers of one thread each, as trainingConfig.threads is 2
    assert_nothing_left(root)
    assert leftovers(root) == []
    first = kept_seconds(root)

    command = [sys.executable, f"scripts/{STEP}.py", str(config_file)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ML, env=environment(root), **quiet) as process:
        while len(kept_seconds(root)) < len(first) + 1:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    assert_nothing_left(root)
    second = kept_seconds(root)
    assert first.items() < second.items()
    assert len(second) < TRIALS - 2

    killed: list[int] = []

    def kill_a_worker_of_the_cluster(_: Json) -> bool:
        if not killed and len(running := children(root)) == 2:
            killed.append(running[0].ppid())
            os.kill(killed[0], signal.SIGKILL)
        return False

    elsewhere = {"DASK_SCHEDULER_ADDRESS": cluster}
    outcome = spawn(STEP, config_file, root=root, env=elsewhere, terminate_on=kill_a_worker_of_the_cluster)
    assert outcome.exit_code == 0, outcome.document
    assert killed
    assert second.items() < kept_seconds(root).items()
    assert trials(root) == in_one_process
    assert {trial["state"] for trial in in_one_process} == {"COMPLETE", "PRUNED"}
    done = [event["done"] for event in outcome.progress if event["total"] == TRIALS]
    assert done == sorted(done)
    assert done[-1] == TRIALS
    assert_nothing_left(root)
    assert leftovers(root) == []


def leftovers(root: Path) -> list[str]:
    """Names of what the search has written for its workers only."""
    return [path.name for path in results(root).parent.iterdir() if path.name.startswith(".")]
