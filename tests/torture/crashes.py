"""Breaks train, publish and rollback at every I/O step, and checks what a reader and the next run find.

    python -m tests.torture.crashes [--points N] [--seed S] [--operations NAME ...] [--faults NAME ...]

Everything runs in children forked from one process that has made the models before, so that a broken operation costs
about a second. Prints one JSON object with the figures; exit status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.errors import EagleError, StorageError
from ml.scripts import convert_to_onnx, train_model
from ml.workspace import __main__ as workspace
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.verification import verify_organization
from simulation.database import write_sqlite
from tests.pipeline.backend import tree
from tests.pipeline.small_plant import ORGANIZATION, plant_config, simulate_small_plant, write_json
from tests.torture.faults import FaultLayer, disk_says, kill

OPERATIONS = ("train", "publish", "rollback")
FAULTS = {"SIGKILL": None, "ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
Main = Callable[[list[str]], int]
LIGHT = {
    "trainingConfig": {"threads": 1, "lgbParams": {"numLeaves": 4, "numIterations": 5}},
    "conversionConfig": {"parityRows": 50, "publish": "always"},
    "featureConfig": {"families": {"lags": False, "differences": False, "interactions": False}, "scaling": "none"},
}


@dataclass(frozen=True)
class Operation:
    """What is broken: a command, the workspace before it, and the models after it when nobody disturbs it."""

    name: str
    main: Main
    arguments: list[str]
    before: Path
    published: tuple[str, str]
    after: dict[str, str] = field(default_factory=dict)


def main(argv: list[str] | None = None) -> int:
    """Run the torture and print its figures."""
    parser = argparse.ArgumentParser(description="Break operations at every I/O step.")
    parser.add_argument("--points", type=int, default=0, help="at most so many per operation and fault, chosen by seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    options = parser.parse_args(argv)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        operations = prepared_operations(Path(folder).resolve())
        figures = [
            figure
            for operation in operations
            if operation.name in options.operations
            for fault in options.faults
            if operation.name != "train" or FAULTS[fault] is None  # what fails there is tested as a part of publish
            for figure in [torture(operation, Path(folder).resolve() / "run", fault, options.points, options.seed)]
        ]
    broken = [problem for figure in figures for problem in figure.pop("broken")]
    result = {"figures": figures, "broken": broken, "seconds": round(time.monotonic() - started)}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if broken else 0


def prepared_operations(folder: Path) -> list[Operation]:
    """Version v1 is published. Train makes v2; publish exports v2 and makes it current; rollback goes back to v1."""
    database = folder / "scada.sqlite"
    write_sqlite(simulate_small_plant(), database)
    light = plant_config(database, **LIGHT)
    plain = plant_config(database, **LIGHT)
    plain["trainingConfig"]["exportOnnx"] = False
    first = str(write_json(folder / "v1.json", light))
    second = str(write_json(folder / "v2.json", light | {"version": "v2"}))
    without_onnx = str(write_json(folder / "v2-plain.json", plain | {"version": "v2"}))

    v1, v2, both = folder / "v1", folder / "v2", folder / "both"
    v1.mkdir()
    run_here(v1, train_model.main, [first])
    run_here(v1, convert_to_onnx.main, [first])
    shutil.copytree(v1, v2, symlinks=True)
    run_here(v2, train_model.main, [without_onnx])
    shutil.copytree(v2, both, symlinks=True)
    run_here(both, convert_to_onnx.main, [second])
    operations = [
        Operation("train", train_model.main, [second], v1, ("v1", "v1")),
        Operation("publish", convert_to_onnx.main, [second], v2, ("v1", "v2")),
        Operation("rollback", workspace.main, ["rollback", ORGANIZATION, "v1"], both, ("v2", "v1")),
    ]
    for operation in operations:
        undisturbed = folder / f"after-{operation.name}"
        shutil.copytree(operation.before, undisturbed, symlinks=True)
        status, _ = in_child(undisturbed, operation.main, operation.arguments)
        assert status == 0, (operation.name, status)
        operation.after.update(models(undisturbed))
    return operations


def torture(operation: Operation, root: Path, fault: str, points: int, seed: int) -> dict[str, Any]:
    """Break `operation` at its steps, each time in a fresh workspace; the figures, and what was not as promised."""
    error = FAULTS[fault]
    act, writes_only = (kill, False) if error is None else (disk_says(error), True)
    fresh(operation, root)
    _, steps = in_child(root, operation.main, operation.arguments, FaultLayer(root, 0, kill, writes_only=writes_only))
    numbers = list(range(1, len(steps) + 1))
    if points and points < len(numbers):
        numbers = sorted(random.Random(seed).sample(numbers, points))
    broken: list[str] = []
    ended = 0
    for number in numbers:
        fresh(operation, root)
        layer = FaultLayer(root, number, act, writes_only=writes_only)
        status, _ = in_child(root, operation.main, operation.arguments, layer)
        allowed = {-signal.SIGKILL} if error is None else {0, StorageError.exit_code}
        ended += status != 0
        told = [] if status in allowed else [f"ended with {status}"]
        told += problems(operation, root)
        told = [f"{operation.name}, {fault} at step {number} ({steps[number - 1]}): {one}" for one in told]
        sys.stderr.write("".join(f"{one}\n" for one in told))
        broken += told
    figure = {
        "operation": operation.name,
        "fault": fault,
        "steps": len(steps),
        "injected": len(numbers),
        "ended by it": ended,
    }
    sys.stderr.write(f"{json.dumps(figure)}\n")
    return {**figure, "broken": broken}


def problems(operation: Operation, root: Path) -> list[str]:
    """What is not as promised after a fault."""
    paths = OrganizationPaths(ORGANIZATION, root)
    found = []
    try:
        state = verify_organization(paths)
        if state["current"] not in operation.published:
            found.append(f"current is {state['current']}")
    except EagleError as error:
        found.append(f"verify: {error.message}")
    status, _ = in_child(root, operation.main, operation.arguments)
    if status != 0:
        found.append(f"the next run ended with {status}: {(root.parent / 'stdout').read_text()}")
    elif models(root) != operation.after:
        found.append("the models after the next run are not those of an undisturbed one")
    try:
        verify_organization(paths)
    except EagleError as error:
        found.append(f"verify after the next run: {error.message}")
    return found


def fresh(operation: Operation, root: Path) -> None:
    """The workspace as it was before the operation."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(operation.before, root, symlinks=True)


def models(root: Path) -> dict[str, str]:
    """Every file and link of the models but the lock files, temporary ones included."""
    # a listing has the time of the installation
    passing = (".lock", ".onnx.metadata.json")
    return {
        name: content for name, content in tree(root / "models").items() if not any(each in name for each in passing)
    }


def run_here(root: Path, command: Main, arguments: list[str]) -> None:
    """Run a command in this process, which warms it for its children."""
    os.environ["ML_BASE_PATH"] = str(root)
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(io.StringIO()):
        status = command(arguments)
    assert status == 0, told.getvalue()


def in_child(root: Path, command: Main, arguments: list[str], layer: FaultLayer | None = None) -> tuple[int, list[str]]:
    """Run a command in a forked child; gives its exit status (negative: the signal) and the steps it counted."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.environ["ML_BASE_PATH"] = str(root)
            output = os.open(root.parent / "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as the process
            if layer is not None:
                layer.install()
            status = command(arguments)
            if layer is not None:
                os.write(writing, json.dumps(layer.steps).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        content = pipe.read()
    _, waited = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(waited), json.loads(content) if content else []


if __name__ == "__main__":
    raise SystemExit(main())
