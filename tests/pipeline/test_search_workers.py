"""A parameter search in several processes: no trial is lost but those that a killed one was running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.pipeline.backend import ML, Json, environment, spawn
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

STEP = "hyperparameter_tuning"
ENDS_SECONDS = 2.0
TRIALS = 8
TRAINING = {
    "threads": 2,
    "earlyStoppingRounds": 0,
    "lgbParams": {"numLeaves": 7, "numIterations": 100, "minDataInLeaf": 20},
}
SPACE = {"learningRate": {"low": 0.02, "high": 0.3}, "minDataInLeaf": {"low": 5, "high": 200}}
TUNING = {"nTrials": TRIALS, "cvFolds": 2, "workers": 2, "searchSpace": SPACE}


@pytest.fixture
def config_file(database: Path, tmp_path: Path) -> Path:
    config = plant_config(database, trainingConfig=TRAINING, tuningConfig=TUNING)
    config["schemaConfig"] |= {"lagSeconds": [1800], "rollingWindows": [4]}
    return write_json(tmp_path / "config.json", config)


def results(root: Path) -> Path:
    return root / "artifacts" / ORGANIZATION / "v1" / "hyperparameter_results"


def kept(root: Path) -> list[Json]:
    """What the journal says of each finished trial, in the order in which they were finished."""
    journal = results(root) / "journal.log"
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    entries = map(json.loads, lines)
    # 4: a trial was created, the first one as a finished one; 6: one has another state. States: complete 1, pruned 2
    return [entry for entry in entries if entry["op_code"] in (4, 6) and entry.get("state") in (1, 2)]


def children(root: Path) -> list[psutil.Process]:
    """Processes that run trials in the workspace."""
    running = [
        each for each in psutil.process_iter(["cmdline"]) if "ml.scale.search_worker" in (each.info["cmdline"] or [])
    ]
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
def test_whatever_dies_finished_trials_stay(config_file: Path, root: Path) -> None:
    """A process is killed and the search is stopped; it is killed itself; at last it goes on to its end."""
    threads: list[set[str]] = []
    stopped: list[float] = []

    def kill_a_process_and_stop(_: Json) -> bool:
        running = children(root)
        if not threads and len(running) == 2 and len(kept(root)) >= 2:
            threads.append({variables(child).get("OMP_NUM_THREADS", "") for child in running})
            running[0].kill()
        elif threads and not stopped and len(kept(root)) >= 4 and len(running) == 2:
            stopped.append(time.monotonic())
        return bool(stopped)

    outcome = spawn(STEP, config_file, root=root, terminate_on=kill_a_process_and_stop)
    assert time.monotonic() - stopped[0] < ENDS_SECONDS * crowd()
    assert (outcome.exit_code, outcome.error["code"]) == (143, "STOPPED")
    assert threads == [{"1"}]  # two processes of one thread each, as trainingConfig.threads is 2
    assert_nothing_left(root)
    first = kept(root)

    command = [sys.executable, f"scripts/{STEP}.py", str(config_file)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ML, env=environment(root), **quiet) as process:
        while len(kept(root)) < len(first) + 1:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    assert_nothing_left(root)
    second = kept(root)
    assert second[: len(first)] == first

    outcome = spawn(STEP, config_file, root=root)
    assert outcome.exit_code == 0, outcome.document
    assert outcome.document["trials"] == TRIALS
    third = kept(root)
    assert third[: len(second)] == second
    assert len(third) == TRIALS
    trials = json.loads((results(root) / "trials.json").read_text())["trials"]
    assert [trial["number"] for trial in trials] == list(range(TRIALS))
    assert len({tuple(trial["params"].values()) for trial in trials}) == TRIALS
    done = [event["done"] for event in outcome.progress if event["total"] == TRIALS]
    assert done == sorted(done)
    assert_nothing_left(root)
