"""A Dask scheduler and workers as processes of their own, on loopback."""

from __future__ import annotations

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


class Processes:
    """A cluster whose workers can be killed and started."""

    def __init__(self, folder: Path, stack: ExitStack, env: Mapping[str, str]) -> None:
        self._file, self._stack, self._env = folder / "scheduler.json", stack, dict(env)
        self._started = 0
        self._run("scheduler", "--port", "0", "--no-dashboard")
        deadline = time.monotonic() + START_SECONDS
        while not (self._file.exists() and self._file.stat().st_size):
            assert time.monotonic() < deadline, "the scheduler has not started"
            time.sleep(0.05)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the scheduler."""
        with Client(scheduler_file=str(self._file), set_as_default=False) as client:
            yield client

    def bring_to(self, workers: int, client: Client) -> None:
        """Start as many workers as are missing, and wait for them; each has one thread."""
        missing = workers - len(client.nthreads())
        for _ in range(missing):
            self._started += 1
            name = f"worker-{self._started}"
            self._run("worker", "--no-nanny", "--no-dashboard", "--nthreads", "1", "--name", name)
        client.wait_for_workers(workers, timeout=START_SECONDS)

    def _run(self, role: str, *arguments: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{role}", "--host", "127.0.0.1",
             "--scheduler-file", self._file, "--local-directory", self._file.parent, *arguments]
            if role == "worker" else
            [sys.executable, "-m", f"distributed.cli.dask_{role}", "--host", "127.0.0.1",
             "--scheduler-file", self._file, *arguments],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)


@contextmanager
def dask_processes(folder: Path, **env: str) -> Iterator[Processes]:
    """A scheduler without workers, which all end with the block."""
    with ExitStack() as stack:
        yield Processes(folder, stack, env)
