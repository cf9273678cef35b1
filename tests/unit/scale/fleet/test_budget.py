from __future__ import annotations

import argparse

import pytest

from ml.errors import UsageError
from ml.scale.fleet.budget import Budget, machine_budget, parse_count, parse_size, task_budget
from ml.windows import parallel

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("512M", 512 * 1024**2),
        ("3G", 3 * GIB),
        ("1.5GiB", GIB * 3 // 2),
        ("2 kb", 2048),
        ("1t", 1024 * GIB),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "3X", "0", "1e9", "3 G 4"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="3G"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", ""])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        parse_count(text)


def test_a_task_gets_as_much_of_the_memory_as_of_the_cpus() -> None:
    assert task_budget(Budget(8, 16 * GIB), 2, None) == Budget(2, 4 * GIB)
    assert task_budget(Budget(8, 16 * GIB), 2, GIB) == Budget(2, GIB)


@pytest.mark.parametrize(("cpus", "memory", "words"), [(3, None, "--task-cpus 3"), (1, 2 * GIB, "--task-memory")])
def test_a_task_that_would_wait_for_ever_is_refused(cpus: int, memory: int | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        task_budget(Budget(2, GIB), cpus, memory)


def test_the_machine_is_the_default() -> None:
    found = machine_budget(None, None)
    assert found.cpus == parallel.available_cpus()
    assert GIB // 4 < found.memory < 2**50
    assert machine_budget(3, GIB) == Budget(3, GIB)


@pytest.mark.parametrize(("limit", "threads"), [("1", 1), ("1,4", 1), ("", 3), ("none", 3), ("0", 3), ("64", 3)])
def test_configured_threads_do_not_exceed_the_share(limit: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert parallel.threads_for(3) == threads


def test_available_cpus_are_no_more_than_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert parallel.available_cpus() == parallel.threads_for(None) == 1
