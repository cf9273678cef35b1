"""What a fleet of thousands costs besides the work on its organisations.

    python -m benchmarks.fleet_scheduler [--organizations 10000]

So many configurations are checked, their tasks run by the code that runs every fleet, and the summary is written. The
tasks ask for no step, so what is measured is the fleet's own: seconds and memory for each organisation.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from ml.scale.fleet.coordination import work_off

from benchmarks import results
from ml.scale.fleet.budget import Budget, parse_count
from ml.scale.fleet.organizations import Organization, checked_organizations, configuration_files
from ml.scale.fleet.pools import local_pool
from ml.scale.fleet.summary import summarize, write_summary
from ml.scale.fleet.task import OrganizationTask, Outcome

WHOLE, SHARE = Budget(2, 2 * 1024**3), Budget(1, 1024**3)
_STEPS = ("data_prep", "train_model", "validate_model", "convert_to_onnx")
_FINDINGS = {
    "status": "REFUSED",
    "verdict": "17 of 24 failures were detected at least an hour ahead; 21 are required. 33 alarms were false.",
    "events": {"failures": 24, "detected": 17, "eventRecall": 17 / 24, "alarms": 60, "falseAlarms": 33},
}


def measure(number: int) -> dict[str, Any]:
    """Seconds of wall clock, bytes and megabytes for so many organisations."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in range(number):
            (folder / f"org_{each:06}.json").write_text(json.dumps(_config(f"org_{each:06}")), encoding="utf-8")
        began = time.perf_counter()
        found = [each for each in checked_organizations(configuration_files(folder)) if isinstance(each, Organization)]
        read = time.perf_counter() - began
        if len(found) != number:
            raise SystemExit("a configuration of the benchmark is not valid")
        tasks = [_task(each, folder) for each in found]
        before, cpu_before, began = _resident(), time.process_time(), time.perf_counter()
        outcomes = work_off(
            lambda share: local_pool(WHOLE.room_for(share), "run", lambda _: None),
            tasks,
            SHARE,
            WHOLE.memory,
            lambda _: None,
        )
        ran, cpu, grown = time.perf_counter() - began, time.process_time() - cpu_before, _resident() - before
        if {outcome.state for outcome in outcomes} != {"unchanged"}:
            raise SystemExit("a task without steps did something")
        began = time.perf_counter()
        files = write_summary(summarize([_judged(task) for task in tasks], 0.0, None), folder / "summary")
        written = time.perf_counter() - began
        sizes = [file.stat().st_size / 1e6 for file in files]
    return {
        "organizations": number,
        "readConfigsSeconds": read,
        "tasksSeconds": ran,
        "tasksPerSecond": number / ran,
        "cpuMillisecondsPerTask": 1e3 * cpu / number,
        "memoryKbPerTask": grown / 1e3 / number,
        "summarySeconds": written,
        "summaryJsonMb": sizes[0],
        "summaryHtmlMb": sizes[1],
    }


def _config(organization: str) -> dict[str, Any]:
    return {"organizationId": organization, "schemaConfig": {"continuousColumns": ["heat"]}}


def _task(organization: Organization, root: Path) -> OrganizationTask:
    return OrganizationTask(
        "run",
        organization.organization_id,
        organization.version,
        str(organization.config_file),
        str(root),
        steps=(),
        share=SHARE,
        force=False,
    )


def _judged(task: OrganizationTask) -> Outcome:
    """As an organisation ends that validation has refused."""
    steps = tuple({"step": step, "exitCode": 0, "seconds": 12.34, "peakMemoryBytes": 700_000_000} for step in _STEPS)
    error = {"code": "QUALITY_GATE", "message": _FINDINGS["verdict"], "hint": "the report says why"}
    return Outcome(task.organization_id, task.version, "refused", steps, error, _FINDINGS)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, keep it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet_scheduler", description="Measure ml.fleet alone.")
    parser.add_argument("--organizations", type=parse_count, default=10_000, help="how many; default: 10,000")
    figures = measure(parser.parse_args(argv).organizations)
    sys.stdout.write(results.table([figures]) + "\n")
    sys.stdout.write(f"kept in {results.keep('fleet_scheduler', figures)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
