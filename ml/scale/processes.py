"""Processes of this program that another one starts: how they begin, what they weigh, and what they say went wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml
from ml.errors import ERRORS, EagleError, InternalError

PACKAGE = Path(ml.__file__).resolve().parent
_MOST_CHARACTERS = 20_000  # of a traceback: it must fit into a pipe that may be read at the end only
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module that is told this process's id, to end with it."""
    return [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments]


def environment(threads: int | None = None) -> dict[str, str]:
    """This process's own, with the way to this program and a limit of threads."""
    limits = {} if threads is None else dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return os.environ | limits | {"PYTHONPATH": str(PACKAGE.parent)}


def start(
    arguments: Sequence[str], own: dict[str, str], *, bufsize: int = -1, stderr: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """A process of `command` with its own environment and pipes to it and from it.

    It has a session of its own: a terminal's Ctrl-C goes to this process, which ends those that it has started itself.
    """
    return subprocess.Popen(
        arguments,
        bufsize,
        cwd=PACKAGE,
        env=own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 if it has just ended, or the system has no /proc."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")


def failure_of(error: Exception, what: str) -> dict[str, Any]:
    """``{"error", "traceback"}`` of what a process raised, for `error_of`.

    What an unforeseen error says may hold a path, so it stands in the traceback only.
    """
    told = error if isinstance(error, EagleError) else InternalError(f"{what} failed: {type(error).__name__}")
    return {"error": told.to_json(), "traceback": traceback.format_exc()[-_MOST_CHARACTERS:]}


def error_of(told: dict[str, Any]) -> EagleError:
    """What a process raised, from its ``{"error", "traceback"}``; the traceback is for the log."""
    error = told["error"]
    kind: type[EagleError] = next((each for each in ERRORS if each.code == error["code"]), InternalError)
    found = kind(error["message"], field=error.get("field"), hint=error.get("hint"))
    found.add_note(told["traceback"])
    return found
