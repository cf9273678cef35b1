"""What a person reads on a terminal in place of the JSON result: what came of it, what was written, what to do next."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml import wording
from ml.workspace.files import read_json

PROGRAM = "eagle-ml"
MOST_WARNINGS = 5
_STARTED_AS = "EAGLE_ML_STARTED_AS"
_WORDS = {
    "data_prep": "prep",
    "hyperparameter_tuning": "tune",
    "train_model": "train",
    "validate_model": "validate",
    "convert_to_onnx": "convert",
}
"""Script -> the word for it on the command line."""
_NEXT = {
    "data_prep": "train_model",
    "hyperparameter_tuning": "train_model",
    "train_model": "validate_model",
    "validate_model": "convert_to_onnx",
}


def step_in_words(step: str, arguments: argparse.Namespace, result: Mapping[str, Any]) -> str:
    """The end of a step that succeeded."""
    headline, written = _SUMMARIES[step](result)
    config = result.get("trainingConfigPath") or arguments.config
    lines = [headline, *warnings_in_words(result.get("warnings") or ())]
    lines += _labelled([("Written", shown(written))])
    if step in _NEXT:
        lines += _labelled([("Next", command_line(_NEXT[step], shown(config)))])
    return as_text(lines)


def as_text(lines: Iterable[str]) -> str:
    """Lines as a terminal shows them."""
    return "\n".join(lines).replace(wording.NO_BREAK, " ") + "\n"


def step_headline(step: str, result: Mapping[str, Any]) -> str:
    """What a step found or made, in one line; of a verdict, only which it is."""
    told = _SUMMARIES[step](result)[0]
    return told.partition(". ")[0] if "verdict" in result else told


def failure_in_words(document: Mapping[str, Any], status: int) -> str:
    """The end of a command that failed."""
    error = document["error"]
    facts = [("Where", error.get("field")), ("To do", error.get("hint"))]
    facts.append(("Code", f"{error['code']} (exit status {status}); docs/troubleshooting.md says more"))
    return as_text([f"{document['step']} failed: {error['message']}", *_labelled(facts)])


def report_in_words(report: Mapping[str, Any]) -> list[str]:
    """The verdict of a validation report and the three numbers that matter."""
    return [f"{report['status']}. {report['verdict']}", *_labelled(three_numbers(report))]


def three_numbers(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Failures detected, notice and false alarms; scores of rows where no failure could be counted."""
    events, metrics = report.get("events") or {}, report.get("metrics") or {}
    if not events.get("failures"):
        names = (("Recall", "recall"), ("Precision", "precision"), ("Average precision", "averagePrecision"))
        return [(name, wording.score(metrics.get(key))) for name, key in names]
    late = "detectionDelaySeconds" in events
    notice = (events.get("detectionDelaySeconds" if late else "leadTimeSeconds") or {}).get("median")
    return [
        ("Failures detected", f"{events['detected']} of {events['failures']}"),
        ("Median delay" if late else "Median lead time", wording.duration(notice)),
        ("False alarms", " ".join(wording.rate_and_unit(events.get("falseAlarmsPerAssetDay")))),
    ]


def warnings_in_words(warnings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The first few, one on a line, and how many more there are."""
    for warning in warnings[:MOST_WARNINGS]:
        hint = f" ({warning['hint']})" if warning.get("hint") else ""
        yield f"  ! {warning['message']}{hint}"
    if len(warnings) > MOST_WARNINGS:
        yield f"  ! {len(warnings) - MOST_WARNINGS} more with --json"


def note_start() -> None:
    """Note how the user has started this process, before its arguments are changed, for `command_line`."""
    started = sys.argv[0]
    if Path(started).name != PROGRAM:
        os.environ[_STARTED_AS] = f"{shown(sys.executable)} -m ml"
    else:
        os.environ[_STARTED_AS] = PROGRAM if shutil.which(PROGRAM) == started else shown(started)


def command_line(command: str, *arguments: str) -> str:
    """How the person who started this process starts another command: through `PROGRAM`, or script by script."""
    words = [shlex.quote(argument) for argument in arguments]
    started = sys.argv[0]
    if started.split(" ")[0] == PROGRAM or command not in _WORDS:
        return " ".join([os.environ.get(_STARTED_AS, PROGRAM), _WORDS.get(command, command), *words])
    python = shown(sys.executable) if Path(sys.executable).name != "python" else "python"
    return " ".join([python, str(Path(started).parent / f"{command}.py"), *words])


def shown(path: str | Path) -> str:
    """A path from the working directory, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _labelled(facts: Sequence[tuple[str, str | None]]) -> list[str]:
    told = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in told]


def _prepared(result: Mapping[str, Any]) -> tuple[str, str]:
    rows, assets = wording.plural(result["rows"], "row"), wording.plural(result["assets"], "asset")
    span = " to ".join(str(result["dateRange"][end])[:10] for end in ("start", "end"))
    failures = wording.plural(result["failureEvents"], "failure")
    return f"{rows} of {assets}, {span}, with {failures}.", result["preparedDataPath"]


def _tuned(result: Mapping[str, Any]) -> tuple[str, str]:
    given = "" if result["baselineScore"] is None else f", against {result['baselineScore']:.3f} as configured"
    told = (
        f"{wording.plural(result['trials'], 'trial')}; best {result['scoringMetric']} {result['bestScore']:.3f}{given}."
    )
    return told, result["trainingConfigPath"]


def _trained(result: Mapping[str, Any]) -> tuple[str, str]:
    scored = f"average precision {wording.score(result.get('averagePrecision'))} on the {result['part']} part"
    return f"{result['modelType']} learned from {wording.plural(result['dataPoints'], 'row')}: {scored}.", result[
        "modelPath"
    ]


def _validated(result: Mapping[str, Any]) -> tuple[str, str]:
    report = read_json(Path(result["reportJsonPath"]), "the validation report")
    return "\n".join(report_in_words(report)), result["reportPath"]


def _converted(result: Mapping[str, Any]) -> tuple[str, str]:
    before = f" in place of {result['previousVersion']}" if result["previousVersion"] else ""
    told = f"Version {result['version']} is published{before}." if result["published"] else "The ONNX files are exact."
    return told, result["modelPath"]


def _predicted(result: Mapping[str, Any]) -> tuple[str, str]:
    rows, assets = wording.plural(result["rows"], "row"), wording.plural(result["assets"], "asset")
    return f"{rows} of {assets} scored by version {result['version']}; {result['alarms']:,} of them in alarm.", result[
        "predictionsPath"
    ]


def _monitored(result: Mapping[str, Any]) -> tuple[str, str]:
    return f"Version {result['version']}: {result['verdict']}", result["reportPath"]


def _labels_looked_at(result: Mapping[str, Any]) -> tuple[str, str]:
    found = ", ".join(f"{count} {kind.lower().replace('_', ' ')}" for kind, count in result["proposed"].items())
    recorded = wording.plural(result["recordedFailures"], "failure")
    return f"{recorded} on record. To look at: {found or 'none'}.", result["proposalsPath"]


_SUMMARIES = {
    "data_prep": _prepared,
    "hyperparameter_tuning": _tuned,
    "train_model": _trained,
    "validate_model": _validated,
    "convert_to_onnx": _converted,
    "predict": _predicted,
    "monitor": _monitored,
    "labels": _labels_looked_at,
}
