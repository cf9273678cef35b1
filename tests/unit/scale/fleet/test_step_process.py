"""One process for an organisation's steps: what it tells, and what becomes of it when a step dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.scale.fleet.budget import Budget
from ml.scale.fleet.running import RUNNING
from ml.scale.fleet.step_process import StepProcess

REPOSITORY = Path(__file__).resolve().parents[4]
SHARE = Budget(1, 1024**3)
NO_FILE, NO_DATABASE = "missing.json", "config.json"


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def process(tmp_path: Path, told: list[dict[str, Any]]) -> Iterator[StepProcess]:
    (tmp_path / NO_DATABASE).write_text(
        '{"organizationId": "acme", "schemaConfig": {"continuousColumns": ["heat"]},'
        ' "dataSource": {"path": "nowhere.csv"}}'
    )
    with StepProcess(tmp_path / NO_DATABASE, root=tmp_path, share=SHARE, run="run", tell=told.append) as process:
        yield process
    assert children(tmp_path) == []


def children(folder: Path) -> list[int]:
    """The processes that name something in `folder`, which this one has started."""
    return [each.pid for each in psutil.Process().children() if any(str(folder) in part for part in each.cmdline())]


def test_steps_share_a_process_and_each_has_its_own_result(process: StepProcess, tmp_path: Path) -> None:
    first = process.run("data_prep", tmp_path / NO_FILE)
    assert first is not None
    assert (first.step, first.exit_code, (first.error() or {})["code"]) == ("data_prep", 2, "CONFIG_INVALID")
    alone = children(tmp_path)
    second = process.run("train_model", tmp_path / NO_DATABASE)
    assert second is not None
    assert (second.step, second.exit_code, (second.error() or {})["code"]) == ("train_model", 3, "ARTIFACT_MISSING")
    assert second.peak_bytes > first.peak_bytes > 1024**2
    assert len(alone) == 1
    assert children(tmp_path) == alone


def test_a_step_that_dies_is_told_and_the_next_one_begins_anew(process: StepProcess, tmp_path: Path) -> None:
    process.run("data_prep", tmp_path / NO_FILE)
    (pid,) = children(tmp_path)
    os.kill(pid, signal.SIGSEGV)
    dead = process.run("data_prep", tmp_path / NO_FILE)
    assert dead is not None
    assert dead.exit_code == -signal.SIGSEGV
    assert (dead.error() or {})["message"] == "data_prep ended with -11 and told no result"
    again = process.run("data_prep", tmp_path / NO_FILE)
    assert again is not None
    assert again.exit_code == 2
    assert children(tmp_path) != [pid]


def test_no_step_begins_in_a_run_that_was_stopped(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    with StepProcess(tmp_path, root=tmp_path, share=SHARE, run="stopped", tell=told.append) as process:
        assert process.run("data_prep", tmp_path / NO_FILE) is not None
        RUNNING.stop("stopped")
        assert process.run("data_prep", tmp_path / NO_FILE) is None
    assert children(tmp_path) == []


def test_a_process_whose_starter_is_gone_leaves_at_once(tmp_path: Path) -> None:
    """As if the worker had died before the process asked the system to end it with the worker."""
    command = [sys.executable, "-m", "ml.scale.fleet.child", str(os.getppid()), "config.json"]
    asked = json.dumps({"step": "data_prep", "config": str(tmp_path / NO_FILE)})
    done = subprocess.run(command, cwd=REPOSITORY, input=asked, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "")
