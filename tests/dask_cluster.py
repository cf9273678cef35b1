"""A Dask scheduler and workers on loopback, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 60


class Cluster:
    """A scheduler, and workers of one thread that can be killed and started."""

    def __init__(self, folder: Path, stack: ExitStack, env: Mapping[str, str]) -> None:
        self._file, self._stack, self._env, self._started = folder / "scheduler.json", stack, dict(env), 0
        self._run("scheduler", "--port", "0", env={})
        deadline = time.monotonic() + START_SECONDS
        while not (self._file.exists() and self._file.stat().st_size):
            assert time.monotonic() < deadline, "the scheduler has not started"
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text(encoding="utf-8"))["address"]

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the scheduler."""
        with Client(self.address, set_as_default=False) as client:
            yield client

    def add_worker(self) -> None:
        """Start one more worker."""
        self._started += 1
        limits = ("--nthreads", "1", "--resources", "cpus=1 memory=2e9", "--local-directory", str(self._file.parent))
        self._run("worker", "--no-nanny", "--name", f"worker-{self._started}", *limits, env=self._env)

    def bring_to(self, workers: int, client: Client) -> None:
        """Start as many workers as are missing, and wait for them."""
        for _ in range(workers - len(client.nthreads())):
            self.add_worker()
        client.wait_for_workers(workers, timeout=START_SECONDS)

    def _run(self, role: str, *arguments: str, env: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", "--host", "127.0.0.1", "--no-dashboard"]
        process = subprocess.Popen(
            [*command, "--scheduler-file", self._file, *arguments],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1", "ML_BASE_PATH": str(self._file.parent)} | dict(env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 0, worker_environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A scheduler and so many workers that are ready, until the block ends.

    Workers may have variables that nobody else has.
    """
    with ExitStack() as stack:
        cluster = Cluster(folder, stack, worker_environment or {})
        if workers:
            with cluster.client() as client:
                cluster.bring_to(workers, client)
        yield cluster
