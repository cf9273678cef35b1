"""One step as a process of its own, as the backend spawns it, held to its share of CPUs and memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import ml
from ml.cluster.clients import SCHEDULER_VARIABLE
from ml.errors import InternalError, StorageError
from ml.fleet.budget import Budget

POLL_SECONDS = 0.05
STOP_SECONDS = 0.8
"""How long a step may take to clean up after SIGTERM before it is killed; a killed one leaves nothing half-written."""

_PACKAGE = Path(ml.__file__).resolve().parent
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class StepOutcome:
    """What a step left: exit status, its JSON result, seconds of wall clock, peak resident bytes."""

    step: str
    exit_code: int
    document: Mapping[str, Any] = field(repr=False)
    seconds: float
    peak_bytes: int
    outgrew: bool = False
    """Whether it was ended because it needed more memory than its share."""

    def error(self) -> dict[str, Any] | None:
        """The ``error`` of its result; None if it succeeded."""
        error: dict[str, Any] | None = self.document.get("error")
        return error


class RunningSteps:
    """The steps that this process runs, so that they can be ended from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, str] = {}
        self._stopped: set[str] = set()

    def start(self, run: str, command: list[str], **options: Any) -> subprocess.Popen[bytes] | None:
        """Start a process for the fleet run `run`; None if that run has been stopped."""
        with self._lock:
            if run in self._stopped:
                return None
            process = subprocess.Popen(command, **options)
            self._running[process.pid] = run
            return process

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
        """End every step of a fleet run, and start no other: SIGTERM, then SIGKILL for what is left."""
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


RUNNING = RunningSteps()


def run_step(
    step: str, config_file: Path, *, root: Path, share: Budget, run: str, tell: Callable[[dict[str, Any]], None]
) -> StepOutcome | None:
    """Run one step to its end; its progress lines go to `tell`. None if the run has been stopped before it began.

    A step that needs more resident memory than `share.memory` is killed and reported as StorageError would be.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = RUNNING.start(
            run,
            [sys.executable, "-P", "-m", "ml.fleet.child", str(os.getpid()), step, str(config_file)],
            cwd=_PACKAGE,
            env=_environment(root, share.cpus),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C goes to the fleet, which ends its steps itself
        )
        if process is None or process.stderr is None:
            return None
        with open(process.stderr.fileno(), encoding="utf-8", errors="replace", closefd=False) as lines:
            listener = threading.Thread(target=_listen, args=(lines, tell), daemon=True)
            listener.start()
            exit_code, peak, outgrew = _watch(process.pid, share.memory)
            process.returncode = exit_code  # it has been waited for
            listener.join()
        process.stderr.close()
        output.seek(0)
        document = _document(output.read(), step, exit_code, share, outgrew)
    return StepOutcome(step, exit_code, document, time.monotonic() - began, peak, outgrew)


def _watch(pid: int, memory: int) -> tuple[int, int, bool]:
    outgrew = False
    while (ended := RUNNING.reap(pid)) is None:
        if not outgrew and _resident(pid) > memory:
            outgrew = True
            RUNNING.kill(pid)
        time.sleep(POLL_SECONDS)
    return *ended, outgrew


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:  # it has just ended, or the system has no /proc
        return 0
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")


def _environment(root: Path, threads: int) -> dict[str, str]:
    """The worker's own, so that `passwordEnv` is looked up here, with the workspace and the number of threads.

    A step stays within its share: trials of its search that waited for workers, while their own worker waits for the
    search, could wait for ever.
    """
    limits = {name: str(threads) for name in _THREAD_VARIABLES}
    own = {name: value for name, value in os.environ.items() if name != SCHEDULER_VARIABLE}
    return own | limits | {"ML_BASE_PATH": str(root), "PYTHONPATH": str(_PACKAGE.parent)}


def _listen(lines: TextIO, tell: Callable[[dict[str, Any]], None]) -> None:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # a library's own words
            continue
        if isinstance(event, dict) and event.get("event") == "progress":
            tell(event)


def _document(text: str, step: str, exit_code: int, share: Budget, outgrew: bool) -> Mapping[str, Any]:
    if outgrew:
        error = StorageError(
            f"{step} needed more memory than its share of {share.memory / 1e6:,.0f} MB",
            hint="give tasks more with --task-memory, or run fewer side by side",
        )
        return {"status": "FAILED", "error": error.to_json()}
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"status": "FAILED", "error": InternalError(f"{step} ended with {exit_code} and told no result").to_json()}
