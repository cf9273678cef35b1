"""The process in which an organisation's steps run, held to its share of CPUs and memory."""

from __future__ import annotations

import io
import json
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from ml.errors import InternalError, StorageError
from ml.scale.clients import SCHEDULER_VARIABLE
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.running import POLL_SECONDS, RUNNING
from ml.scale.processes import command, environment, resident

_END_SECONDS = 0.005  # between looks at a process that has nothing left to do but to end
_PIPE_BYTES = 1 << 16


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


class _End(NamedTuple):
    """How a step ended, and whether its process ended with it."""

    exit_code: int
    peak_bytes: int
    result: bytes
    died: bool = False
    outgrew: bool = False


class StepProcess:
    """A process that runs the steps of one organisation, one after the other, and no other organisation's.

    A context manager. The process begins with the first step and ends with the block.

    Parameters
    ----------
    config_file
        The organisation's configuration, to be seen in lists of processes.
    root
        Workspace root.
    share
        What the process may use. One that needs more resident memory is killed.
    run
        Id of the fleet run.
    tell
        Called with the progress lines of the steps, from another thread.
    """

    def __init__(
        self, config_file: Path, *, root: Path, share: Budget, run: str, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._command = command("ml.scale.fleet.child", str(config_file))
        self._environment = _environment(root, share.cpus)
        self._share = share
        self._run = run
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        process = self._process
        if process is None:
            return
        if kind is not None:
            RUNNING.kill(process.pid)
        _pipe(process.stdin).close()  # there will be no other step
        while (ended := RUNNING.reap(process.pid)) is None:
            time.sleep(_END_SECONDS)
        self._forget(process, ended[0])

    def run(self, step: str, config_file: Path) -> StepOutcome | None:
        """Run one step to its end; None if the fleet run has been stopped before.

        A step that outgrows its share of memory is reported as StorageError would be. A step that dies takes the
        process with it; the next one begins a new process.
        """
        began = time.monotonic()
        process = self._process or self._start()
        if process is None or RUNNING.is_stopped(self._run):
            return None
        with suppress(BrokenPipeError):  # it has just died, which is seen below
            _pipe(process.stdin).write(json.dumps({"step": step, "config": str(config_file)}).encode() + b"\n")
        end = self._watch(process)
        if end.died:
            self._forget(process, end.exit_code)
        document = _document(step, end, self._share)
        return StepOutcome(step, end.exit_code, document, time.monotonic() - began, end.peak_bytes, end.outgrew)

    def _start(self) -> subprocess.Popen[bytes] | None:
        process = RUNNING.start(self._run, self._command, self._environment)
        if process is not None:
            self._process = process
            os.set_blocking(_pipe(process.stdout).fileno(), False)
            self._listener = threading.Thread(target=_listen, args=(_pipe(process.stderr), self._tell), daemon=True)
            self._listener.start()
        return process

    def _watch(self, process: subprocess.Popen[bytes]) -> _End:
        """Wait for the step's end or the process's, and look at its memory meanwhile."""
        stdout, outgrew, written = _pipe(process.stdout), False, b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while (ended := RUNNING.reap(process.pid)) is None:
                if not outgrew and resident(process.pid) > self._share.memory:
                    outgrew = True
                    RUNNING.kill(process.pid)
                if not selector.select(POLL_SECONDS):
                    continue
                written += (chunk := stdout.read(_PIPE_BYTES) or b"")
                if not chunk:  # it has closed the pipe and is about to end
                    time.sleep(_END_SECONDS)
                elif (end := _told_end(written)) is not None:
                    return end
        written += stdout.read() or b""
        end = _told_end(written) or _End(*ended, written, outgrew=outgrew)
        return end._replace(died=True)

    def _forget(self, process: subprocess.Popen[bytes], exit_code: int) -> None:
        """The process has been waited for."""
        process.returncode = exit_code
        if self._listener is not None:
            self._listener.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            _pipe(pipe).close()
        self._process = None


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise InternalError("a step was started without a pipe")
    return pipe


def _told_end(written: bytes) -> _End | None:
    """The end of a step, once its process has written the line that follows the result."""
    if not written.endswith(b"\n"):
        return None
    result, _, last = written[:-1].rpartition(b"\n")
    end = _object(last)
    if end is None or "exitCode" not in end:
        return None
    return _End(end["exitCode"], end["peakMemoryBytes"], result)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _environment(root: Path, threads: int) -> dict[str, str]:
    """The worker's own, so that `passwordEnv` is looked up here, with the workspace and the number of threads.

    A step stays within its share: tasks of its training that waited for workers, while their own worker waits for the
    step, could wait for ever.
    """
    own = environment(threads) | {"ML_BASE_PATH": str(root)}
    own.pop(SCHEDULER_VARIABLE, None)
    return own


def _listen(stderr: IO[bytes], tell: Callable[[dict[str, Any]], None]) -> None:
    for line in io.BufferedReader(io.FileIO(stderr.fileno(), closefd=False)):
        event = _object(line)  # else it is a library's own words
        if event is not None and event.get("event") == "progress":
            tell(event)


def _document(step: str, end: _End, share: Budget) -> Mapping[str, Any]:
    if end.outgrew:
        outgrown = StorageError(
            f"{step} needed more memory than its share of {share.memory / 1e6:,.0f} MB",
            hint="give tasks more with --task-memory, or run fewer side by side",
        )
        return {"status": "FAILED", "error": outgrown.to_json()}
    if (document := _object(end.result)) is not None:
        return document
    lost = InternalError(f"{step} ended with {end.exit_code} and told no result")
    return {"status": "FAILED", "error": lost.to_json()}
