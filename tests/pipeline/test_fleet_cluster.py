"""An existing cluster: one scheduler and three workers on loopback, and one of them killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
import pytest

from tests.pipeline.backend import REPOSITORY, Json, environment, fleet, spawn
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.test_fleet import ENDLESS, LIGHT, processes_about, version_files, write_config

WORKERS = 3
START_SECONDS = 30
STEP_ENDS_SECONDS = 2  # after its worker; raises psutil.TimeoutExpired
LONG_ENOUGH_TO_BE_KILLED = LIGHT | {
    "earlyStoppingRounds": 0,
    "lgbParams": {"numLeaves": 7, "numIterations": 250, "learningRate": 0.01, "minDataInLeaf": 20},
}
KILLED_WHILE = ("putting readings on the grid", "computing features", "fitting")
BEGINS = "begins"  # the first line about a step, which has no message


@dataclass(frozen=True)
class Cluster:
    """A scheduler, and workers that are processes of their own."""

    address: str
    add_worker: Callable[[], None]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three workers; one more whenever a test asks for it."""
    address_file, numbers = tmp_path / "scheduler.json", count()
    with ExitStack() as stack:

        def add_worker() -> None:
            stack.enter_context(_worker(address_file, f"worker-{next(numbers)}"))

        stack.enter_context(_scheduler(address_file))
        for _ in range(WORKERS):
            add_worker()
        address = _address(address_file)
        _wait_for_workers(address)
        yield Cluster(address, add_worker)


def _scheduler(address_file: Path) -> AbstractContextManager[None]:
    return _dask("scheduler", "--port", "0", "--no-dashboard", file=address_file)


def _worker(address_file: Path, name: str) -> AbstractContextManager[None]:
    resources = ("--resources", "cpus=1 memory=2e9")
    return _dask(
        "worker", "--no-nanny", "--no-dashboard", "--nthreads", "1", "--name", name, *resources, file=address_file
    )


@contextmanager
def _dask(role: str, *arguments: str, file: Path) -> Iterator[None]:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{role}",
            "--host",
            "127.0.0.1",
            "--scheduler-file",
            file,
            *arguments,
        ],
        cwd=REPOSITORY,
        env=environment(file.parent),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.kill()


def _address(file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if file.exists() and file.stat().st_size:
            address: str = json.loads(file.read_text(encoding="utf-8"))["address"]
            return address
        time.sleep(0.05)
    raise AssertionError("the scheduler has not started")


def _wait_for_workers(address: str) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(WORKERS, timeout=START_SECONDS)


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
        if "ml.fleet.child" in command and str(file) in command:
            return process
    raise AssertionError("no step is running")


def test_workers_must_say_what_they_have(tmp_path: Path, root: Path, database: Path) -> None:
    """Without resources tasks would never be given to them, and the fleet would wait for ever."""
    write_json(tmp_path / "plant_a.json", plant_config(database))
    address_file = tmp_path / "scheduler" / "file.json"
    address_file.parent.mkdir()
    with _scheduler(address_file):
        none = fleet(tmp_path, "--scheduler", _address(address_file), root=root)
    assert none.exit_code == 4
    assert none.error["code"] == "CLUSTER_UNAVAILABLE"
    assert "no worker" in none.error["message"]
    assert '--resources "cpus=' in none.error["hint"]
