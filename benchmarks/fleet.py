"""Many organisations at once against the same work one after the other.

    python -m benchmarks.fleet [--organizations 8] [--rows 20000] [--cpus 2] [--memory 4G]

A simulated plant of so many readings is the history of every organisation. First a few organisations run alone, one
step after the other, each step with one thread; their mean is what one organisation costs. Then the fleet runs all of
them. ``overhead`` is its wall clock divided by (organisations times that mean, by CPUs): 1 is ideal. ``cpuOverhead`` is
the same for CPU seconds, which work of others on the machine (``otherLoad``: its load average before) disturbs less.
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
from ml.fleet.budget import parse_count, parse_size
from ml.scada.plant.database import TABLE, write_sqlite
from ml.scada.plant.station import simulate
from ml.scada.plant.wear import WearLaw

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = ("data_prep", "train_model", "validate_model", "convert_to_onnx")
ASSETS = 8
INTERVAL_SECONDS = 1800
HORIZON_SECONDS = 43_200
LEAST_LIFE_DAYS = 3.0  # pumps that fail more often would leave no row without a failure ahead
ALONE = 2  # organisations that run alone; they do equal work, so more would only repeat


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description="Measure ml.fleet.")
    parser.add_argument("--organizations", type=parse_count, default=8, help="how many; default: 8")
    parser.add_argument("--rows", type=parse_count, default=20_000, help="readings of each; default: 20,000")
    parser.add_argument("--cpus", type=parse_count, default=2, help="CPUs, one for each task; default: 2")
    parser.add_argument("--memory", type=parse_size, default=parse_size("4G"), help="budget of all tasks; default: 4G")
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
        "validationConfig": {"minAccuracy": None, "minPrecision": None, "minRecall": None, "minAuc": None,
                             "maxLatencyMs": None},
    }  # fmt: skip


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


def fleet(configs: Path, root: Path, cpus: int, memory: int) -> dict[str, Any]:
    """The fleet's own JSON result."""
    command = [sys.executable, "-m", "ml.fleet", str(configs), "--steps", *STEPS]
    command += ["--cpus", str(cpus), "--memory", str(memory)]
    done = processes.run(command, folder=REPOSITORY, environment={"ML_BASE_PATH": str(root)})
    document: dict[str, Any] = json.loads(done.output)
    return document


def with_cpu(work: Callable[..., dict[str, Any]], *arguments: Any) -> tuple[dict[str, Any], float]:
    """What `work` returns, and the CPU seconds of all processes that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = work(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, keep it; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    days = max(1, round(arguments.rows * INTERVAL_SECONDS / 86_400 / ASSETS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        law = WearLaw(mean_life_days=max(LEAST_LIFE_DAYS, days / 12))
        station = simulate(seed=5, n_assets=ASSETS, days=days, interval_seconds=INTERVAL_SECONDS, law=law)
        database, configs = folder / "scada.sqlite", folder / "configs"
        write_sqlite(station, database)
        configs.mkdir()
        files = [configs / f"org_{number:04}.json" for number in range(arguments.organizations)]
        for file in files:
            file.write_text(json.dumps(config_of(file.stem, database)), encoding="utf-8")
        load = os.getloadavg()[0]
        singles, singles_cpu = zip(*(with_cpu(alone, file, folder / "alone") for file in files[:ALONE]), strict=True)
        together, together_cpu = with_cpu(fleet, configs, folder / "together", arguments.cpus, arguments.memory)
    single = statistics.mean(sum(steps.values()) for steps in singles)
    ideal = single * arguments.organizations / arguments.cpus
    peaks = sorted(row["peakMemoryBytes"] / 1e6 for row in together["organizations"])
    figures = {
        "organizations": arguments.organizations,
        "rows": len(station.readings),
        "cpus": arguments.cpus,
        "budgetMb": arguments.memory / 1e6,
        "singleSeconds": single,
        "idealSeconds": ideal,
        "fleetSeconds": together["seconds"],
        "overhead": together["seconds"] / ideal,
        "largestTaskMb": peaks[-1],
        "largestSumMb": sum(peaks[-arguments.cpus :]),
        "done": together["counts"].get("done", 0),
        "cpuOverhead": together_cpu / (statistics.mean(singles_cpu) * arguments.organizations),
        "otherLoad": load,
    }
    sys.stdout.write(results.table([figures]) + "\n")
    by_step = {step: statistics.mean(run[step] for run in singles) for step in STEPS}
    sys.stdout.write(f"kept in {results.keep('fleet', figures | {'stepSeconds': by_step})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
