"""The processes of a search, seen from the one that starts them: what they raise is raised, what dies is replaced."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import InternalError, StoppedError, StorageError, TooFewFailuresError
from ml.ingest.prepared.data import Prepared
from ml.scale import parallel_search
from ml.scale.parallel_search import SPARE, side_by_side
from tests.unit.learning.grid_frames import regular_plant

SECRET = "canary"


class Study:
    """A search that wants two trials and never gets them."""

    missing = 2

    def begin(self) -> None:
        """Nothing is left unfinished."""

    def refresh(self) -> None:
        """Nobody finishes anything."""


def config() -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "schemaConfig": {"continuousColumns": ["pressure"], "rollingWindows": [3], "lagSeconds": [60]},
            "scadaDbConfig": {"database": f"{SECRET}_history", "user": f"{SECRET}_user", "password": SECRET},
            "tuningConfig": {"workers": 2, "cvFolds": 2},
            "trainingConfig": {"threads": 2},
        }
    )


@pytest.fixture
def data() -> Prepared:
    frame = regular_plant(2, 900, 60, horizon=600)
    frame.insert(2, "segment", np.zeros(len(frame), dtype=np.int32))
    frame.insert(3, "pressure", np.arange(len(frame), dtype=np.float32) / 7)
    frame["status"] = pd.Categorical(["labelled"] * len(frame))
    return Prepared(frame, {"horizonSeconds": 600}, interval=60, max_gap=120)


def search(settings: OrganizationConfig, data: Prepared, journal: Path, progress: Any = lambda _: None) -> None:
    run = side_by_side(settings, data, journal)
    assert run is not None
    run(Study(), "plant_a/v1/x", float("inf"), progress)  # type: ignore[arg-type]


@pytest.mark.usefixtures("several_threads")
def test_an_error_of_a_process_is_raised_by_the_search(data: Prepared, tmp_path: Path) -> None:
    with pytest.raises(TooFewFailuresError, match="0 failure events") as refused:
        search(config(), data, tmp_path / "journal.log")
    assert refused.value.hint


@pytest.mark.usefixtures("several_threads")
def test_what_nobody_foresaw_goes_into_the_log_only(data: Prepared, tmp_path: Path) -> None:
    broken = replace(data, frame=data.frame.rename(columns={"label": "something"}))
    with pytest.raises(InternalError) as failed:
        search(config(), broken, tmp_path / "journal.log")
    assert failed.value.message == "a trial failed: KeyError"
    assert "Traceback" in "".join(failed.value.__notes__)


@pytest.mark.usefixtures("several_threads")
def test_killed_processes_are_replaced_and_too_many_are_told(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr(parallel_search, "_POLL_SECONDS", 0.01)
    with pytest.raises(StorageError, match=f"{SPARE + 1} processes of the search were killed"):
        search(config(), data, tmp_path / "journal.log")


@pytest.mark.usefixtures("several_threads")
def test_a_stop_ends_processes_that_do_nothing(data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\ncat > /dev/null\nexec sleep 600\n")
    deaf.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(deaf))
    began = time.monotonic()

    def stop(_: float) -> None:
        raise StoppedError("stopped")

    with pytest.raises(StoppedError):
        search(config(), data, tmp_path / "journal.log", stop)
    assert time.monotonic() - began < 30


def test_a_process_is_told_no_source(data: Prepared, tmp_path: Path) -> None:
    told: list[parallel_search.Part] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel_search, "threads_for", lambda _: 2)
        patch.setattr(parallel_search._Processes, "run", lambda self, _: told.append(self._part))
        search(config(), data, tmp_path / "journal.log")
    assert SECRET not in repr(told[0].config)
    assert SECRET not in told[0].config.to_json()
    assert told[0].config.training_config.threads == 1


def test_with_one_cpu_there_are_no_processes(data: Prepared, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel_search, "threads_for", lambda _: 1)
        assert side_by_side(config(), data, tmp_path / "journal.log") is None
