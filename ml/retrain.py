"""A new version in place of the published one, trained on the newest rows.

    python -m ml.retrain CONFIG [--if-needed]

Runs the five steps for a version named after the time, on the configured dataRange up to the newest row, publishes it
if validation lets it pass, which compares it with the published one, and removes old versions. With --if-needed only if
python -m ml.monitor says that a new model is due. A retraining that was killed goes on where it was. Exit status: 0 if
the new version is published or none is needed, 5 if the one before stays, others: see ml/errors.py.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from ml import wording
from ml.errors import ERRORS, InternalError
from ml.scale.fleet.steps import STEPS
from ml.workspace.configurations import load_config
from ml.workspace.files import read_json
from ml.workspace.paths import OrganizationPaths, workspace_root
from ml.workspace.process.options import add_common_options
from ml.workspace.process.people import as_text
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command, secrets_of
from ml.workspace.versions.store import current_version

STEP = "retrain"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ml.retrain", description="Train a new version on the newest rows, and publish it if not worse."
    )
    parser.add_argument("config", help="configuration of the organisation (JSON); its version is not used")
    parser.add_argument("--if-needed", action="store_true", help="only if monitoring says that a new model is due")
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=tuple(STEPS),
        metavar="STEP",
        default=tuple(STEPS),
        help="steps to run, such as all but hyperparameter_tuning; default: all five",
    )
    add_common_options(parser)
    return parser


def run(arguments: argparse.Namespace, redactor: Redactor) -> dict[str, Any]:
    """Retrain; returns the command's part of the JSON result.

    Raises
    ------
    QualityGateError
        If the new version was not published.
    EagleError
        As ml/errors.py describes them, and as the step that failed.
    """
    from ml.scale.fleet.budget import machine_budget
    from ml.scale.fleet.display import display_for
    from ml.scale.fleet.retraining import retrain
    from ml.scale.fleet.task import OrganizationTask, stop_run

    config = load_config(arguments.config)
    for secret in secrets_of(config):
        redactor.hide(secret)
    paths = OrganizationPaths(config.organization_id)
    before, name = current_version(paths), f"retrain-{uuid.uuid4().hex[:12]}"
    task = OrganizationTask(
        run=name,
        organization_id=config.organization_id,
        version=config.version,
        config_file=str(arguments.config),
        root=str(workspace_root().resolve()),
        steps=tuple(step for step in STEPS if step in arguments.steps),
        share=machine_budget(None, None),
        force=False,
        if_needed=arguments.if_needed,
    )
    with display_for(1) as display:
        try:
            outcome = retrain(task, display.on_progress)
        except BaseException:
            stop_run(name)
            raise
        display.on_outcome(outcome)
    row = outcome.to_json()
    result = {
        "organizationId": config.organization_id,
        "version": outcome.version,
        "previousVersion": before,
        "published": outcome.state == "done",
        "state": outcome.state,
        "reason": row["reason"],
        "reasons": [],
        "steps": row["steps"],
    }
    if outcome.state != "unchanged" and paths.retraining.is_file():
        result["reasons"] = read_json(paths.retraining, "the state of retraining")["reasons"]
    if outcome.state in ("done", "unchanged"):
        return result
    error = outcome.error or {"message": "the retraining was stopped; run it again, and it goes on where it was"}
    kind = next((each for each in ERRORS if each.code == error.get("code")), InternalError)
    raise kind(error["message"], field=error.get("field"), hint=error.get("hint"), partial=result)


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    return run_command(STEP, build_parser(), run, argv, _in_words, ends_with_parent=True)


def _in_words(_: argparse.Namespace, result: Mapping[str, Any]) -> str:
    if not result["published"]:
        return as_text([f"Version {result['version']} stays. {result['reason']}"])
    before = f" in place of {result['previousVersion']}" if result["previousVersion"] else ""
    seconds = sum(step["seconds"] for step in result["steps"])
    lines = [f"Version {result['version']} is published{before}, after {wording.duration(seconds)}. {result['reason']}"]
    return as_text([*lines, *(f"  because {each['message']}" for each in result["reasons"])])


if __name__ == "__main__":
    sys.exit(main())
