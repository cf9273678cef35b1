"""From the data to the report in one command.

    eagle-ml run CONFIG [--tune] [--publish] [--again]

Runs the steps that are needed one after the other, in one process: what an earlier run has done with the same
configuration and the same data is kept. Each step is called as its own command calls it, so locks, logs, the audit log
and the errors are the step's. Exit status: that of the step that failed, else 0.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml import wording
from ml.config import OrganizationConfig
from ml.errors import ERRORS, EagleError, InternalError, QualityGateError
from ml.workspace.configurations import load_config
from ml.workspace.files import read_json
from ml.workspace.paths import OrganizationPaths, for_config
from ml.workspace.process.options import add_common_options
from ml.workspace.process.people import as_text, command_line, report_in_words, shown, step_headline
from ml.workspace.process.redaction import Redactor
from ml.workspace.process.result_stream import captured_result
from ml.workspace.step_runner import run_command
from ml.workspace.versions.store import is_current

PREPARE, TUNE, TRAIN, VALIDATE, PUBLISH = (
    "data_prep", "hyperparameter_tuning", "train_model", "validate_model", "convert_to_onnx",
)  # fmt: skip
_FIRST_SIGNAL_EXIT = 128


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="eagle-ml run", description="From the data to the report.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    parser.add_argument("--tune", action="store_true", help="search the model's parameters before it is trained")
    parser.add_argument("--publish", action="store_true", help="publish the version if it passes")
    parser.add_argument("--again", action="store_true", help="do again what is done already")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    return run_command("run", build_parser(), _run, argv, _in_words, ends_with_parent=True)


def _run(arguments: argparse.Namespace, _: Redactor) -> Mapping[str, Any]:
    config = load_config(arguments.config)
    paths = for_config(config)
    plan = _plan(config, paths, arguments)
    steps: list[dict[str, Any]] = [{"step": step, "reused": True} for step in plan.kept]
    for step in plan.kept:
        _tell(step, "done before")
    file = plan.config_file
    for step in plan.needed:
        began = time.monotonic()
        try:
            document = _step(step, file, arguments.actor)
        except QualityGateError:
            if step == VALIDATE:
                _tell_numbers(paths.validation_report(config.version, ".json"))
            raise
        seconds = time.monotonic() - began
        steps.append({"step": step, "reused": False, "seconds": round(seconds, 1)})
        _tell(step, f"{seconds:.0f} s  {step_headline(step, document)}")
        file = document.get("trainingConfigPath", file)
    report = read_json(paths.validation_report(config.version, ".json"), "the validation report")
    result = {
        "organizationId": config.organization_id,
        "version": config.version,
        "steps": steps,
        "verdict": report["verdict"],
        "reportPath": str(paths.validation_report(config.version, ".html")),
        "indexPath": str(paths.index),
        "reportJsonPath": str(paths.validation_report(config.version, ".json")),
        "published": is_current(paths, config.version),
        "warnings": report["warnings"],
    }
    if report["status"] != "PASSED":  # by an earlier run, or the step would have ended this one
        _tell_numbers(paths.validation_report(config.version, ".json"))
        raise QualityGateError(report["verdict"], hint=f"the report says why: {result['reportPath']}", partial=result)
    return result


@dataclass(frozen=True)
class _Plan:
    """Steps that an earlier run has done, those that are left, and the configuration that the first of them takes."""

    kept: list[str]
    needed: list[str]
    config_file: str


def _plan(config: OrganizationConfig, paths: OrganizationPaths, arguments: argparse.Namespace) -> _Plan:
    """What is left to do. A parameter search that was done with this configuration counts without ``--tune``, too."""
    from ml.ingest.inputs import is_current as is_current_data
    from ml.ingest.present_columns import with_present_columns
    from ml.scale.fleet.history import read_history

    is_fresh = not arguments.again and is_current_data(with_present_columns(config, paths), paths)
    tune = arguments.tune or (is_fresh and read_history(config, [TUNE], paths).done == (TUNE,))
    learned = [*([TUNE] if tune else []), TRAIN, VALIDATE]
    last = [PUBLISH] if arguments.publish else []
    if not is_fresh:
        return _Plan([], [PREPARE, *learned, *last], arguments.config)
    history = read_history(config, learned, paths)
    done = [*history.done, *([VALIDATE] if history.refused else [])]
    if TRAIN in done and not _is_trained_on(paths, config.version):
        done = done[: done.index(TRAIN)]
    return _Plan([PREPARE, *done], [*learned[len(done) :], *last], str(history.config_file or arguments.config))


def _is_trained_on(paths: OrganizationPaths, version: str) -> bool:
    """Whether the version was trained on the data that is prepared now."""
    prepared = read_json(paths.data_summary(version), "the data summary").get("preparedDataSha256")
    trained = read_json(paths.version(version) / "metadata.json", "the metadata").get("data", {}).get("digest")
    return bool(prepared == trained)


def _step(step: str, config_file: str, actor: str | None) -> dict[str, Any]:
    """Run one step in this process and return its result; raises its error as its own process would end with it."""
    from ml.learning.memory import give_back

    argv = [config_file, *(["--actor", actor] if actor else [])]
    with captured_result() as told:
        status: int = importlib.import_module(f"ml.scripts.{step}").main(argv)
    gc.collect()
    give_back()
    told.seek(0)
    document = json.loads(told.read() or b"{}")
    told.close()
    if status in (_FIRST_SIGNAL_EXIT + signal.SIGINT, _FIRST_SIGNAL_EXIT + signal.SIGTERM):
        signal.raise_signal(status - _FIRST_SIGNAL_EXIT)  # the step has cleaned up; now this command is stopped
    if status != 0:
        raise _error(step, document)
    return dict(document)


def _error(step: str, document: Mapping[str, Any]) -> EagleError:
    told = document.get("error") or {"message": f"{step} told no result"}
    kind = next((kind for kind in ERRORS if kind.code == told.get("code")), InternalError)
    achieved = {key: value for key, value in document.items() if key not in ("status", "step", "error", "auditHead")}
    return kind(
        told["message"], field=told.get("field"), hint=told.get("hint"), partial={**achieved, "failedStep": step}
    )


def _tell(step: str, words: str) -> None:
    if sys.stderr.isatty():
        print(f"  {step:<22} {words}", file=sys.stderr)


def _tell_numbers(report: Path) -> None:
    """What a refused version has achieved, for whoever sits before a terminal."""
    if sys.stderr.isatty() and report.is_file():
        _, *numbers = report_in_words(read_json(report, "the validation report"))
        print(*numbers, sep="\n", file=sys.stderr)


def _in_words(arguments: argparse.Namespace, result: Mapping[str, Any]) -> str:
    report = read_json(Path(result["reportJsonPath"]), "the validation report")
    lines = [*report_in_words(report), "", f"  Report  {shown(result['reportPath'])}"]
    if result["warnings"]:
        lines.insert(-2, f"  ({wording.plural(len(result['warnings']), 'warning')} in the report)")
    lines.append(f"  All     {shown(result['indexPath'])}")
    if not result["published"]:
        lines.append(f"  Next    {command_line('publish', shown(arguments.config))}")
    return as_text(lines)
