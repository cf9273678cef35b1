"""The whole pipeline on a simulated pumping station: `make demo`.

    python -m simulation.demo

Simulates the station into the folder demo/ of the working directory, then spawns the five steps one after another as a
backend does: own process, working directory ml/, nothing on stdin, JSON lines on stderr, one JSON document on stdout.
The first step that fails ends the demo with that step's error and exit code. Only the standard library is needed here;
the steps need the installed requirements.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

PACKAGES = Path(__file__).resolve().parents[1]
ML = PACKAGES / "ml"
TEMPLATE = ML / "config" / "manufacturing_org.json"
FOLDER = Path("demo")
MARKER = ".made-by-demo"
ORACLE = "oracle"

REFUSED, BROKEN = 2, 70

# Each step with the figures of its result that are worth a line; figures that a result lacks are left out.
STEPS = {
    "data_prep": ("rows", "assets", "failureEvents"),
    "hyperparameter_tuning": ("trials", "bestScore"),
    "train_model": ("modelType", "dataPoints", "rounds"),
    "validate_model": ("averagePrecision", "precision", "recall", "auc"),
    "convert_to_onnx": ("published", "modelPath"),
}
TUNING = "hyperparameter_tuning"

Json = dict[str, Any]


class DemoError(Exception):
    """The demo cannot go on; `exit_code` is what the process ends with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def prepare_folder(folder: Path) -> None:
    """Make `folder` new and empty, and mark it as the demo's own.

    Raises
    ------
    DemoError
        If something is there that the demo did not make.
    """
    marker = folder / MARKER
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DemoError(f"{folder} is not a folder; move it away to run the demo", REFUSED)
    if folder.is_dir() and any(folder.iterdir()) and not marker.is_file():
        raise DemoError(f"{folder} holds files that the demo did not make; move them away to run the demo", REFUSED)
    if folder.is_dir():
        _empty(folder)
    folder.mkdir(exist_ok=True)
    marker.write_text("Made by simulation/demo.py, which deletes this folder when it starts.\n", encoding="utf-8")


