"""One organisation of twenty million rows and twenty sensors, on workers of three gigabytes each.

    python -m benchmarks.large [--rows 20000000] [--workers 3] [--memory 3GB] [--folder FOLDER] [--compare]

Machines wear out and fail; their history is written to an SQLite database, prepared by `data_prep.py` and
trained by `train_model.py` with ``trainingConfig.engine: "dask"`` on a scheduler and workers of this machine, each of
which Dask's nanny ends above its limit. Resident memory is read five times a second: of the step's own process, and of
each worker with its member process. `--compare` trains the same rows with the local engine as well and holds the two
models' average precision on the test part against each other. What a folder holds already is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.results import keep, table

ROOT = Path(__file__).resolve().parents[1]
SENSORS = 20
ASSETS = 20
INTERVAL = 60
ROUNDS = 50
_FAILURE_EVERY = 4_000  # samples; a failure lasts 10 of them
_HORIZON = 120 * INTERVAL
_CHUNK = 5_000  # samples of each machine
_START = 1_700_000_000
TABLE = "readings"
_LOOK_SECONDS = 0.2


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table and keep the figures."""
    parser = argparse.ArgumentParser(description="One large organisation on several workers.")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--memory", default="3GB", help="limit of each worker")
    parser.add_argument("--folder", type=Path, help="where data is kept between runs")
    parser.add_argument("--compare", action="store_true", help="train with the local engine as well")
    parser.add_argument("--prepare-only", action="store_true", help="stop when the data is prepared")
    arguments = parser.parse_args(argv)
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        prepared = _prepared(folder, arguments.rows)
        if arguments.prepare_only:
            return 0
        _keep(arguments, measured := [prepared, _by_partitions(folder, arguments.workers, arguments.memory)])
        if arguments.compare:
            _keep(arguments, [*measured, _local(folder)])
    return 0


def _keep(arguments: argparse.Namespace, measured: list[dict[str, Any]]) -> None:
    figures: dict[str, Any] = {
        "rows": arguments.rows, "sensors": SENSORS, "assets": ASSETS, "rounds": ROUNDS, "cpus": os.cpu_count(),
        "workers": arguments.workers, "workerLimit": arguments.memory, "loadAverage": os.getloadavg()[0],
        "measured": measured,
    }  # fmt: skip
    if len(measured) > 2:
        figures["averagePrecisionDifference"] = measured[1]["averagePrecision"] - measured[2]["averagePrecision"]
    keep("large" if arguments.rows >= 20_000_000 else f"large_{arguments.rows}", figures)
    shown = [{"what": each["what"], "seconds": each["seconds"], "peakMb": each["peakMb"]} for each in measured]
    sys.stdout.write(table(shown) + "\n" + json.dumps(figures, indent=1) + "\n")


def _prepared(folder: Path, n_rows: int) -> dict[str, Any]:
    """The configuration and the prepared data in `folder`, made if they are not there; what preparation took."""
    told = folder / "prepared.json"
    if told.exists():
        kept: dict[str, Any] = json.loads(told.read_text())
        return kept
    readings = folder / "scada.sqlite"
    began = time.perf_counter()
    _write_history(readings, n_rows)
    sys.stderr.write(f"readings written in {time.perf_counter() - began:.0f} s\n")
    for engine in ("local", "dask"):
        (folder / f"{engine}.json").write_text(json.dumps(_config(readings, engine)))
    figures = _step("data_prep", folder, "local", {})
    told.write_text(json.dumps(figures))
    return figures


def _by_partitions(folder: Path, workers: int, memory: str) -> dict[str, Any]:
    with _cluster(folder, workers, memory) as (address, processes), _peaks(processes) as peaks:
        figures = _step("train_model", folder, "dask", {"DASK_SCHEDULER_ADDRESS": address})
    return figures | {"workerPeakMb": sorted(peaks), "restarts": _restarts(folder)}


def _local(folder: Path) -> dict[str, Any]:
    return _step("train_model", folder, "local", {})


