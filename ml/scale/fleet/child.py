"""Run the steps of one organisation, one after the other, and end with the process that started it.

    python -P -m ml.scale.fleet.child PARENT CONFIG

Each line on stdin asks for a step: ``{"step", "config"}``. The step writes its JSON result to stdout, as it does for
whoever else runs it, and a line ``{"exitCode", "peakMemoryBytes"}`` follows. CONFIG only tells people who list the
processes which one this is. The numerical libraries, which take seconds to load, are loaded once for all steps of the
organisation; no other organisation's steps ever run in this process.

A worker that is killed cannot end its steps any more, and one that went on would write beside its successor. Linux
ends the step in its place; elsewhere the version's lock keeps the successor waiting.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ml.learning.memory import give_back
from ml.scale.fleet.steps import MONITOR, STOPPED_EXITS
from ml.workspace.process.parent_death import end_with

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def main(parent: str) -> int:
    """Run what is asked for until nobody asks any more or a step was told to stop; returns the exit status."""
    end_with(int(parent))
    for line in _taken_stdin():
        asked = json.loads(line)
        _reset_peak()
        module = asked["step"] if asked["step"] == MONITOR else f"scripts.{asked['step']}"
        status: int = importlib.import_module(f"ml.{module}").main([asked["config"]])
        sys.stdout.write(json.dumps({"exitCode": status, "peakMemoryBytes": _peak()}) + "\n")
        sys.stdout.flush()
        if status in STOPPED_EXITS:
            return status
        gc.collect()
        give_back()
    return 0


def _taken_stdin() -> TextIO:
    """The lines of stdin; everything else in this process finds it empty."""
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lines


def _reset_peak() -> None:
    with suppress(OSError):  # no such file: the peak is that of all steps so far
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def _peak() -> int:
    """The largest resident memory, in bytes, since the last reset."""
    with suppress(OSError, StopIteration):
        status = (_PROCESS / "status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in status if line.startswith("VmHWM:")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # taking the libraries apart would take a third of a second, for nothing
