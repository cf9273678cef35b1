"""The steps as the backend spawns them: own process, working directory ml/, nothing on stdin, pipes for the rest.

Where a test is not about the process, `run_here` gives the same outcome without loading the libraries once more.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

REPOSITORY = Path(__file__).resolve().parents[2]
ML = REPOSITORY / "ml"
STEPS = ("data_prep", "hyperparameter_tuning", "train_model", "validate_model", "convert_to_onnx")
KILLED_AFTER_SECONDS = 300  # a safety net for the tests, far above what any step here needs

Json = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a process left: its exit code, the one JSON document on stdout, the JSON lines on stderr, and both texts."""

    exit_code: int
    document: Json
    stderr_events: list[Json]
    stdout_text: str
    stderr_text: str

    @property
    def error(self) -> Json:
        """The error that a failed step tells."""
        assert self.document["status"] == "FAILED", self.document
        error: Json = self.document["error"]
        return error

    @property
    def progress(self) -> list[Json]:
        """The progress lines."""
        return [event for event in self.stderr_events if event.get("event") == "progress"]


def environment(root: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with `root` as the workspace; scripts must find the package without help."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {"ML_BASE_PATH": str(root)} | dict(extra or {})


def spawn(
    step: str,
    *arguments: str | Path,
    root: Path,
    env: Mapping[str, str] | None = None,
    terminate_on: Callable[[Json], bool] | None = None,
    within: float = KILLED_AFTER_SECONDS,
) -> Outcome:
    """Run ``scripts/<step>.py`` to its end; SIGTERM goes to it at the first stderr event that `terminate_on` accepts.

    Asserts that stdout is exactly one line with one JSON object that names its status and step, and that stderr is
    JSON lines.
    """
    command = [f"scripts/{step}.py", *map(str, arguments)]
    outcome = _listen(command, ML, environment(root, env), terminate_on, within)
    assert outcome.document["step"] == step
    return outcome


def run_here(step: str, *arguments: str | Path, root: Path) -> Outcome:
    """Run the step's `main` in this process; asserts what `spawn` does."""
    outcome = called(f"ml.scripts.{step}", arguments, root)
    assert outcome.document["step"] == step
    return outcome


def workspace_command(*arguments: str, root: Path) -> Outcome:
    """Run ``python -m ml.workspace``."""
    return _listen(["-m", "ml.workspace", *arguments], REPOSITORY, environment(root), None)


def predict(*arguments: str | Path, root: Path, terminate_on: Callable[[Json], bool] | None = None) -> Outcome:
    """Run ``python -m ml.predict``."""
    return _listen(["-m", "ml.predict", *map(str, arguments)], REPOSITORY, environment(root), terminate_on)


def predict_here(*arguments: str | Path, root: Path) -> Outcome:
    """Run the `main` of ``python -m ml.predict`` in this process."""
    return called("ml.predict.__main__", arguments, root)


def fleet(
    *arguments: str | Path,
    root: Path,
    env: Mapping[str, str] | None = None,
    terminate_on: Callable[[Json], bool] | None = None,
) -> Outcome:
    """Run ``python -m ml.fleet``; SIGTERM goes to it at the first stderr event that `terminate_on` accepts."""
    return _listen(["-m", "ml.fleet", *map(str, arguments)], REPOSITORY, environment(root, env), terminate_on)


def run_python(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with ml/ as working directory; nothing is asserted about its output."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ML,
        env=environment(root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=KILLED_AFTER_SECONDS,
        check=False,
    )


class TrainingFailedError(Exception):
    """What the backend makes of a training that did not succeed; its operators read nothing else."""


class TrainingService:
    """Trains as the backend's TrainingService does: folders, request, process, error and metrics, step by step.

    Parameters
    ----------
    base
        ``ML_BASE_PATH``.
    umask
        Of the backend's process, by which its folders and files get their modes.
    """

    def __init__(self, base: Path, umask: int = 0o022) -> None:
        self.base, self.umask = base, umask
        self.variables: dict[str, str] = {}
        """Environment variables of its processes, beside this process's own."""
        self._trainings = 0

    def version(self) -> str:
        """The name of the next version."""
        self._trainings += 1
        return f"v2026-11-27T19-05-31-{self._trainings:03d}Z_a1b2c3d4"

    def prepare(self, organization: str, version: str, request: Json) -> Path:
        """Make the folders and write the request; its path."""
        before = os.umask(self.umask)
        try:
            scripts = self.base / "scripts"
            for name in ("models", "artifacts"):
                (self.base / name).mkdir(parents=True, exist_ok=True)
            if not scripts.exists():
                scripts.symlink_to(ML / "scripts")
            (self.base / "models" / organization).mkdir(exist_ok=True)
            folder = self.base / "artifacts" / organization / version
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "training_config.json"
            whole = {"organizationId": organization, "version": version, "outputPath": str(folder), **request}
            file.write_text(json.dumps(whole, indent=2))
        finally:
            os.umask(before)
        return file

    def spawn(self, request: Path, **options: Any) -> subprocess.Popen[str]:
        """Start the training of a request, with pipes for all three streams."""
        return subprocess.Popen(
            [sys.executable, str(self.base / "scripts" / "train_model.py"), str(request)],
            cwd=self.base,
            env=environment(self.base, self.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **options,
        )

    def train(self, organization: str, request: Json, version: str | None = None) -> Json:
        """Train; what the backend stores of the model, where missing metrics are 0.8.

        Raises
        ------
        TrainingFailedError
            With the words that the backend's operators see.
        """
        version = version or self.version()
        process = self.spawn(self.prepare(organization, version, request))
        _, stderr = process.communicate(timeout=KILLED_AFTER_SECONDS)
        if process.returncode != 0:
            raise TrainingFailedError(f"Python training failed with code {process.returncode}: {stderr}")
        metrics = json.loads((self.base / "artifacts" / organization / version / "metrics.json").read_text())
        model = self.base / "models" / organization / f"model_{version}.onnx"
        assert model.stat().st_size > 1000
        kept = {name: metrics.get(name, 0.8) for name in ("accuracy", "precision", "recall", "auc")}
        return {"version": version, "features": metrics["features"], "dataPoints": metrics["dataPoints"], **kept}


def tree(folder: Path) -> dict[str, str]:
    """Everything below `folder`: relative path -> SHA-256 of a file, ``-> target`` of a link, ``/`` of a folder."""
    return {path.relative_to(folder).as_posix(): _describe(path) for path in sorted(folder.rglob("*"))}


def _describe(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink().as_posix()}"
    return "/" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


def called(module: str, arguments: Sequence[str | Path], root: Path) -> Outcome:
    """Run the `main` of a module in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    workspace = patch.dict(os.environ, {"ML_BASE_PATH": str(root)})
    with workspace, redirect_stdout(stdout), redirect_stderr(stderr):
        exit_code = importlib.import_module(module).main([str(argument) for argument in arguments])
    return _outcome(exit_code, stdout.getvalue(), stderr.getvalue())


def _listen(
    command: list[str],
    folder: Path,
    env: Mapping[str, str],
    terminate_on: Callable[[Json], bool] | None,
    within: float = KILLED_AFTER_SECONDS,
) -> Outcome:
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=_collect, args=(process, lines, terminate_on), daemon=True)
        watchdog = threading.Timer(within, process.kill)
        reader.start()
        watchdog.start()
        stdout = process.stdout.read()
        process.wait()
        watchdog.cancel()
        reader.join()
    return _outcome(process.returncode, stdout, "".join(lines))


def _outcome(exit_code: int, stdout: str, stderr: str) -> Outcome:
    return Outcome(exit_code, _one_document(stdout, stderr), list(_events(stderr)), stdout, stderr)


def _collect(process: subprocess.Popen[str], lines: list[str], terminate_on: Callable[[Json], bool] | None) -> None:
    assert process.stderr is not None
    terminated = terminate_on is None
    for line in process.stderr:
        lines.append(line)
        if not terminated and terminate_on is not None and terminate_on(json.loads(line)):
            terminated = True
            process.send_signal(signal.SIGTERM)


def _one_document(stdout: str, stderr: str) -> Json:
    assert stdout.endswith("\n"), f"stdout: {stdout!r}\nstderr: {stderr}"
    assert stdout.count("\n") == 1, f"more than one line on stdout: {stdout!r}"
    document = json.loads(stdout)
    assert isinstance(document, dict)
    assert document["status"] in ("SUCCESS", "FAILED")
    assert ("error" in document) == (document["status"] == "FAILED")
    return document


def _events(stderr: str) -> Iterator[Json]:
    for line in stderr.splitlines():
        event = json.loads(line)
        assert isinstance(event, dict), f"not a JSON object on stderr: {line!r}"
        yield event
