"""What is done already, read from what the steps left: audit log, manifest, validation report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import EagleError, QualityGateError
from ml.scale.fleet.steps import STEPS, TUNED_CONFIG
from ml.workspace import audit
from ml.workspace.files import json_if_readable
from ml.workspace.paths import OrganizationPaths

_LONG_LISTS = ("failureList", "perAsset")  # the report itself has them


@dataclass(frozen=True)
class History:
    """How far an organisation's version is."""

    done: tuple[str, ...] = ()
    """Steps that need not run again, in order."""
    config_file: Path | None = None
    """The configuration that parameter search has written; None before that."""
    refused: bool = False
    """Whether the step after those done gave a verdict, and it was no."""

    def is_finished(self, steps: Sequence[str]) -> bool:
        """Whether nothing is left to do: every step is done, or the verdict stands."""
        return self.refused or len(self.done) == len(steps)


def read_history(config: OrganizationConfig, steps: Sequence[str], paths: OrganizationPaths) -> History:
    """Which of `steps` succeeded with this very configuration, one after the other, and still have their results.

    An audit log or a version that does not pass its checks counts as nothing done: the steps say what is wrong.
    """
    try:
        latest = _latest_records(paths, config.version)
    except EagleError:
        return History()
    history, position = History(), -1
    for step in steps:
        index, record = latest.get(step, (-1, {}))
        if index < position or record.get("configDigest") != config.digest():
            return history
        if STEPS[step].gives_verdict and record["result"] == audit.failed(QualityGateError.code):
            return History(history.done, history.config_file, STEPS[step].has_results(paths, config.version))
        if record["result"] != audit.SUCCEEDED or not STEPS[step].has_results(paths, config.version):
            return history
        tuned = history.config_file
        if STEPS[step].gives_config:
            tuned = paths.tuning_file(config.version, TUNED_CONFIG)
            config = OrganizationConfig.load_from_file(tuned)
        history, position = History((*history.done, step), tuned), index
    return history


def read_findings(paths: OrganizationPaths, version: str) -> dict[str, Any]:
    """Verdict and event numbers of the validation report; empty if there is none that can be read."""
    report = json_if_readable(paths.validation_report(version, ".json"))
    if not report:
        return {}
    events = {key: value for key, value in (report.get("events") or {}).items() if key not in _LONG_LISTS}
    return {"status": report.get("status"), "verdict": report.get("verdict"), "events": events or None}


def _latest_records(paths: OrganizationPaths, version: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """Operation -> place and content of its last record for `version`."""
    return {
        record["operation"]: (index, record)
        for index, record in enumerate(audit.records(paths))
        if record["version"] == version
    }