def _empty(folder: Path) -> None:
    """Delete what is in the folder, the marker last: an interrupted deletion can be taken up again."""
    for entry in sorted(folder.iterdir(), key=lambda path: path.name == MARKER):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def write_config(template: Path, folder: Path) -> Path:
    """The example configuration with this folder's database, and the hidden wear as a score to compare with."""
    config = json.loads(template.read_text(encoding="utf-8"))
    config["scadaDbConfig"]["database"] = str(folder / "scada.sqlite")
    reference = {"name": ORACLE, "path": str(folder / "hidden_wear.parquet"), "column": "wear"}
    config.setdefault("validationConfig", {})["referenceScores"] = [reference]
    config.setdefault("trainingConfig", {})["timeToFailure"] = "on"
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def run_step(name: str, config: Path, workspace: Path, on_progress: Callable[[Json], None]) -> Json:
    """Spawn one step as a backend does, and return its result.

    Raises
    ------
    DemoError
        With the step's own message and exit code if it fails.
    """
    with subprocess.Popen(
        [sys.executable, f"scripts/{name}.py", str(config)],
        cwd=ML,
        env=os.environ | {"ML_BASE_PATH": str(workspace)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            output, words = _listen(process, on_progress)
        finally:
            if process.poll() is None:
                process.terminate()
    return read_result(name, output, words, process.returncode)


def _listen(process: subprocess.Popen[str], on_progress: Callable[[Json], None]) -> tuple[str, list[str]]:
    """stdout as text, and those lines of stderr that are not progress; both pipes are drained at once."""
    words: list[str] = []
    stderr, stdout = _pipe(process.stderr), _pipe(process.stdout)
    reader = threading.Thread(target=relay_progress, args=(stderr, on_progress, words), daemon=True)
    reader.start()
    output = stdout.read()
    process.wait()
    reader.join()
    return output, words


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise DemoError("the step was started without pipes", BROKEN)
    return stream


def relay_progress(lines: Iterable[str], on_progress: Callable[[Json], None], words: list[str]) -> None:
    """Hand each progress event on, and keep every other line in `words`."""
    for line in lines:
        event = _parse(line)
        if event is not None and event.get("event") == "progress":
            on_progress(event)
        elif line.strip():
            words.append(line.rstrip())


def read_result(name: str, output: str, words: list[str], exit_code: int) -> Json:
    """The one JSON document that a step prints.

    Raises
    ------
    DemoError
        If the step failed, or printed anything else.
    """
    result = _parse(output)
    if exit_code == 0 and result is not None and result.get("status") == "SUCCESS":
        return result
    # A negative return code is a signal; a shell would report 128 plus its number.
    status = 128 - exit_code if exit_code < 0 else exit_code or BROKEN
    if result is None:
        raise DemoError("\n".join([f"{name} did not print one JSON document", *words]), status)
    error = result.get("error") or {}
    parts = [f"{name}: {error.get('message', 'failed without a message')} [{error.get('code', '?')}]"]
    if error.get("hint"):
        parts.append(f"hint: {error['hint']}")
    raise DemoError("\n".join(parts), status)


def _parse(text: str) -> Json | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


class StepLine:
    """One line per step: rewritten while the step runs on a terminal, printed once otherwise."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = time.monotonic()
        self._live = sys.stdout.isatty()

    def progress(self, event: Json) -> None:
        """Show how far the step is."""
        if self._live:
            total = event.get("total") or 1
            self._show(f"{event.get('done', 0) / total:4.0%}  {event.get('message') or ''}", end="")

    def finish(self, figures: str) -> None:
        """Show what came of it."""
        self._show(figures, end="\n")

    def _show(self, text: str, end: str) -> None:
        elapsed = time.monotonic() - self._start
        line = f"  {self._name:<22} {elapsed:6.1f} s  {text}"
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{line[:width]}" if self._live else line, end=end, flush=True)


def key_figures(result: Json, names: Iterable[str]) -> str:
    """The named figures of a result or its metrics, as far as it has them: ``rows 206,023 · assets 12``."""
    figures = (result.get("metrics") or {}) | result
    return " · ".join(f"{name} {number(figures[name])}" for name in names if figures.get(name) is not None)


def number(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def summarise(report: Json) -> list[str]:
    """Model and oracle side by side, then what the model's alarms would have meant in the plant."""
    model = (report.get("metrics") or {}).get("averagePrecision")
    scores = {entry.get("name"): entry.get("averagePrecision") for entry in report.get("references") or []}
    lines = ["Average precision on the newest part, which no step learned from:"]
    for name, score in (("model", model), ("oracle (knows the hidden wear)", scores.get(ORACLE))):
        lines.append(f"  {name:<31} {'not reported' if score is None else number(score)}")
    events = report.get("events") or {}
    if events.get("failures"):
        lines.append(f"Failures detected in time: {events.get('detected', '?')} of {events['failures']}")
    lead = (events.get("leadTimeSeconds") or {}).get("median")
    if lead is not None:
        lines.append(f"Lead time, median: {lead / 3600:.0f} h")
    times = report.get("timeToFailure") or {}
    if times.get("medianErrorSeconds") is not None:
        inside = f"{100 * times['firstAlarms']['share']:.0f} % inside the 80 % interval"
        lines.append(f"Time to failure at the first alarm: off by {times['medianErrorSeconds'] / 3600:.0f} h, {inside}")
    if events.get("falseAlarmsPerAssetDay") is not None:
        lines.append(f"False alarms per pump and day: {number(events['falseAlarmsPerAssetDay'])}")
    if events.get("healthyTimeInAlarm") is not None:
        lines.append(f"Healthy time in alarm: {100 * events['healthyTimeInAlarm']:.1f} %")
    return lines


def simulate(folder: Path) -> None:
    """Let the station run, in a process of its own.

    Raises
    ------
    DemoError
        If the simulation fails; its own message went to stderr.
    """
    line = StepLine("simulated station")
    process = subprocess.run(
        [sys.executable, "-m", "simulation", str(folder)],
        cwd=PACKAGES,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if process.returncode != 0:
        raise DemoError("the station could not be simulated", process.returncode)
    line.finish(process.stdout.strip())


def run_pipeline(folder: Path) -> list[str]:
    """All five steps; what to tell the user at the end."""
    config, workspace = write_config(TEMPLATE, folder), folder / "workspace"
    workspace.mkdir()
    for name, figures in STEPS.items():
        line = StepLine(name)
        result = run_step(name, config, workspace, line.progress)
        line.finish(key_figures(result, figures))
        if name == TUNING:
            config = Path(result["trainingConfigPath"])
    return _closing_words(json.loads(config.read_text(encoding="utf-8")), workspace)


def _closing_words(config: Json, workspace: Path) -> list[str]:
    artifacts = workspace / "artifacts" / config["organizationId"] / config["version"]
    report = json.loads((artifacts / "validation_report.json").read_text(encoding="utf-8"))
    return ["", *summarise(report), "", f"Report: {artifacts / 'validation_report.html'}"]


def main() -> int:
    """Run the demo; the exit code."""
    start = time.monotonic()
    try:
        folder = FOLDER.absolute()
        prepare_folder(folder)
        print(f"A simulated pumping station, and the five steps on its history, in {folder}")
        simulate(folder)
        print(*run_pipeline(folder), sep="\n")
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    print(f"Done in {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
