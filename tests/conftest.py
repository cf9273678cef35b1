"""What holds for every test: with pytest's ``-n``, each worker is to use one CPU; who starts processes says so.

A test whose module needs another process, a browser, a cluster or a database server has the marker ``process``. The
marker follows from the imports of the module and of the helpers in ``tests`` that it imports. So has what runs whole
steps, searches, notebooks or benchmarks. In `make quick` a test without it that starts Python or a shell fails.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before a library makes its threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDS_PROCESSES = (
    "subprocess",
    "multiprocessing",
    "concurrent.futures.process",
    "dask",
    "distributed",
    "tests.chromium",
    "tests.dask_cluster",
    "tests.databases",
    "tests.pipeline",
    "ml.learning.search",
    "ml.scale.fleet.organizations",
    "ml.scale.fleet.step_process",
    "ml.scale.parallel_search",
    "ml.scripts",
    "simulation.demo",
    "benchmarks",
    "docs.notebooks",
    "docs.locked_requirements",
)
_running: list[pytest.Item] = []


def imports_of(file: Path) -> set[str]:
    """Names that a file imports anywhere: of ``import a.b`` that, of ``from a import b`` both ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@cache
def needs_processes(file: Path) -> bool:
    """Whether a file of tests, or a helper in ``tests`` that it imports, imports what starts processes."""
    names = imports_of(file)
    if any(name == wanted or name.startswith(f"{wanted}.") for name in names for wanted in NEEDS_PROCESSES):
        return True
    helpers = (REPOSITORY.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.startswith("tests."))
    return any(needs_processes(helper) for helper in helpers if helper.is_file() and helper != file)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(REPOSITORY / "tests" / "unit") or needs_processes(item.path):
            item.add_marker("process")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def starts_python(event: str, given: tuple[Any, ...]) -> bool:
    """Whether an audit event is the start of Python or a shell. Libraries start others, such as lscpu."""
    return event == "os.system" or (event == "subprocess.Popen" and Path(str(given[0])).name.startswith("python"))


def _refuse_unmarked_process(event: str, given: tuple[Any, ...]) -> None:
    """In `make quick`, where every test that runs is one without the marker."""
    if _running and _running[-1].config.getoption("markexpr") == "not process" and starts_python(event, given):
        raise AssertionError(
            f"{_running[-1].nodeid} starts a process without the marker `process`: import what starts it at the top "
            "of the module, or set pytestmark"
        )


sys.addaudithook(_refuse_unmarked_process)


@pytest.fixture
def several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets computations, and steps that the test spawns, use as many threads as they are configured to."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
