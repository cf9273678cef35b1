"""What an organisation costs: seconds and memory as a function of rows, features and rounds, and what follows from it.

    python -m benchmarks.cost_model [--rows 90000 180000 270000] [--sensors 3 6] [--rounds 50 150]

Every combination is prepared, trained, validated and converted by the steps themselves, one thread each. Seconds are of
CPU time, which others on the machine disturb least. Each figure is fitted as a sum of products of ``n`` (rows on the
grid), ``c`` (columns), ``f`` (features) and ``r`` (rounds) with coefficients that are not negative, by least squares of
the relative error; the largest and the median relative error at the measured points are kept beside the coefficients.
What is printed last is arithmetic with these coefficients, far outside of what was measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from scipy.optimize import nnls

from benchmarks import results
from ml.evaluation.checks.gates import GATES

ML = Path(__file__).resolve().parents[1] / "ml"
INTERVAL = 60
ASSETS = 10
FAILURE_EVERY = 250  # samples
NAME = "cost_model"
FEATURES, FITTING, FITTED = "computing features", "fitting", "fitted"
NIGHT_HOURS, MACHINE_CPUS, MACHINE_GB = 8, 16, 64

LAWS: dict[str, tuple[str, ...]] = {
    "prepareSeconds": ("", "nc"),
    "featuresSeconds": ("", "nf"),
    "boostSeconds": ("r", "nr"),  # a tree sees 64 features, however many there are
    "restOfTrainingSeconds": ("", "nf", "nr"),
    "validateSeconds": ("", "nf", "nr"),
    "convertSeconds": ("", "r"),
    "prepareMb": ("", "nc"),
    "trainMb": ("", "f", "nf"),
    "validateMb": ("", "nf"),
    "diskMb": ("", "nc"),
}
"""Figure -> its terms, each a product of the sizes that its letters name; "" is 1."""

SECONDS = [name for name in LAWS if name.endswith("Seconds")]


@dataclass(frozen=True)
class Law:
    """A fitted sum of terms."""

    coefficients: dict[str, float]
    median_error: float
    largest_error: float

    def at(self, sizes: dict[str, float]) -> float:
        """The figure for these sizes."""
        return sum(each * _product(term, sizes) for term, each in self.coefficients.items())


@dataclass(frozen=True)
class Ran:
    """What a step took: CPU seconds in all and until each message, peak memory, its JSON result."""

    seconds: float
    until: dict[str, float]
    peak_mb: float
    document: dict[str, Any]


def run_step(step: str, config: Path, root: Path) -> Ran:
    """Run a step on one thread; raises SystemExit with its result if it fails."""
    until: dict[str, float] = {}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, f"scripts/{step}.py", str(config)],
            cwd=ML,
            env=os.environ | {"ML_BASE_PATH": str(root), "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
        reader = threading.Thread(target=_note_messages, args=(process, until))
        reader.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
        output.seek(0)
        document = json.load(output)
    if process.returncode != 0:
        raise SystemExit(f"{step} ended with {process.returncode}: {document}")
    return Ran(usage.ru_utime + usage.ru_stime, until, usage.ru_maxrss * 1024 / 1e6, document)


def _note_messages(process: subprocess.Popen[str], until: dict[str, float]) -> None:
    if process.stderr is None:
        return
    with process.stderr:
        for line in process.stderr:
            message = json.loads(line).get("message")
            if message and message not in until and process.returncode is None:
                times = psutil.Process(process.pid).cpu_times()
                until[message] = times.user + times.system


def measure(rows: int, sensors: int, rounds: int) -> dict[str, float]:
    """All steps of one organisation: its sizes, and every figure of `LAWS`."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        config = root / "config.json"
        _history(rows, sensors).to_parquet(root / "readings.parquet")
        config.write_text(json.dumps(_config(root / "readings.parquet", sensors, rounds)), encoding="utf-8")
        prepared, trained, validated, converted = (
            run_step(step, config, root) for step in ("data_prep", "train_model", "validate_model", "convert_to_onnx")
        )
        disk = sum(file.stat().st_size for part in ("models", "artifacts") for file in (root / part).rglob("*"))
    features = trained.until[FITTING] - trained.until[FEATURES]
    boost = trained.until[FITTED] - trained.until[FITTING]
    return {
        "n": prepared.document["rows"],
        "c": sensors + 1,
        "f": len(trained.document["features"]),
        "r": trained.document["rounds"],
        "prepareSeconds": prepared.seconds,
        "featuresSeconds": features,
        "boostSeconds": boost,
        "restOfTrainingSeconds": trained.seconds - features - boost,
        "validateSeconds": validated.seconds,
        "convertSeconds": converted.seconds,
        "prepareMb": prepared.peak_mb,
        "trainMb": trained.peak_mb,
        "validateMb": validated.peak_mb,
        "diskMb": disk / 1e6,
    }


def _config(readings: Path, sensors: int, rounds: int) -> dict[str, Any]:
    return {
        "organizationId": "benchmark",
        "schemaConfig": {
            "assetColumn": "asset",
            "timestampColumn": "timestamp",
            "targetColumn": "failed",
            "continuousColumns": [f"sensor_{number}" for number in range(sensors)],
        },
        "dataSource": {"path": str(readings)},
        "dataConfig": {"samplingIntervalSeconds": INTERVAL, "predictionHorizonSeconds": 30 * INTERVAL},
        "trainingConfig": {"earlyStoppingRounds": 0, "lgbParams": {"numIterations": rounds}},
        "validationConfig": dict.fromkeys(GATES) | {"untunedModel": False},  # a second training otherwise
    }


