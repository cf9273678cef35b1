"""Run the pipeline for many organisations, side by side on this machine or on a Dask cluster.

    python -m ml.fleet CONFIG_DIR [--steps STEP ...] [--scheduler tcp://HOST:PORT]

Reads: every ``*.json`` in CONFIG_DIR, one configuration each. Writes: what the steps write, for each organisation in
its own folders, and ``summary.json`` and ``summary.html`` in the folder that --summary names (default:
``fleet_summary`` in the workspace). An organisation whose steps have all succeeded with the same configuration is not
run again, and neither is one that validation has refused; --force runs them again. With --if-needed each organisation
gets a new version if its published one is due, and none otherwise. Exit status: 0 if every
organisation is done, 7 if some failed or were refused, others: see ml/errors.py.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from ml.errors import FleetError, UsageError
from ml.scale.clients import SCHEDULER_VARIABLE, existing_cluster, offered_resources, scheduler_address
from ml.scale.fleet.budget import Budget, machine_budget, parse_count, parse_size, smallest_budget, task_budget
from ml.scale.fleet.display import STEP, display_for
from ml.scale.fleet.organizations import checked_organizations, configuration_files
from ml.scale.fleet.pools import Submit, cluster_pool, local_pool, work_off
from ml.scale.fleet.steps import STEPS
from ml.scale.fleet.summary import summarize, summary_folder, write_summary
from ml.scale.fleet.task import OrganizationTask, Outcome
from ml.workspace.paths import workspace_root
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ml.fleet", description="Run the pipeline for many organisations.")
    parser.add_argument("config_dir", help="folder with one configuration (.json) for each organisation")
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=tuple(STEPS),
        metavar="STEP",
        default=tuple(STEPS),
        help="steps to run; default: all five",
    )
    parser.add_argument("--scheduler", help=f"existing Dask scheduler, tcp://host:port; default: ${SCHEDULER_VARIABLE}")
    parser.add_argument("--cpus", type=parse_count, help="CPUs for all tasks together; default: all of this process")
    parser.add_argument(
        "--memory",
        type=parse_size,
        help="memory for all tasks together, such as 3G; default: four fifths of the machine",
    )
    parser.add_argument("--task-cpus", type=parse_count, default=1, help="CPUs for one organisation; default: 1")
    parser.add_argument("--task-memory", type=parse_size, help="memory for one organisation; default: its CPUs' share")
    parser.add_argument("--summary", help="folder for the summary; default: fleet_summary in the workspace")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--force", action="store_true", help="run again what is done already")
    what.add_argument(
        "--if-needed",
        action="store_true",
        help="make a new version where the published one is due, as python -m ml.retrain --if-needed does",
    )
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the fleet; returns its part of the JSON result.

    Raises FleetError if an organisation failed or was refused; all others have been run, and the summary is written;
    UsageError, ConfigError, IsolationError, MissingLibraryError, ClusterError, StorageError before any organisation is
    run.
    """
    began = time.monotonic()
    folder = summary_folder(arguments.summary)
    files = configuration_files(Path(arguments.config_dir))
    scheduler = arguments.scheduler or scheduler_address()
    run_id = f"fleet-{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        if scheduler:
            _refuse_budget(arguments)
            client = stack.enter_context(existing_cluster(scheduler))
            whole = smallest_budget(offered_resources(client))
        else:
            whole = machine_budget(arguments.cpus, arguments.memory)
        share = task_budget(whole, arguments.task_cpus, arguments.task_memory)
        display = display_for(len(files))
        stack.enter_context(display)

        def pool(of: Budget) -> AbstractContextManager[Submit]:
            if scheduler:
                return cluster_pool(client, run_id, display.on_progress)
            return local_pool(whole.room_for(of), run_id, display.on_progress)

        unusable: list[Outcome] = []

        def tasks() -> Iterator[OrganizationTask]:
            for found in checked_organizations(files):
                if isinstance(found, Outcome):
                    unusable.append(found)
                    display.on_outcome(found)
                    continue
                yield OrganizationTask(
                    run=run_id,
                    organization_id=found.organization_id,
                    version=found.version,
                    config_file=str(found.config_file),
                    root=str(workspace_root().resolve()),
                    steps=tuple(step for step in STEPS if step in arguments.steps),
                    share=share,
                    force=arguments.force,
                    digest=found.digest,
                    if_needed=arguments.if_needed,
                )

        outcomes = work_off(pool, tasks(), share, whole.memory, display.on_outcome)
    budget = None if scheduler else _told(whole, share)
    summary = summarize([*outcomes, *unusable], time.monotonic() - began, budget)
    as_json, as_html = write_summary(summary, folder)
    result = {**summary.to_json(), "summaryPath": str(as_html), "summaryJsonPath": str(as_json)}
    if summary.unfinished:
        raise FleetError(
            f"{summary.unfinished} of {len(summary.rows)} organisations failed or were refused",
            hint=f"the summary says why: {as_html}",
            partial=result,
        )
    return result


def _refuse_budget(arguments: argparse.Namespace) -> None:
    for name in ("cpus", "memory"):
        if getattr(arguments, name) is not None:
            raise UsageError(
                f"--{name} is for this machine; the workers of a cluster name their own",
                hint="leave it out, and start the workers with --resources",
            )


def _told(whole: Budget, share: Budget) -> dict[str, int]:
    return {"cpus": whole.cpus, "memoryBytes": whole.memory, "taskCpus": share.cpus, "taskMemoryBytes": share.memory}


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""

    def command(arguments: argparse.Namespace, _: Redactor) -> Mapping[str, Any]:
        return run(arguments)

    return run_command(STEP, build_parser(), command, argv)
