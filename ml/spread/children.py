"""The processes that a Dask worker runs trials in: one for each at a time, kept for the next one of its search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ml

_PACKAGE = Path(ml.__file__).resolve().parent
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class ChildDiedError(RuntimeError):
    """A process ended in the middle of a trial: killed, or out of memory. Dask runs the trial again."""


class Child:
    """A process of `ml.spread.child`.

    Parameters
    ----------
    root
        Workspace root.
    threads
        CPUs that it may use.
    """

    def __init__(self, root: str, threads: int) -> None:
        limits = {name: str(threads) for name in _THREAD_VARIABLES}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ml.spread.child"],
            cwd=_PACKAGE,
            env=os.environ | limits | {"ML_BASE_PATH": root, "PYTHONPATH": str(_PACKAGE.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            start_new_session=True,  # a terminal's Ctrl-C goes to the search, which ends its workers itself
        )

    def ask(self, request: dict[str, Any], tell: Callable[[float], None]) -> dict[str, Any]:
        """Its answer to a trial; shares of it go to `tell`. Raises ChildDiedError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ChildDiedError("it has no pipes")
        with suppress(BrokenPipeError):  # the answer will not come either
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        for line in stdout:
            answer: dict[str, Any] = json.loads(line)
            if "share" not in answer:
                return answer
            tell(answer["share"])
        raise ChildDiedError(f"a process that ran trial {request['number']} has ended")

    def is_alive(self) -> bool:
        """Whether it waits for a trial; one that has waited for long ends by itself."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once; it has nothing to clean up."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it while nobody reads its answers."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


class Children:
    """The processes of this worker, by search."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, set[Child]] = {}
        self._idle: dict[str, list[Child]] = {}
        self._ended: set[str] = set()

    @contextmanager
    def borrowed(self, search: str, root: str, threads: int) -> Iterator[Child]:
        """A process for one trial; one that fails is not used again. Raises ChildDiedError if the search has ended."""
        child = self._take(search, root, threads)
        try:
            yield child
        except BaseException:
            with self._lock:
                self._all.get(search, set()).discard(child)
            child.close()
            raise
        with self._lock:
            if search in self._all:
                self._idle[search].append(child)
                return
        child.close()

    def end(self, search: str) -> None:
        """End every process of a search, and start no other."""
        with self._lock:
            self._ended.add(search)
            idle = self._idle.pop(search, [])
            busy = self._all.pop(search, set()).difference(idle)
        for child in busy:
            child.kill()  # closed by the thread that reads from it
        for child in idle:
            child.close()

    def _take(self, search: str, root: str, threads: int) -> Child:
        with self._lock:
            if search in self._ended:
                raise ChildDiedError("the search has ended")
            idle = self._idle.setdefault(search, [])
            while idle:
                child = idle.pop()
                if child.is_alive():
                    return child
                self._all[search].discard(child)
                child.close()
            child = Child(root, threads)
            self._all.setdefault(search, set()).add(child)
            return child


CHILDREN = Children()
