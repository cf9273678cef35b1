"""Score five million raw readings with `python -m ml.predict`: seconds, rows per second, and the process's peak memory.

    .venv/bin/python benchmarks/batch_scoring.py [--rows ROWS]

Trains a model of 300 features and 200 trees on a small simulated plant, writes readings of forty pumps by time, in
turns, as a historian exports them, and scores them in a process of its own. Prints one line, and writes
benchmarks/results/batch_scoring.json for the full number of rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from ml.config import OrganizationConfig  # noqa: E402 - found through the line above
from ml.scripts import train_model  # noqa: E402
from ml.workspace.paths import for_config  # noqa: E402
from ml.workspace.versions.store import publish  # noqa: E402
from simulation.station import simulate  # noqa: E402
from simulation.wear import WearLaw  # noqa: E402
from tests.pipeline.small_plant import INTERVAL_SECONDS, plant_config  # noqa: E402

RESULTS = REPOSITORY / "benchmarks" / "results" / "batch_scoring.json"
ROWS = 5_000_000
_PUMPS = 40
_INSTANTS_AT_ONCE = 5_000
_TREES = 200
_PEAK = "import resource, sys; from ml.predict.__main__ import main; status = main(sys.argv[1:]); "
_PEAK += "sys.stderr.write(f'\\n{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}'); sys.exit(status)"

Json = dict[str, Any]


def published_model(work: Path) -> tuple[Path, Json]:
    """Train and publish; the configuration's file, and what the model is like."""
    readings = work / "training.parquet"
    station = simulate(
        seed=5, n_assets=4, days=24, interval_seconds=INTERVAL_SECONDS, law=WearLaw(mean_life_days=3.0)
    ).readings
    station.to_parquet(readings)
    content = plant_config(
        Path("unused"),
        schemaConfig={"rollingWindows": [4, 12, 48, 96]},
        trainingConfig={
            "lgbParams": {"numIterations": _TREES, "numLeaves": 31, "minDataInLeaf": 5},
            "earlyStoppingRounds": 0,
            "threads": None,
        },
    )
    del content["scadaDbConfig"]
    config = OrganizationConfig.from_dict(content | {"dataSource": {"path": str(readings)}})
    trained = train_model.run(config)
    publish(for_config(config), config.version)
    config.save_to_file(work / "config.json")
    metadata = json.loads((trained.model_path.resolve().parent / "metadata.json").read_text())
    return work / "config.json", {
        "features": len(metadata["features"]),
        "trees": metadata["training"]["rounds"],
        "lookBack": metadata["window"]["lookBack"],
        "channels": len(metadata["window"]["channels"]),
    }


def write_readings(file: Path, rows: int) -> None:
    """Readings of forty pumps every half hour, all pumps of one instant after the other."""
    random = np.random.default_rng(0)
    names = [f"PUMP-{number:02d}" for number in range(_PUMPS)]
    sensors = ["temperature", "pressure", "flow_rate", "vibration", "current", "load_setpoint"]
    start, writer = pd.Timestamp("2000-01-01", tz="UTC"), None
    for first in range(0, rows // _PUMPS, _INSTANTS_AT_ONCE):
        instants = min(_INSTANTS_AT_ONCE, rows // _PUMPS - first)
        times = start + pd.to_timedelta((first + np.arange(instants)) * INTERVAL_SECONDS, unit="s")
        table = pd.DataFrame(random.normal(50, 10, (instants * _PUMPS, len(sensors))).round(1), columns=sensors)
        table = table.mask(random.random(table.shape) < 0.02)
        table["total_volume"] = 2.5e8 + 3.0 * np.repeat(first + np.arange(instants), _PUMPS)
        table["pump_status"], table["alarm_active"] = 1, random.integers(0, 2, len(table))
        table["asset_id"], table["timestamp"] = names * instants, times.repeat(_PUMPS)
        batch = pa.Table.from_pandas(table, preserve_index=False)
        writer = writer or pq.ParquetWriter(file, batch.schema)
        writer.write_table(batch)
    if writer is not None:
        writer.close()


def score(config: Path, readings: Path, out: Path) -> Json:
    """Run the command; what it printed, its seconds and its peak of resident memory."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(config), str(readings), str(out)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"ml.predict failed: {done.stdout}{done.stderr}")
    result = json.loads(done.stdout)
    return {
        "readings": result["readings"]["read"],
        "rows": result["rows"],
        "seconds": round(seconds, 1),
        "rowsPerSecond": round(result["rows"] / seconds),
        "peakMegabytes": round(int(done.stderr.rpartition("\n")[2]) / 1024),
        "inputMegabytes": round(readings.stat().st_size / 1e6),
        "cpus": os.cpu_count(),
    }


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the result; returns the exit status."""
    parser = argparse.ArgumentParser(prog="batch_scoring.py", description="Score a large file of readings.")
    parser.add_argument("--rows", type=int, default=ROWS, help="readings; results of another number are not kept")
    rows = parser.parse_args(argv).rows
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["ML_BASE_PATH"] = str(work / "workspace")
        config, model = published_model(work)
        write_readings(work / "readings.parquet", rows)
        result = model | score(config, work / "readings.parquet", work / "scores.parquet")
    sys.stdout.write(" · ".join(f"{key} {value:,}" for key, value in result.items()) + "\n")
    if rows == ROWS:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
