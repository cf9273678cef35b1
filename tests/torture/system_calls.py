"""Kills publish and rollback inside system calls, by strace, and checks what a reader and the next run find.

    python -m tests.torture.system_calls [--points N] [--seed S] [--operations NAME ...] [--skip CALL ...]

`tests.torture.crashes` counts what Python does; here the kernel's interface is counted, and so what C libraries and
threads do. Needs Linux, strace and the permission to trace a child. A command runs in a child forked from one process
that has made the models before; strace attaches to it, and kills it as it enters its n-th call of one kind. Prints one
JSON object with the figures; exit status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.torture.crashes import Operation, fresh, prepared_operations, problems

OPERATIONS = ("publish", "rollback")
# What changes a file or a folder, and what opens one; the counter of strace is one for each kind.
CALLS = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat", "renameat2", "symlink",
    "symlinkat", "link", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "flock",
)  # fmt: skip
_CALL = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)")
_PINNED = "/proc/self/fd/"  # a folder of the workspace, by its descriptor
_ATTACHED = b"attached"


def main(argv: list[str] | None = None) -> int:
    """Run the torture and print its figures."""
    parser = argparse.ArgumentParser(description="Kill operations inside system calls.")
    parser.add_argument("--points", type=int, default=0, help="at most so many per operation, chosen by seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--skip", nargs="+", choices=CALLS, default=[], help="kinds of calls to leave out")
    options = parser.parse_args(argv)
    if shutil.which("strace") is None:
        sys.stderr.write("strace is not installed: apt-get install strace\n")
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        figures = [
            torture(operation, folder / "run", options.points, options.seed, options.skip)
            for operation in prepared_operations(folder)
            if operation.name in options.operations
        ]
    broken = [problem for figure in figures for problem in figure.pop("broken")]
    result = {"figures": figures, "broken": broken, "seconds": round(time.monotonic() - started)}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if broken else 0


def torture(operation: Operation, root: Path, points: int, seed: int, skip: Sequence[str]) -> dict[str, Any]:
    """Kill `operation` inside its calls, each time in a fresh workspace; the figures, and what was not as promised."""
    fresh(operation, root)
    status = traced(operation, root)
    assert status == 0, (operation.name, status)
    places = calls_below(root, (root.parent / "trace").read_text())
    known = len(places)
    places = [place for place in places if place[0] not in skip]
    if points and points < len(places):
        places = sorted(random.Random(seed).sample(places, points))
    broken: list[str] = []
    killed = 0
    for name, number in places:
        fresh(operation, root)
        status = traced(operation, root, f"inject={name}:signal=SIGKILL:when={number}")
        killed += status == -signal.SIGKILL
        told = [] if status in (0, -signal.SIGKILL) else [f"ended with {status}"]
        told = [f"{operation.name}, {name} {number}: {one}" for one in [*told, *problems(operation, root)]]
        sys.stderr.write("".join(f"{one}\n" for one in told))
        broken += told
    figure = {
        "operation": operation.name,
        "calls": known,
        "injected": len(places),
        "killed": killed,
        "kinds": dict(Counter(name for name, _ in places).most_common()),
    }
    sys.stderr.write(f"{json.dumps(figure)}\n")
    return {**figure, "broken": broken}


def calls_below(root: Path, trace: str) -> list[tuple[str, int]]:
    """Kind and number of the calls that touch the workspace; strace counts each kind and thread from 1."""
    counted: Counter[tuple[str, str]] = Counter()
    found: dict[tuple[str, int], None] = {}
    for line in trace.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        counted[call["pid"], call["name"]] += 1
        if any(place in call["arguments"] for place in (str(root), _PINNED)):
            found[call["name"], counted[call["pid"], call["name"]]] = None
    return list(found)


def traced(operation: Operation, root: Path, *injection: str) -> int:
    """Run the operation in a forked child under strace; its exit status, negative for a signal."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.close(writing)
            os.environ["ML_BASE_PATH"] = str(root)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as the process
            os.read(reading, 1)  # until strace is there
            status = operation.main(operation.arguments)
        finally:
            os._exit(status)
    os.close(reading)
    options = [part for one in (f"trace={','.join(CALLS)}", *injection) for part in ("-e", one)]
    # -y writes the file behind a descriptor, so that a call on one is known to touch the workspace
    command = ["strace", "-f", "-y", "-o", str(root.parent / "trace"), *options, "-p", str(child)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        assert _ATTACHED in line, line
        os.write(writing, b"x")
        os.close(writing)
        _, waited = os.waitpid(child, 0)
        tracer.stderr.read()
    return os.waitstatus_to_exitcode(waited)


if __name__ == "__main__":
    raise SystemExit(main())
