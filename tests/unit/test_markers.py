"""`make quick` leaves out what starts processes: the marker follows from imports, and its lack is noticed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import needs_processes, starts_python

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


@pytest.mark.parametrize(
    ("event", "given", "refused"),
    [
        ("subprocess.Popen", (sys.executable, ["python"], None, None), True),
        ("subprocess.Popen", ("/opt/bin/python3.14", ["python"], None, None), True),
        ("os.system", (b"true",), True),
        ("subprocess.Popen", ("lscpu", ["lscpu"], None, None), False),
        ("open", ("python", "r", 0), False),
    ],
)
def test_python_and_shells_are_refused_and_what_libraries_ask_is_not(
    event: str, given: tuple[object, ...], refused: bool
) -> None:
    assert starts_python(event, given) == refused


def test_quick_refuses_a_process_without_the_marker(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("markexpr") != "not process":
        pytest.skip("only `make quick` refuses")
    with pytest.raises(AssertionError, match="starts a process without the marker"):
        os.system("true")
