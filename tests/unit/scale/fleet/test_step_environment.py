from __future__ import annotations

from pathlib import Path

import pytest

from ml.scale.clients import SCHEDULER_VARIABLE
from ml.scale.fleet.step_process import _environment


def test_the_search_of_a_step_does_not_wait_for_the_workers_that_its_fleet_has_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://127.0.0.1:8786")
    monkeypatch.setenv("SCADA_PASSWORD", "looked up by the step")
    environment = _environment(Path("/workspace"), 3)
    assert SCHEDULER_VARIABLE not in environment
    assert environment["SCADA_PASSWORD"] == "looked up by the step"
    assert environment["OMP_NUM_THREADS"] == "3"