def _step(step: str, folder: Path, engine: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run a step; seconds, peak memory of its process, and when each word of its progress was told first and last."""
    began = time.perf_counter()
    phases: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, f"scripts/{step}.py", folder / f"{engine}.json"],
            cwd=ROOT / "ml",
            env=os.environ | {"ML_BASE_PATH": str(folder)} | environment,
            stdout=output,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            message = json.loads(line).get("message", "") if line.startswith("{") else ""
            if message and not any(character.isdigit() for character in message):
                first, _ = phases.setdefault(message, (time.perf_counter() - began,) * 2)
                phases[message] = first, time.perf_counter() - began
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        document = json.loads(output.read())
    if process.returncode != 0:
        raise SystemExit(f"{step} ended with {process.returncode}: {document}")
    figures: dict[str, Any] = {
        "what": step if step == "data_prep" else f"{step}, {engine}",
        "seconds": time.perf_counter() - began,
        "peakMb": usage.ru_maxrss * 1024 / 1e6,
        "toldFromTo": phases,
    }
    if step == "train_model":
        names = {"features": len(document["features"]), "trainingRows": document["dataPoints"]}
        figures |= names | {"averagePrecision": document["averagePrecision"], "rounds": document["rounds"]}
    return figures


def _restarts(folder: Path) -> int:
    """Attempts to grow trees that lost a member, by the step's log."""
    log = next(folder.glob("artifacts/*/*/training_logs/train_model.log"))
    return log.read_text(encoding="utf-8").count("attempt ")


@contextmanager
def _cluster(folder: Path, workers: int, memory: str) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler and workers under nannies, on loopback; its address and the nannies."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    common = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    with ExitStack() as stack:

        def start(role: str, *arguments: str) -> psutil.Process:
            command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *common, *arguments]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return psutil.Process(process.pid)

        start("scheduler", "--port", "0")
        while not (file.exists() and file.stat().st_size):
            time.sleep(0.1)
        options = ("--nworkers", "1", "--nthreads", "1", "--memory-limit", memory, "--local-directory", str(folder))
        nannies = [start("worker", "--name", f"worker-{number}", *options) for number in range(workers)]
        address = json.loads(file.read_text())["address"]
        _wait_for(address, workers)
        yield address, nannies


def _wait_for(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=120)


@contextmanager
def _peaks(nannies: list[psutil.Process]) -> Iterator[list[float]]:
    """Peak resident megabytes of what each nanny has started, filled in when the block ends."""
    highest, over, found = [0.0] * len(nannies), threading.Event(), []

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            for number, nanny in enumerate(nannies):
                highest[number] = max(highest[number], _resident_below(nanny))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield found
    finally:
        over.set()
        looking.join()
        found.extend(highest)


def _resident_below(nanny: psutil.Process) -> float:
    total = 0
    try:
        for process in nanny.children(recursive=True):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # it has just ended
        pass
    return total / 1e6


def _config(readings: Path, engine: str) -> dict[str, Any]:
    return {
        "organizationId": "benchmark",
        "version": "v1",
        "schemaConfig": {
            "assetColumn": "asset", "timestampColumn": "timestamp", "targetColumn": "failed",
            "continuousColumns": [f"sensor_{number}" for number in range(SENSORS)],
            "rollingWindows": [10, 60],
        },
        "scadaDbConfig": {"driver": "sqlite", "database": str(readings), "table": TABLE},
        "dataConfig": {"samplingIntervalSeconds": INTERVAL, "predictionHorizonSeconds": _HORIZON},
        "featureConfig": {"families": {
            "lags": False, "rolling": {"statistics": ["mean", "std", "min", "max"]}, "differences": {"kinds": ["rate"]},
            "anomaly": False, "interactions": False, "domain": False,
        }},
        "trainingConfig": {"engine": engine, "lgbParams": {"numIterations": ROUNDS, "learningRate": 0.1}},
    }  # fmt: skip


def _write_history(file: Path, n_rows: int) -> None:
    """Readings of machines that drift upwards before each failure, with noise; in the order of time."""
    random = np.random.default_rng(0)
    drift = random.uniform(0, 3, SENSORS).astype(np.float32)
    names = ["asset", "timestamp", "failed", *(f"sensor_{number}" for number in range(SENSORS))]
    assets = [f"machine {asset:02}" for asset in range(ASSETS)]
    shift = 199 * np.arange(ASSETS)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE {TABLE} ({', '.join(names)})")
        insert = f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(names))})"
        for first in range(0, n_rows // ASSETS, _CHUNK):
            step = np.arange(first, min(first + _CHUNK, n_rows // ASSETS))
            age = ((step[:, None] + shift) % _FAILURE_EVERY).reshape(-1)
            wear = ((age / _FAILURE_EVERY) ** 8).astype(np.float32)
            noise = random.standard_normal((SENSORS, len(age)), dtype=np.float32) * 5 + 50
            readings = np.round(noise + drift[:, None] * wear, 3).tolist()
            time = np.repeat(_START + step * INTERVAL, ASSETS).tolist()
            failed = (age >= _FAILURE_EVERY - 10).astype(int).tolist()
            connection.executemany(insert, zip(assets * len(step), time, failed, *readings, strict=True))
        connection.execute(f"CREATE INDEX by_time ON {TABLE} (timestamp)")


if __name__ == "__main__":
    raise SystemExit(main())
