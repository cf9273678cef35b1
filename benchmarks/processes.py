"""Running a program as a process of its own, with its wall time and its peak memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds of wall clock, peak resident megabytes (1e6 bytes), and what it wrote to stdout."""

    seconds: float
    peak_mb: float
    output: str


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: dict[str, str] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Usage:
    """Run a command to its end; `on_start` is told its process id.

    Raises
    ------
    SystemExit
        If it fails, with what it wrote.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | (environment or {}), stdout=output, stderr=complaints
        )
        if on_start is not None:
            on_start(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        complaints.seek(0)
        written = output.read()
        if process.returncode != 0:
            raise SystemExit(
                f"{' '.join(command)} ended with {process.returncode}\n{written}\n{complaints.read()[-3000:]}"
            )
    return Usage(seconds, usage.ru_maxrss * 1024 / 1e6, written)
