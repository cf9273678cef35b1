"""The trials of a parameter search one after the other with two threads, and two side by side with one thread each.

    python -m benchmarks.search_workers [--rows 20000] [--trials 24] [--cpus 2]

A simulated plant of so many readings is prepared once; then the step hyperparameter_tuning runs for 1 and for as many
workers as there are CPUs, first with every trial run to its end, then with trials given up as hopeless.
``stepSeconds`` are those of the whole step, with libraries, features and the start of workers; ``trialsPerSecond``
counts from the end of the first trial, the given configuration, to the end of the last. CPU seconds, workers included,
are disturbed less by work of others on the machine (``otherLoad``: its load average before).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import fleet, processes, results
from ml.scale.fleet.budget import parse_count
from simulation.database import write_sqlite
from simulation.station import simulate
from simulation.wear import WearLaw

ORGANIZATION = "plant_a"
FINISHED = {1, 2}  # states in Optuna's journal: complete, pruned


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_workers", description="Measure many workers.")
    parser.add_argument("--rows", type=parse_count, default=20_000, help="readings; default: 20,000")
    parser.add_argument("--trials", type=parse_count, default=24, help="trials of each search; default: 24")
    parser.add_argument("--cpus", type=parse_count, default=2, help="CPUs in all; default: 2")
    return parser


def step(name: str, config: dict[str, Any], root: Path, cpus: int) -> processes.Usage:
    """Run one step in a workspace."""
    file = root.parent / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, f"scripts/{name}.py", str(file)]
    environment = {"ML_BASE_PATH": str(root), "OMP_NUM_THREADS": str(cpus)}
    return processes.run(command, folder=fleet.REPOSITORY / "ml", environment=environment)


def search(config: dict[str, Any], prepared: Path, workers: int, cpus: int, *, pruning: bool) -> dict[str, Any]:
    """One search in a copy of the prepared workspace."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(shutil.copytree(prepared, Path(name) / "workspace"))
        asked = config | {"tuningConfig": config["tuningConfig"] | {"workers": workers, "pruning": pruning}}
        load = os.getloadavg()[0]
        measured, cpu = fleet.with_cpu(lambda: {"usage": step("hyperparameter_tuning", asked, root, cpus)})
        trials = json.loads(next(root.rglob("trials.json")).read_text(encoding="utf-8"))["trials"]
        finished = finished_trials(next(root.rglob("journal.log")))
    complete = sum(trial["state"] == "COMPLETE" for trial in trials)
    span = (finished[-1] - finished[0]).total_seconds()
    usage = measured["usage"]
    return {
        "workers": workers,
        "threadsEach": cpus // workers,
        "pruning": pruning,
        "trials": len(finished),
        "complete": complete,
        "trialsPerSecond": (len(finished) - 1) / span,
        "stepSeconds": usage.seconds,
        "cpuSeconds": cpu,
        "bestScore": json.loads(usage.output)["bestScore"],
        "otherLoad": load,
    }


def finished_trials(journal: Path) -> list[datetime]:
    """When each trial was finished."""
    entries = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    return sorted(
        datetime.fromisoformat(each["datetime_complete"]) for each in entries if each.get("state") in FINISHED
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, keep it; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    days = max(1, round(arguments.rows * fleet.INTERVAL_SECONDS / 86_400 / fleet.ASSETS))
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name) / "workspace"
        prepared.mkdir()
        law = WearLaw(mean_life_days=max(fleet.LEAST_LIFE_DAYS, days / 12))
        station = simulate(seed=5, n_assets=fleet.ASSETS, days=days, interval_seconds=fleet.INTERVAL_SECONDS, law=law)
        database = Path(name) / "scada.sqlite"
        write_sqlite(station, database)
        tuning = {"searchMethod": "random", "nTrials": arguments.trials}
        config = fleet.config_of(ORGANIZATION, database) | {"tuningConfig": tuning}
        step("data_prep", config, prepared, arguments.cpus)
        rows = [
            search(config, prepared, workers, arguments.cpus, pruning=pruning)
            for pruning in (False, True)
            for workers in (1, arguments.cpus)
        ]
    sys.stdout.write(results.table(rows) + "\n")
    ratio = rows[1]["trialsPerSecond"] / rows[0]["trialsPerSecond"]
    sys.stdout.write(f"{ratio:.2f} times the trials per second where none is given up\n")
    figures = {"rows": len(station.readings), "results": rows, "trialRatio": ratio}
    sys.stdout.write(f"kept in {results.keep('search_workers', figures)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