def _history(rows: int, sensors: int) -> pd.DataFrame:
    """Machines whose sensors drift upwards before each failure, with noise; on the grid already."""
    random = np.random.default_rng(0)
    each = rows // ASSETS
    age = np.arange(each) % FAILURE_EVERY
    wear = np.tile((age / FAILURE_EVERY) ** 8, ASSETS).astype(np.float32)
    times = pd.date_range("2024-01-01", periods=each, freq=f"{INTERVAL}s", tz="UTC")
    columns = {
        "asset": np.repeat([f"machine {number:02}" for number in range(ASSETS)], each),
        "timestamp": np.tile(times, ASSETS),
        "failed": np.tile((age >= FAILURE_EVERY - 5).astype(np.int8), ASSETS),
    }
    for number in range(sensors):
        noise = random.normal(50, 5, len(wear)).astype(np.float32)
        columns[f"sensor_{number}"] = noise + wear * np.float32(random.uniform(0, 8))
    return pd.DataFrame(columns)


def fit(name: str, points: list[dict[str, float]]) -> Law:
    """The law of one figure, from all points."""
    terms = LAWS[name]
    measured = np.array([point[name] for point in points])
    design = np.array([[_product(term, point) for term in terms] for point in points])
    solution, _ = nnls(design / measured[:, None], np.ones(len(points)))
    errors = np.abs(design @ solution / measured - 1)
    return Law(dict(zip(terms, map(float, solution), strict=True)), float(np.median(errors)), float(errors.max()))


def _product(term: str, sizes: dict[str, float]) -> float:
    return math.prod(sizes[letter] for letter in term)


def extrapolate(laws: dict[str, Law], features_per_column: float) -> dict[str, dict[str, float]]:
    """Two cases far outside of what was measured; every line follows from the laws by the arithmetic shown here."""
    one = {"n": 2e5, "c": 7.0, "f": 7 * features_per_column, "r": 150.0}
    cpu = sum(laws[name].at(one) for name in SECONDS)
    fleet = {
        "organizations": 1e4,
        **one,
        "cpuSecondsEach": cpu,
        "cpuHours": 1e4 * cpu / 3600,
        "machinesForANight": math.ceil(1e4 * cpu / 3600 / NIGHT_HOURS / MACHINE_CPUS),
        "memoryMbEach": max(laws[name].at(one) for name in ("prepareMb", "trainMb", "validateMb")),
        "diskGb": 1e4 * laws["diskMb"].at(one) / 1e3,
    }
    large = {"n": 1e10, "c": 21.0, "f": 21 * features_per_column, "r": 150.0}
    cpu = sum(laws[name].at(large) for name in SECONDS)
    per_row = laws["trainMb"].coefficients["nf"] * large["f"] / 1e3
    return {
        "tenThousandOrganizations": fleet,
        "tenBillionRows": {
            **large,
            "cpuDays": cpu / 86_400,
            "featureCpuDays": laws["featuresSeconds"].at(large) / 86_400,
            "boostCpuDays": laws["boostSeconds"].at(large) / 86_400,
            "trainingMemoryGb": laws["trainMb"].at(large) / 1e3,
            "rowsThatOneMachineHolds": (MACHINE_GB - laws["trainMb"].at(large | {"n": 0.0}) / 1e3) / per_row,
            "diskGb": laws["diskMb"].at(large) / 1e3,
        },
    }


def main(argv: list[str] | None = None) -> int:
    """Measure, fit, print, keep; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost_model", description="Fit what a run costs.")
    parser.add_argument("--rows", type=int, nargs="+", default=[90_000, 180_000, 270_000])
    parser.add_argument("--sensors", type=int, nargs="+", default=[3, 6])
    parser.add_argument("--rounds", type=int, nargs="+", default=[50, 150])
    parser.add_argument("--again", action="store_true", help="fit again what was measured last, and measure nothing")
    arguments = parser.parse_args(argv)
    if arguments.again:
        kept = json.loads((results.RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))
        load, points = kept["otherLoad"], kept["points"]
    else:
        load = os.getloadavg()[0]
        grid = itertools.product(arguments.rows, arguments.sensors, arguments.rounds)
        points = [measure(*sizes) for sizes in grid]
    laws = {name: fit(name, points) for name in LAWS}
    cases = extrapolate(laws, float(np.mean([point["f"] / point["c"] for point in points])))
    sys.stdout.write(results.table(points) + "\n\n")
    told = [
        {
            "figure": name,
            "law": " + ".join(f"{each:.3g}{'·' * bool(term)}{term}" for term, each in law.coefficients.items()),
            "coefficients": law.coefficients,
            "medianError": law.median_error,
            "largestError": law.largest_error,
        }
        for name, law in laws.items()
    ]
    shown = [{key: value for key, value in row.items() if key != "coefficients"} for row in told]
    sys.stdout.write(results.table(shown) + "\n\n")
    for name, case in cases.items():
        sys.stdout.write(f"{name}: {json.dumps({key: float(f'{value:.4g}') for key, value in case.items()})}\n")
    bounds = {"nightHours": NIGHT_HOURS, "machineCpus": MACHINE_CPUS, "machineGb": MACHINE_GB}
    kept = {"otherLoad": load, "points": points, "laws": told, "extrapolation": cases | bounds}
    sys.stdout.write(f"kept in {results.keep(NAME, kept)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
