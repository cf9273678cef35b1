"""The processes that this process has started for fleet runs, so that they can be ended from another thread."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

from ml.scale.processes import start

POLL_SECONDS = 0.05
STOP_SECONDS = 0.8
"""How long a step may take to clean up after SIGTERM before it is killed; a killed one leaves nothing half-written."""


class RunningProcesses:
    """Process ids, each with the fleet run that it works for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, str] = {}
        self._stopped: set[str] = set()

    def start(self, run: str, command: list[str], own: dict[str, str]) -> subprocess.Popen[bytes] | None:
        """Start a process with its own environment for the fleet run `run`; None if that run has been stopped."""
        with self._lock:
            if run in self._stopped:
                return None
            process = start(command, own, bufsize=0, stderr=subprocess.PIPE)
            self._running[process.pid] = run
            return process

    def is_stopped(self, run: str) -> bool:
        """Whether the fleet run has been stopped."""
        with self._lock:
            return run in self._stopped

    def reap(self, pid: int) -> tuple[int, int] | None:
        """Status and peak resident bytes of a process that has ended; None while it runs."""
        with self._lock:  # a number that is waited for is free for another process, which must not be signalled
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if not ended:
                return None
            del self._running[pid]
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024

    def kill(self, pid: int) -> None:
        """End one process at once."""
        self._signal([pid], signal.SIGKILL)

    def stop(self, run: str) -> None:
        """End every process of a fleet run, and start no other: SIGTERM, then SIGKILL for what is left."""
        with self._lock:
            self._stopped.add(run)
        self._signal(self._of(run), signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._of(run) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._signal(self._of(run), signal.SIGKILL)

    def _of(self, run: str) -> list[int]:
        with self._lock:
            return [pid for pid, owner in self._running.items() if owner == run]

    def _signal(self, pids: list[int], number: signal.Signals) -> None:
        with self._lock:
            for pid in pids:
                if pid in self._running:
                    os.kill(pid, number)


RUNNING = RunningProcesses()
