"""A few of the cases of ``make torture``, so that the promises and the machinery are tested with everything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.backend import REPOSITORY
from tests.torture import mutations
from tests.torture.fuzzing import fuzz
from tests.torture.mutations import KINDS, torture

CASES = 300


def test_operations_broken_at_some_of_their_steps() -> None:
    command = [sys.executable, "-m", "tests.torture.crashes", "--points", "2", "--seed", "3"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["broken"] == []
    killed = [figure for figure in result["figures"] if figure["fault"] == "SIGKILL"]
    assert [figure["operation"] for figure in killed] == ["train", "publish", "rollback"]
    assert [figure["ended by it"] for figure in killed] == [2, 2, 2]
    assert sum(figure["steps"] for figure in killed) >= 300


def test_configurations_that_nobody_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_BASE_PATH", "")  # put back afterwards
    figures = fuzz(tmp_path, CASES)
    assert figures.examples >= CASES
    assert set(figures.codes) >= {"CONFIG_INVALID", "ARTIFACT_MISSING"}


def test_damaged_data_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_BASE_PATH", "")  # put back afterwards
    monkeypatch.setattr(mutations, "LIMIT_SECONDS", 20.0)  # beside other tests; `make torture` is what measures time
    figures = torture(tmp_path.resolve(), 3 * len(KINDS), seed=4)
    assert figures.broken == []
    assert figures.examples == 3 * len(KINDS)
