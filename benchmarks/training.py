"""`train_model.py` on a long history, beside LightGBM alone on the same matrix already in memory.

    python -m benchmarks.training [--rows 1800000] [--runs 3]

The history has 47 sensor columns, of which 470 features are made. The peer is handed the finished training matrix and
does what cannot be avoided: bin it and fit the same number of rounds with the same parameters. `train_model.py` reads
the prepared data, computes the features, bins and fits, scores the validation and the test part, and writes the version
with its exact ONNX models. Wall time and peak memory are those of whole processes; the peer's time leaves out making
its matrix.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.processes import run
from benchmarks.results import keep, median, table

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 47
ROUNDS = 100
ASSETS = 20
INTERVAL = 60
_FAILURE_EVERY = 4_000  # samples; a failure lasts 10 of them
_HORIZON = 120 * INTERVAL


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table and keep the figures."""
    parser = argparse.ArgumentParser(description="Training on a long history.")
    parser.add_argument("--rows", type=int, default=1_800_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", help=argparse.SUPPRESS)  # this program as the peer's process
    arguments = parser.parse_args(argv)
    if arguments.peer:
        return _peer(Path(arguments.peer))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        config = _prepare(folder, arguments.rows)
        ours, bare = [], []
        for _ in range(arguments.runs):
            ours.append(run([sys.executable, "scripts/train_model.py", str(config)], folder=ROOT / "ml",
                            environment={"ML_BASE_PATH": str(folder)}))  # fmt: skip
            peer = run([sys.executable, "-m", "benchmarks.training", "--peer", str(folder)], folder=ROOT,
                       environment={"ML_BASE_PATH": str(folder)})  # fmt: skip
            bare.append(json.loads(peer.output))
        trained = json.loads(ours[0].output)
    rows = [
        {"what": "train_model.py", "seconds": median([each.seconds for each in ours]),
         "peakMb": max(each.peak_mb for each in ours)},
        {"what": "lightgbm.train alone", "seconds": median([each["seconds"] for each in bare]),
         "peakMb": max(each["peakMb"] for each in bare)},
    ]  # fmt: skip
    ratio = rows[0]["seconds"] / rows[1]["seconds"]
    figures = {
        "rows": arguments.rows, "columns": COLUMNS, "features": len(trained["features"]), "rounds": trained["rounds"],
        "trainingRows": trained["dataPoints"], "runs": arguments.runs, "results": rows, "wallRatio": ratio,
    }  # fmt: skip
    keep("training", figures)
    sys.stdout.write(table(rows) + f"\nwall time: {ratio:.2f} of LightGBM alone\n")
    return 0


def _prepare(folder: Path, n_rows: int) -> Path:
    """A configuration in `folder`, and its data prepared by data_prep.py."""
    readings = folder / "readings.parquet"
    _history(n_rows).to_parquet(readings)
    config = folder / "config.json"
    config.write_text(json.dumps(_config(readings)))
    run([sys.executable, "scripts/data_prep.py", str(config)], folder=ROOT / "ml",
        environment={"ML_BASE_PATH": str(folder)})  # fmt: skip
    return config


def _config(readings: Path) -> dict[str, Any]:
    columns = [f"sensor_{number}" for number in range(COLUMNS)]
    return {
        "organizationId": "benchmark",
        "schemaConfig": {
            "assetColumn": "asset", "timestampColumn": "timestamp", "targetColumn": "failed",
            "continuousColumns": columns, "lagSeconds": [INTERVAL, 10 * INTERVAL], "rollingWindows": [10, 60],
        },
        "dataSource": {"path": str(readings)},
        "dataConfig": {"samplingIntervalSeconds": INTERVAL, "predictionHorizonSeconds": _HORIZON},
        "featureConfig": {"families": {
            "rolling": {"statistics": ["mean", "std", "max"]}, "differences": {"kinds": ["rate"]},
            "anomaly": False, "interactions": False,
        }},
        "trainingConfig": {"earlyStoppingRounds": 0, "lgbParams": {"numIterations": ROUNDS}},
    }  # fmt: skip


def _history(n_rows: int) -> pd.DataFrame:
    """Readings of machines that drift upwards before each failure, with noise; on the grid already."""
    random = np.random.default_rng(0)
    per_asset = n_rows // ASSETS
    age = np.arange(per_asset) % _FAILURE_EVERY
    wear = np.tile((age / _FAILURE_EVERY) ** 8, ASSETS).astype(np.float32)
    columns = {
        "asset": np.repeat([f"machine {number:02}" for number in range(ASSETS)], per_asset),
        "timestamp": np.tile(
            pd.date_range("2024-01-01", periods=per_asset, freq=f"{INTERVAL}s", tz="UTC"), ASSETS
        ),
        "failed": np.tile((age >= _FAILURE_EVERY - 10).astype(np.int8), ASSETS),
    }  # fmt: skip
    for number in range(COLUMNS):
        noise = random.normal(50, 5, n_rows).astype(np.float32)
        columns[f"sensor_{number}"] = noise + wear * np.float32(random.uniform(0, 8))
    return pd.DataFrame(columns)


def _peer(folder: Path) -> int:
    """Fit on the matrix of the training part; times the binning and the fit alone."""
    import resource

    import lightgbm as lgb

    from ml.config import OrganizationConfig
    from ml.features import FeatureEngineer
    from ml.ingest.prepared.data import read_prepared
    from ml.learning.estimators.lightgbm import LightGBM
    from ml.learning.training import split_of

    config = OrganizationConfig.load_from_file(folder / "config.json")
    prepared = read_prepared(
        folder / "artifacts/benchmark" / config.version / "prepared_data.parquet", organization_id="benchmark"
    )
    engineer = FeatureEngineer(config, prepared.interval)
    rows = split_of(config, prepared.frame, engineer).train
    label = prepared.frame["label"].to_numpy()[rows].astype(np.float32)
    engineer.fit(prepared.frame, rows=rows)
    matrix = np.ascontiguousarray(engineer.matrix(prepared.frame, rows=rows))
    parameters = LightGBM(config.training_config).lightgbm_parameters(label, matrix.shape[1])
    began = time.perf_counter()
    lgb.train(parameters, lgb.Dataset(matrix, label), num_boost_round=ROUNDS)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    sys.stdout.write(json.dumps({"seconds": seconds, "peakMb": peak}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
