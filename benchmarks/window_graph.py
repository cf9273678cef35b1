"""Latency of one row through the exported graphs, on one thread, beside LightGBM's own prediction.

    .venv/bin/python benchmarks/window_graph.py

Prints p50 and p99 in microseconds per configuration, and writes them to benchmarks/results/window_graph.json. No row is
measured twice: the processor would learn the branches of a repeated one, and a median then looks four times as fast.
The load of the machine is written down beside them; where others compute, p99 is the time that they were given.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ml.config import OrganizationConfig
from ml.export.builder import DOUBLE, GraphBuilder, value_info
from ml.export.graph.model import INPUT, build_model
from ml.export.onnx_runtime import onnxruntime
from ml.export.session import open_model
from ml.export.trees.ensemble import from_lightgbm
from ml.export.window.graph import build_window_model
from ml.export.window.parity import window_batch
from ml.export.window.readings import TIMESTAMP, WINDOW
from ml.export.window.tensors import Tensor
from ml.features import FeatureEngineer

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results" / "window_graph.json"
MEASURED_ROWS, WARM_UP_ROWS, TURN = 3_000, 300, 50
TREES, LEAVES = 200, 31
MISSING_SHARE = 0.03
SEED = 7


@dataclass(frozen=True)
class Case:
    """A configuration, on a grid of `interval` seconds."""

    name: str
    config: OrganizationConfig
    interval: int


def cases() -> list[Case]:
    """Eight sensors with a window of 301 samples, the same with 1000, and the example organisation."""
    example = OrganizationConfig.load_from_file(PROJECT / "ml" / "config" / "manufacturing_org.json")
    return [
        Case("8 sensors, W = 301", _sensors([5, 14, 39, 108, 300], lag=300), 60),
        Case("8 sensors, W = 1000", _sensors([10, 32, 100, 316, 1000], lag=300), 60),
        Case("manufacturing_org.json", example, 900),
    ]


def _sensors(windows: list[int], *, lag: int) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {
                "continuousColumns": [f"sensor_{number}" for number in range(8)],
                "lagSeconds": [60, 60 * lag],
                "rollingWindows": windows,
            },
            "dataConfig": {"samplingIntervalSeconds": 60},
            "featureConfig": {"families": {"time": True}},
        }
    )


def measure(case: Case) -> dict[str, Any]:
    """p50 and p99 in microseconds of every way to score a row, with the size of the case."""
    random = np.random.default_rng(SEED)
    engineer = FeatureEngineer(case.config, case.interval)
    frame = _readings(case, engineer.look_back + 2 * MEASURED_ROWS, random)
    features = np.ascontiguousarray(engineer.fit(frame).matrix(frame))
    booster = _train(features, random)
    ensemble = from_lightgbm(booster)
    model = open_model(
        build_model(ensemble, n_features=len(engineer.features), scaling=None, threshold=0.5, metadata={})
    )
    window_model = open_model(build_window_model(engineer, ensemble, threshold=0.5, metadata={}))
    empty = open_model(_empty_graph(engineer))
    rows = len(frame) - MEASURED_ROWS + np.arange(MEASURED_ROWS)
    windows, seconds = window_batch(frame, engineer, rows)
    gaps = windows.copy()
    gaps[random.random(gaps.shape) < MISSING_SHARE] = np.nan
    inputs = features[rows]
    ways: dict[str, Callable[[slice], object]] = {
        "window.onnx, complete": lambda at: window_model.run(None, {WINDOW: windows[at], TIMESTAMP: seconds[at]}),
        "window.onnx, 3 % missing": lambda at: window_model.run(None, {WINDOW: gaps[at], TIMESTAMP: seconds[at]}),
        "model.onnx": lambda at: model.run(None, {INPUT: inputs[at]}),
        "booster.predict": lambda at: booster.predict(inputs[at], num_threads=1),
        "empty graph": lambda at: empty.run(None, {WINDOW: windows[at]}),
    }
    return {
        "features": len(engineer.features),
        "look_back": engineer.look_back,
        "channels": len(engineer.channels),
        "trees": TREES,
        "microseconds": _latencies(ways),
    }


def _latencies(ways: dict[str, Callable[[slice], object]]) -> dict[str, dict[str, float]]:
    """Percentiles per way; they take turns, so that a busy moment of the machine slows all of them."""
    taken: dict[str, list[int]] = {name: [] for name in ways}
    for turn in range(0, MEASURED_ROWS, TURN):
        for name, score in ways.items():
            for row in range(turn, turn + TURN):
                begin = time.perf_counter_ns()
                score(slice(row, row + 1))
                taken[name].append(time.perf_counter_ns() - begin)
    return {
        name: {f"p{share}": round(float(np.percentile(times[WARM_UP_ROWS:], share)) / 1000, 1) for share in (50, 99)}
        for name, times in taken.items()
    }


def _readings(case: Case, rows: int, random: np.random.Generator) -> pd.DataFrame:
    """A complete grid frame: noise on a slow drift, switches, and totals that rise."""
    schema = case.config.schema_config
    frame = pd.DataFrame({"segment": np.zeros(rows, dtype=np.int64)})
    times = pd.date_range("2024-01-01", periods=rows, freq=f"{case.interval}s", tz="UTC")
    frame["timestamp"] = times.astype("datetime64[us, UTC]")
    for name in schema.continuous_columns:
        drift = np.cumsum(random.normal(0, 0.3, rows))
        frame[name] = np.round(random.normal(20, 5, rows) + drift, 1).astype(np.float32)
    for name in schema.boolean_columns:
        frame[name] = (np.cumsum(random.random(rows) < 0.02) % 2).astype(np.float32)
    for name in schema.counter_columns:
        frame[name] = 2.5e8 + np.cumsum(random.integers(0, 5, rows)).astype(np.float64)
    return frame


def _train(features: NDArray[np.float32], random: np.random.Generator) -> lightgbm.Booster:
    """Trees of full size that use most features: the label is the sign of a random mixture of them, with noise."""
    standard = np.nan_to_num((features - np.nanmean(features, axis=0)) / (np.nanstd(features, axis=0) + 1e-9))
    score = standard @ random.normal(size=features.shape[1]) + random.normal(0, 10, len(features))
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "num_threads": 1,
        "seed": SEED,
        "deterministic": True,
        "verbosity": -1,
    }
    return lightgbm.train(parameters, lightgbm.Dataset(features, score > np.median(score)), TREES)


def _empty_graph(engineer: FeatureEngineer) -> bytes:
    """The same window in, one number per row out: what a call costs whatever the graph."""
    graph = GraphBuilder()
    newest = Tensor(graph, WINDOW).take(np.array(engineer.look_back - 1), axis=1)
    shape: list[str | int] = ["N", engineer.look_back, len(engineer.channels)]
    result = value_info(newest.name, DOUBLE, ["N", len(engineer.channels)])
    return graph.to_bytes("empty", [value_info(WINDOW, DOUBLE, shape)], [result], {})


def main() -> int:
    """Measure every case, print the table, write the results."""
    results: dict[str, Any] = {
        "onnxruntime": onnxruntime.__version__,
        "lightgbm": lightgbm.__version__,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "processors": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 1),
        "measured_rows": MEASURED_ROWS - WARM_UP_ROWS,
        "cases": {},
    }
    for case in cases():
        measured = measure(case)
        results["cases"][case.name] = measured
        size = f"{measured['features']} features, {measured['channels']} channels, W = {measured['look_back']}"
        sys.stdout.write(f"{case.name}: {size}, {measured['trees']} trees; microseconds\n")
        for name, times in measured["microseconds"].items():
            sys.stdout.write(f"  {name:32s} p50 {times['p50']:8.1f}   p99 {times['p99']:8.1f}\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
