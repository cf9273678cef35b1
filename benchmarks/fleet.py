"""Many organisations at once against the same work one after the other.

    python -m benchmarks.fleet [--organizations 8] [--rows 20000] [--cpus 2] [--memory 2G] [--alone 2]

A simulated plant of so many readings is the history of every organisation. First a few organisations run alone, as an
engineer runs them: script by script, each with one thread. Their mean is what one organisation costs. Then the fleet
runs all of them. ``overhead`` is its wall clock divided by (organisations times that mean, by CPUs): at 1 it is as fast
as single runs spread evenly over the CPUs. ``cpuOverhead`` is the same for CPU seconds, which work of others on the
machine (``otherLoad``: its load average before) disturbs less. ``stepsPeakMb`` is the largest sum of resident memory of
all steps at one moment, which the budget bounds; ``fleetPeakMb`` that of the fleet's own process.

50 organisations of 200,000 rows take about 12 minutes on two cores:

    python -m benchmarks.fleet --organizations 50 --rows 200000 --name fleet_50
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import processes, results
from benchmarks.resident import ResidentMemory
from ml.evaluation.checks.gates import GATES
from ml.scale.fleet.budget import parse_count, parse_size
from simulation.database import TABLE, write_sqlite
from simulation.station import simulate
from simulation.wear import WearLaw

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = ("data_prep", "train_model", "validate_model", "convert_to_onnx")
ASSETS = 8
INTERVAL_SECONDS = 1800
HORIZON_SECONDS = 43_200
LEAST_LIFE_DAYS = 3.0  # pumps that fail more often would leave no row without a failure ahead


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description="Measure ml.fleet.")
    parser.add_argument("--organizations", type=parse_count, default=8, help="how many; default: 8")
    parser.add_argument("--rows", type=parse_count, default=20_000, help="readings of each; default: 20,000")
    parser.add_argument("--cpus", type=parse_count, default=2, help="CPUs, one for each task; default: 2")
    parser.add_argument("--memory", type=parse_size, default=parse_size("2G"), help="budget of all tasks; default: 2G")
    parser.add_argument("--alone", type=parse_count, default=2, help="how many run alone before; default: 2")
    parser.add_argument("--name", default="fleet", help="name of the figures; default: fleet")
    return parser


def config_of(organization: str, database: Path) -> dict[str, Any]:
    """What every organisation asks for; validation judges nothing, since speed is measured and not quality."""
    return {
        "organizationId": organization,
        "schemaConfig": {
            "assetColumn": "asset_id",
            "continuousColumns": ["temperature", "pressure", "flow_rate", "vibration", "current", "load_setpoint"],
            "booleanColumns": ["pump_status"],
            "operatingColumns": ["load_setpoint"],
        },
        "scadaDbConfig": {"driver": "sqlite", "database": str(database), "table": TABLE},
        "dataConfig": {"samplingIntervalSeconds": INTERVAL_SECONDS, "predictionHorizonSeconds": HORIZON_SECONDS},
        "validationConfig": dict.fromkeys(GATES),
    }


def alone(config: Path, root: Path) -> dict[str, float]:
    """Seconds of each step of one organisation, with one thread and nothing beside it."""
    environment = {"ML_BASE_PATH": str(root), "OMP_NUM_THREADS": "1"}
    folder = REPOSITORY / "ml"
    return {
        step: processes.run(
            [sys.executable, f"scripts/{step}.py", str(config)], folder=folder, environment=environment
        ).seconds
        for step in STEPS
    }


def fleet(configs: Path, root: Path, cpus: int, memory: int, watched: ResidentMemory) -> dict[str, Any]:
    """The fleet's own JSON result."""
    command = [sys.executable, "-m", "ml.fleet", str(configs), "--steps", *STEPS]
    command += ["--cpus", str(cpus), "--memory", str(memory)]
    environment = {"ML_BASE_PATH": str(root)}
    done = processes.run(command, folder=REPOSITORY, environment=environment, on_start=watched.watch)
    document: dict[str, Any] = json.loads(done.output)
    return document


def with_cpu(work: Callable[..., dict[str, Any]], *arguments: Any) -> tuple[dict[str, Any], float]:
    """What `work` returns, and the CPU seconds of all processes that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = work(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def organizations(folder: Path, number: int, rows: int) -> tuple[list[Path], int]:
    """The configurations of organisations that share one simulated history, and the readings in it."""
    days = max(1, round(rows * INTERVAL_SECONDS / 86_400 / ASSETS))
    law = WearLaw(mean_life_days=max(LEAST_LIFE_DAYS, days / 12))
    station = simulate(seed=5, n_assets=ASSETS, days=days, interval_seconds=INTERVAL_SECONDS, law=law)
    database, configs = folder / "scada.sqlite", folder / "configs"
    write_sqlite(station, database)
    configs.mkdir()
    files = [configs / f"org_{each:04}.json" for each in range(number)]
    for file in files:
        file.write_text(json.dumps(config_of(file.stem, database)), encoding="utf-8")
    return files, len(station.readings)


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, keep it; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    cpus, memory = arguments.cpus, arguments.memory
    with tempfile.TemporaryDirectory() as name, ResidentMemory() as watched:
        folder = Path(name)
        files, readings = organizations(folder, arguments.organizations, arguments.rows)
        load = os.getloadavg()[0]
        singles, singles_cpu = zip(
            *(with_cpu(alone, file, folder / "alone") for file in files[: arguments.alone]), strict=True
        )
        together, together_cpu = with_cpu(fleet, files[0].parent, folder / "together", cpus, memory, watched)
    single, single_cpu = statistics.mean(sum(steps.values()) for steps in singles), statistics.mean(singles_cpu)
    ideal = single * arguments.organizations / cpus
    rows = together["organizations"]
    figures = {
        "organizations": arguments.organizations,
        "rows": readings,
        "cpus": cpus,
        "done": together["counts"].get("done", 0),
        "singleSeconds": single,
        "idealSeconds": ideal,
        "fleetSeconds": together["seconds"],
        "overhead": together["seconds"] / ideal,
        "cpuOverhead": together_cpu / (single_cpu * arguments.organizations),
        "budgetMb": memory / 1e6,
        "stepsPeakMb": watched.children_peak / 1e6,
        "fleetPeakMb": watched.own_peak / 1e6,
        "largestTaskMb": max(row["peakMemoryBytes"] for row in rows) / 1e6,
        "fleetCpuSeconds": watched.own_cpu_seconds,
        "otherLoad": load,
    }
    sys.stdout.write(results.table([figures]) + "\n")
    steps = {
        "singleSteps": {step: statistics.mean(run[step] for run in singles) for step in STEPS},
        "fleetSteps": {
            step: statistics.mean(each["seconds"] for row in rows for each in row["steps"] if each["step"] == step)
            for step in STEPS
        },
        "singleCpuSeconds": single_cpu,
    }
    sys.stdout.write(f"kept in {results.keep(arguments.name, figures | steps)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
