"""`make quick` leaves out what starts processes: the marker follows from imports, and its lack is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import needs_processes

UNIT = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("import subprocess\n", True),
        ("def test():\n    from multiprocessing import Pool\n", True),
        ("from tests import chromium\n", True),
        ("from tests.pipeline.small_plant import ORGANIZATION\n", True),
        ("from dask.distributed import Client\n", True),
        ("from tests.unit.workspace import lock_holder\n", True),
        ("import dask_like, subprocesses\n", False),
        ("from tests.unit.learning.fitting import TYPES\n", False),
        ("text = 'import subprocess'\n", False),
    ],
)
def test_the_marker_follows_from_imports_of_the_module_and_its_helpers(
    source: str, needed: bool, tmp_path: Path
) -> None:
    file = tmp_path / "test_something.py"
    file.write_text(source)
    assert needs_processes(file) == needed


def test_this_module_has_no_marker_and_one_that_runs_the_documentation_has(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("process") is None
    assert needs_processes(UNIT / "docs/test_docs.py")


def test_a_process_without_the_marker_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="starts a process without the marker"):
        os.system("true")


@pytest.mark.process
def test_a_marker_of_its_own_lets_a_test_start_one() -> None:
    assert os.system("true") == 0
