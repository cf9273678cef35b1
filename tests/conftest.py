"""What holds for every test: with pytest's ``-n``, each worker is to use one CPU."""

from __future__ import annotations

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before a library makes its threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets computations, and steps that the test spawns, use as many threads as they are configured to."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
