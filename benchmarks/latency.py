"""Microseconds that one prediction takes on one thread, in Node and in Python, by the graphs and by LightGBM itself.

    .venv/bin/python benchmarks/latency.py

Trains a model of 8 channels, 301 rows of look-back, 316 features and 200 trees on a simulated plant through the real
step, then times single rows one after another, never the same one twice in a row. Node.js and `make client` are needed.
Prints a table, which says where a target is missed, and writes benchmarks/results/latency.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from ml.config import OrganizationConfig  # noqa: E402 - found through the line above
from ml.evaluation.model_version import TrainedVersion, load_version  # noqa: E402
from ml.export.onnx_runtime import onnxruntime  # noqa: E402
from ml.export.session import open_model  # noqa: E402
from ml.ingest.inputs import kept_data  # noqa: E402
from ml.scripts import train_model  # noqa: E402
from ml.workspace.paths import for_config  # noqa: E402
from simulation.station import simulate  # noqa: E402
from simulation.wear import WearLaw  # noqa: E402

RESULTS = REPOSITORY / "benchmarks" / "results" / "latency.json"
LOOK_BACK, CHANNELS, FEATURES, TREES = 301, 8, 316, 200
ROWS, WARM_UP, CALLS = 2_000, 500, 10_000
INTERVAL = 300
COLUMNS = (
    "temperature", "pressure", "flow_rate", "vibration", "current", "voltage", "rpm", "total_volume",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """What one way of predicting takes, in microseconds; targets are None where there is none."""

    what: str
    p50: float
    p99: float
    target_p50: float | None = None
    target_p99: float | None = None

    @property
    def met(self) -> bool:
        """Whether the targets are met."""
        return self.p50 <= (self.target_p50 or np.inf) and self.p99 <= (self.target_p99 or np.inf)

    @property
    def verdict(self) -> str:
        """The targets in words, and whether they are met."""
        targets = (("p50", self.target_p50), ("p99", self.target_p99))
        limits = ", ".join(f"{name} <= {limit:.0f}" for name, limit in targets if limit is not None)
        return f"  {limits}: {'met' if self.met else 'missed'}" if limits else ""


@dataclass(frozen=True)
class Sample:
    """Rows to predict: windows (n, 301, 8) float64, their last instants, and their features (n, 316) float32."""

    windows: NDArray[np.float64]
    seconds: NDArray[np.int64]
    features: NDArray[np.float32]


def configuration(readings: Path) -> OrganizationConfig:
    """The organisation: windows and lags that reach 300 samples back, and one totaliser, which needs one more."""
    return OrganizationConfig.from_dict(
        {
            "organizationId": "benchmark",
            "schemaConfig": {
                "assetColumn": "asset_id",
                "continuousColumns": COLUMNS,
                "counterColumns": ["total_volume"],
                "rollingWindows": [5, 14, 39, 110, 300],
                "lagSeconds": [INTERVAL, 299 * INTERVAL],
            },
            "featureConfig": {"families": {"time": True}},
            "dataSource": {"path": str(readings)},
            "dataConfig": {"samplingIntervalSeconds": INTERVAL, "predictionHorizonSeconds": 43_200},
            "trainingConfig": {
                "lgbParams": {"numIterations": TREES, "numLeaves": 31, "learningRate": 0.05},
                "earlyStoppingRounds": 0,
            },
            "conversionConfig": {"parityRows": 2_000},
        }
    )


def trained_version(work: Path) -> tuple[TrainedVersion, Sample]:
    """Train through the real step in the workspace `work`, and draw rows of its history."""
    readings = work / "readings.parquet"
    law = WearLaw(mean_life_days=3.0)
    simulate(seed=5, n_assets=4, days=30, interval_seconds=INTERVAL, law=law).readings.to_parquet(readings)
    config = configuration(readings)
    train_model.run(config)
    version = load_version(config, for_config(config))
    shape = (version.engineer.look_back, len(version.engineer.channels), len(version.engineer.features))
    if (*shape, version.estimator.rounds) != (LOOK_BACK, CHANNELS, FEATURES, TREES):
        raise RuntimeError(f"the model is not of the size that is to be timed: {shape}, {version.estimator.rounds}")
    return version, _sample(config, version)


def _sample(config: OrganizationConfig, version: TrainedVersion) -> Sample:
    frame = kept_data(config, for_config(config)).data.frame
    values, segment = frame[list(COLUMNS)].to_numpy(np.float64), frame["segment"].to_numpy()
    chosen = np.sort(np.random.default_rng(7).choice(len(frame), ROWS, replace=False))
    windows = np.full((ROWS, LOOK_BACK, CHANNELS), np.nan)
    for window, row in zip(windows, chosen, strict=True):
        rows = np.arange(max(0, row - LOOK_BACK + 1), row + 1)
        rows = rows[segment[rows] == segment[row]]
        window[LOOK_BACK - len(rows) :] = values[rows]
    order = np.random.default_rng(8).permutation(ROWS)
    seconds = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)[chosen]
    wanted = np.isin(np.arange(len(frame)), chosen)
    features = np.ascontiguousarray(version.engineer.matrix(frame, rows=wanted))
    return Sample(windows[order], seconds[order], features[order])


def time_in_python(version: TrainedVersion, sample: Sample) -> list[Line]:
    """The two graphs, the booster, and scikit-learn's wrapper around one that was fitted alike."""
    window, model = (open_model(version.folder / name) for name in ("window.onnx", "model.onnx"))
    booster = lightgbm.Booster(model_file=version.folder / "model.txt")
    label = (booster.predict(sample.features, num_threads=1) >= version.metadata.threshold).astype(int)
    classifier = lightgbm.LGBMClassifier(n_estimators=TREES, num_leaves=31, n_jobs=1, verbosity=-1)
    classifier.fit(sample.features, label)

    def feeds(row: int) -> dict[str, NDArray[Any]]:
        return {"window": sample.windows[row : row + 1], "timestamp": sample.seconds[row : row + 1]}

    ways: list[tuple[str, Callable[[int], Any]]] = [
        ("window.onnx, Python", lambda row: window.run(None, feeds(row))),
        ("model.onnx, Python", lambda row: model.run(None, {"input": sample.features[row : row + 1]})),
        ("booster.predict", lambda row: booster.predict(sample.features[row : row + 1], num_threads=1)),
        ("LGBMClassifier.predict_proba", lambda row: classifier.predict_proba(sample.features[row : row + 1])),
    ]
    return [_line(what, _microseconds(predict)) for what, predict in ways]


