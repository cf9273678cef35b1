"""A Dask scheduler and workers on loopback, each a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.pipeline.backend import REPOSITORY, environment

WORKERS = 3
_START_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """A scheduler's address, and what starts one more worker for it."""

    address: str
    add_worker: Callable[[], None]


@contextmanager
def dask_cluster(
    folder: Path, workers: int = WORKERS, worker_environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A scheduler and workers that are ready, until the block ends; workers may have variables that nobody else has."""
    address_file, numbers = folder / "scheduler.json", count()
    with ExitStack() as stack:

        def add_worker() -> None:
            stack.enter_context(_dask_worker(address_file, f"worker-{next(numbers)}", worker_environment or {}))

        stack.enter_context(dask_scheduler(address_file))
        for _ in range(workers):
            add_worker()
        address = address_in(address_file)
        _wait_for_workers(address, workers)
        yield Cluster(address, add_worker)


def dask_scheduler(address_file: Path) -> AbstractContextManager[None]:
    """A scheduler that writes where it listens into `address_file`."""
    return _dask("scheduler", "--port", "0", file=address_file, extra={})


def address_in(file: Path) -> str:
    """The address in a scheduler's file, as soon as it is there."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if file.exists() and file.stat().st_size:
            address: str = json.loads(file.read_text(encoding="utf-8"))["address"]
            return address
        time.sleep(0.05)
    raise AssertionError("the scheduler has not started")


def _dask_worker(address_file: Path, name: str, extra: Mapping[str, str]) -> AbstractContextManager[None]:
    limits = ("--nthreads", "1", "--resources", "cpus=1 memory=2e9")
    return _dask("worker", "--no-nanny", "--name", name, *limits, file=address_file, extra=extra)


@contextmanager
def _dask(role: str, *arguments: str, file: Path, extra: Mapping[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{role}", "--host", "127.0.0.1", "--no-dashboard"]
    with subprocess.Popen(
        [*command, "--scheduler-file", file, *arguments],
        cwd=REPOSITORY,
        env=environment(file.parent, extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.kill()


def _wait_for_workers(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=_START_SECONDS)
