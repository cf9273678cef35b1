"""`trainingConfig.engine: "dask"` without a cluster: nothing listens, nothing is left, nobody else gets in."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from tests.pipeline.backend import Json, spawn
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

ENDS_SECONDS = 10  # after the step: workers notice within a moment that nobody is there
_LIGHT = {"raw": True, "lags": False, "differences": False, "anomaly": False, "interactions": False, "domain": False}


@pytest.fixture
def config_file(database: Path, tmp_path: Path) -> Path:
    config = plant_config(
        database,
        featureConfig={"scaling": "none", "families": _LIGHT | {"rolling": {"statistics": ["mean"]}}},
        trainingConfig={"engine": "dask"},
    )
    return write_json(tmp_path / "plant_a.json", config)


def test_one_command_prepares_trains_and_exports(config_file: Path, root: Path) -> None:
    seen: set[str] = set()
    listening: set[str] = set()

    def look(event: Json) -> bool:
        seen.add(event.get("message", ""))
        listening.update(_listening_below(psutil.Process()))
        return False

    trained = spawn("train_model", config_file, root=root, terminate_on=look)
    assert trained.exit_code == 0, trained.error
    assert seen >= {"computing features", "binning features", "fitting", "scoring"}
    assert listening == set()
    version = root / "models" / ORGANIZATION / "versions" / "v1"
    metadata = json.loads((version / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["training"]["engine"] == "dask"
    assert metadata["parity"]["windows"]["differingCells"] == 0
    assert trained.document["averagePrecision"] > 0.3
    assert spawn("validate_model", config_file, root=root).document["verdict"]
    assert _workers_left() == []


@pytest.mark.parametrize("message", ["computing features", "fitting"])
def test_sigterm_leaves_no_process_and_no_file(config_file: Path, root: Path, tmp_path: Path, message: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    stopped = spawn(
        "train_model",
        config_file,
        root=root,
        env={"TMPDIR": str(temporary)},
        terminate_on=lambda event: event.get("message") == message,
    )
    assert stopped.exit_code == 143
    assert _workers_left() == []
    assert [file.name for file in temporary.iterdir() if file.name != ".ses"] == []  # that one is onnxruntime's


def _workers_left() -> list[int]:
    deadline = time.monotonic() + ENDS_SECONDS
    while (left := [each.pid for each in _below(psutil.Process())]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _listening_below(process: psutil.Process) -> set[str]:
    found: set[str] = set()
    steps = [child for child in process.children() if "train_model" in _command(child)]
    for each in [process for step in steps for process in (step, *_children(step))]:
        try:
            found |= {str(one.laddr.ip) for one in each.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
        except psutil.NoSuchProcess:  # it has just ended
            continue
    return found


def _below(process: psutil.Process) -> list[psutil.Process]:
    """Workers and members of a step that this process has started, or that its end has left without a parent."""
    words = ("multiprocessing", "ml.scale.partitioned.member")
    candidates = [*process.children(recursive=True), *(each for each in psutil.process_iter() if _orphan(each))]
    return [each for each in candidates if any(word in _command(each) for word in words)]


def _orphan(process: psutil.Process) -> bool:
    try:
        return process.ppid() == 1
    except psutil.NoSuchProcess:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
