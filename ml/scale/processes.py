"""Processes of this program that another one starts: how they begin, what they weigh, and what they say went wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ml
from ml.errors import ERRORS, EagleError, InternalError

PACKAGE = Path(ml.__file__).resolve().parent
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module that is told this process's id, to end with it."""
    return [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments]


def environment(threads: int | None = None) -> dict[str, str]:
    """This process's own, with the way to this program and a limit of threads."""
    limits = {} if threads is None else dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return os.environ | limits | {"PYTHONPATH": str(PACKAGE.parent)}


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 if it has just ended, or the system has no /proc."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")


def error_of(told: dict[str, Any]) -> EagleError:
    """What a process raised, from its ``{"error", "traceback"}``; the traceback is for the log."""
    error = told["error"]
    kind: type[EagleError] = next((each for each in ERRORS if each.code == error["code"]), InternalError)
    found = kind(error["message"], field=error.get("field"), hint=error.get("hint"))
    found.add_note(told["traceback"])
    return found
