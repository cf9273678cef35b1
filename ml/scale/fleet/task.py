"""The work of one task: the steps of one organisation, one after the other in a process of their own.

A task is given names and numbers only. The configuration, with whatever secret is in it or is named by it, is read by
the steps themselves; what comes back is what the summary shows. The worker keeps neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml.errors import BusyError, ConfigError, EagleError, QualityGateError
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.history import History, read_findings, read_history
from ml.scale.fleet.running import RUNNING
from ml.scale.fleet.step_process import StepOutcome, StepProcess
from ml.scale.fleet.steps import STEPS, STOPPED_EXITS
from ml.workspace.configurations import load_config
from ml.workspace.files import sha256
from ml.workspace.paths import OrganizationPaths

State = Literal["done", "unchanged", "refused", "failed", "stopped"]
BUSY_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before the next attempts at a version that another process writes: a killed worker's step may still end."""


@dataclass(frozen=True)
class OrganizationTask:
    """What a worker must know to run an organisation's steps. It holds no secret and no data."""

    run: str
    """Id of the fleet run that the task belongs to."""
    organization_id: str
    version: str
    config_file: str
    root: str
    """Workspace root."""
    steps: tuple[str, ...]
    share: Budget
    force: bool
    digest: str | None = None
    """SHA-256 of the configuration file that was checked; None: whatever is there."""
    if_needed: bool = False
    """Make a new version if the published one is due, in place of the configuration's own version."""


@dataclass(frozen=True)
class Outcome:
    """What became of one organisation."""

    organization_id: str
    version: str
    state: State
    steps: tuple[dict[str, Any], ...] = ()
    """Name, exit code, seconds and peak bytes of each step that ran."""
    error: dict[str, Any] | None = None
    findings: dict[str, Any] | None = None
    outgrew: bool = False
    config_file: str | None = None
    """Name of a configuration that could not be used; None where it could, and the identifiers say whose it is."""

    def to_json(self) -> dict[str, Any]:
        """One row of the summary."""
        findings = self.findings or {}
        return {
            "organizationId": self.organization_id,
            "version": self.version,
            "state": self.state,
            "verdict": findings.get("status"),
            "reason": self.error["message"] if self.error else findings.get("verdict"),
            "error": self.error,
            "events": findings.get("events"),
            "seconds": round(sum(step["seconds"] for step in self.steps), 2),
            "peakMemoryBytes": max((step["peakMemoryBytes"] for step in self.steps), default=None),
            "steps": list(self.steps),
            **({"configFile": self.config_file} if self.config_file else {}),
        }


def stop_run(run: str) -> None:
    """End the steps of a fleet run in this process; called on every worker."""
    RUNNING.stop(run)


def work_on(task: OrganizationTask, tell: Callable[[dict[str, Any]], None]) -> Outcome:
    """Run the steps that are not done yet; stop at the first that does not succeed.

    A task that is run again because its worker died goes on after the last step that succeeded.
    """
    try:
        if task.digest not in (None, sha256(Path(task.config_file))):
            raise ConfigError("the configuration has changed since it was checked", hint="run the fleet again")
        config = load_config(task.config_file)
        paths = OrganizationPaths(task.organization_id, Path(task.root), config.output_path)
        history = History() if task.force else read_history(config, task.steps, paths)
    except EagleError as error:
        return Outcome(task.organization_id, task.version, "failed", error=error.to_json())
    if history.is_finished(task.steps):
        state: State = "refused" if history.refused else "unchanged"
        findings = read_findings(paths, task.version)
        return Outcome(task.organization_id, task.version, state, findings=findings)
    return _run_steps(task, paths, history, tell)


def _run_steps(
    task: OrganizationTask, paths: OrganizationPaths, history: History, tell: Callable[[dict[str, Any]], None]
) -> Outcome:
    config_file = history.config_file or Path(task.config_file)
    ran: list[StepOutcome] = []

    def tell_progress(event: dict[str, Any]) -> None:
        told = {key: event.get(key) for key in ("step", "done", "total", "message")}
        tell({"organizationId": task.organization_id, "version": task.version, **told})

    with StepProcess(
        Path(task.config_file), root=Path(task.root), share=task.share, run=task.run, tell=tell_progress
    ) as process:
        for step in task.steps[len(history.done) :]:
            tell_progress({"step": step, "done": 0, "total": 0})
            outcome = _run_when_free(process, step, config_file)
            if outcome is None:
                return _outcome(task, "stopped", ran, paths)
            ran.append(outcome)
            if outcome.exit_code != 0:
                return _outcome(task, _failed_state(outcome), ran, paths)
            if STEPS[step].gives_config:
                config_file = Path(outcome.document["trainingConfigPath"])
    return _outcome(task, "done", ran, paths)


def _run_when_free(process: StepProcess, step: str, config_file: Path) -> StepOutcome | None:
    for wait in (*BUSY_WAITS, None):
        outcome = process.run(step, config_file)
        if outcome is None or wait is None or (outcome.error() or {}).get("code") != BusyError.code:
            break
        time.sleep(wait)
    return outcome


def _failed_state(outcome: StepOutcome) -> State:
    if outcome.exit_code in STOPPED_EXITS:
        return "stopped"
    return "refused" if outcome.exit_code == QualityGateError.exit_code else "failed"


def _outcome(task: OrganizationTask, state: State, ran: list[StepOutcome], paths: OrganizationPaths) -> Outcome:
    evaluated = any(STEPS[outcome.step].follows_verdict for outcome in ran)
    return Outcome(
        task.organization_id,
        task.version,
        state,
        tuple(
            {
                "step": outcome.step,
                "exitCode": outcome.exit_code,
                "seconds": round(outcome.seconds, 2),
                "peakMemoryBytes": outcome.peak_bytes,
            }
            for outcome in ran
        ),
        dict(ran[-1].error() or {}) or None if ran else None,
        read_findings(paths, task.version) if evaluated else None,
        bool(ran and ran[-1].outgrew),
    )