def _microseconds(predict: Callable[[int], Any]) -> list[float]:
    taken = []
    for call in range(WARM_UP + CALLS):
        began = time.perf_counter_ns()
        predict(call % ROWS)
        taken.append((time.perf_counter_ns() - began) / 1000)
    return taken[WARM_UP:]


def time_in_node(version: TrainedVersion, sample: Sample, work: Path) -> tuple[list[Line], dict[str, str]]:
    """The two graphs in Node.js, and which versions it ran."""
    folder = work / "node"
    folder.mkdir()
    for name in ("window.onnx", "model.onnx"):
        shutil.copyfile(version.folder / name, folder / name)
    shape = {"rows": ROWS, "lookBack": LOOK_BACK, "channels": CHANNELS, "features": FEATURES}
    (folder / "shape.json").write_text(json.dumps(shape | {"warmUp": WARM_UP, "calls": CALLS}))
    sample.windows.tofile(folder / "windows.f64")
    sample.seconds.tofile(folder / "seconds.i64")
    sample.features.tofile(folder / "rows.f32")
    command = ["node", str(REPOSITORY / "benchmarks" / "node_latency.mjs"), str(folder)]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    lines = [
        _line("window.onnx, Node", report.pop("window"), target_p50=120, target_p99=400),
        _line("model.onnx, Node", report.pop("model"), target_p50=30),
    ]
    return lines, report


def _line(what: str, microseconds: list[float], **targets: float) -> Line:
    p50, p99 = (round(float(value), 1) for value in np.percentile(microseconds, (50, 99)))
    return Line(what, p50, p99, **targets)


def main() -> int:
    """Measure, print, keep; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ML_BASE_PATH"] = folder
        version, sample = trained_version(Path(folder))
        lines, machine = time_in_node(version, sample, Path(folder))
        lines += time_in_python(version, sample)
    print(f"{'one row, one thread, µs':32}{'p50':>8}{'p99':>8}  target")
    for line in lines:
        print(f"{line.what:32}{line.p50:8.1f}{line.p99:8.1f}{line.verdict}")
    complete = float(np.isfinite(sample.windows).all(axis=(1, 2)).mean())
    content = {
        "machine": machine | {"onnxruntime": onnxruntime.__version__, "lightgbm": lightgbm.__version__},
        "shape": {"lookBack": LOOK_BACK, "channels": CHANNELS, "features": FEATURES, "trees": TREES},
        "calls": CALLS,
        "rows": ROWS,
        "shareOfCompleteWindows": round(complete, 3),
        "microseconds": [asdict(line) for line in lines],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
