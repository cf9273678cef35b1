"""What the Node client must reproduce, computed by Python: written as JSON beside the models that it is about.

Probabilities are written as the bits of their float32, missing values as null; JSON keeps every float64 exactly.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.config import OrganizationConfig
from ml.evaluation.drift.baseline import learn_baseline, stability_index
from ml.evaluation.model_version import TrainedVersion, load_version
from ml.export.times.curve import quantiles
from ml.export.times.exact import ExportedTimes
from ml.grid.regular import to_grid
from ml.ingest.failures.since import times_since
from ml.learning.times.measured import stored_times
from ml.options.schema import SchemaConfig
from ml.predict.alert_tracker import AlertTracker
from ml.predict.alerts import Reason, ScoredRow, TimeToFailure
from ml.workspace.paths import OrganizationPaths
from simulation.database import TABLE
from tests.pipeline.backend import Json
from tests.pipeline.small_plant import BOOLEANS, CONTINUOUS, ORGANIZATION, PipelineRun

WINDOWS = 200  # per version, spread over the whole history


def write_golden_vectors(run: PipelineRun, versions: tuple[str, ...], folder: Path) -> None:
    """Write ``golden.json`` for the versions of a run, and cases of grids, events, drift and alerts."""
    _write(folder / "golden.json", _predictions(run, versions))
    _write(folder / "grid.json", [grid_case(seed, how) for seed in range(4) for how in ("last", "mean")])
    _write(folder / "events.json", [event_case(seed) for seed in range(4)])
    _write(folder / "drift.json", [drift_case(seed) for seed in range(3)])
    _write(folder / "alerts.json", [alert_case(seed) for seed in range(4)])


def _predictions(run: PipelineRun, versions: tuple[str, ...]) -> Json:
    return {
        "organizationId": ORGANIZATION,
        "channels": [*CONTINUOUS, *BOOLEANS],
        "readings": list(_readings(Path(run.config["scadaDbConfig"]["database"]))),
        "versions": {version: _of_version(run, version) for version in versions},
    }


def _readings(database: Path) -> Iterator[list[Any]]:
    """Asset, milliseconds and channels of every row of the table, in its order."""
    columns = ", ".join(["asset_id", "created_timestamp", *CONTINUOUS, *BOOLEANS])
    with closing(sqlite3.connect(database)) as connection:
        for asset, time, *values in connection.execute(f"SELECT {columns} FROM {TABLE}"):
            yield [asset, pd.Timestamp(time).value / 1e6, *values]


def write_mode_vectors(run: PipelineRun, folder: Path) -> None:
    """Write ``modes.json``: windows of alarm rows, the likeliest mode of each, and the bits of its probability."""
    config = OrganizationConfig.from_dict(run.config)
    trained = load_version(config, OrganizationPaths(config.organization_id, root=run.root))
    assert trained.modes is not None
    assert trained.metadata.modes is not None
    frame = pd.read_parquet(run.root / "artifacts" / config.organization_id / "v1" / "prepared_data.parquet")
    features = trained.engineer.matrix(frame)
    alarms = np.flatnonzero(trained.predict(features).astype(np.float32) >= np.float32(trained.metadata.threshold))
    given = trained.modes.predict(trained.engineer.scaling.apply(features[alarms]))
    best = given.argmax(axis=1)
    _write(
        folder / "modes.json",
        {
            "organizationId": config.organization_id,
            "seconds": frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)[alarms].tolist(),
            "windows": [_window(frame, trained, int(row)) for row in alarms],
            "components": [trained.metadata.modes.names[mode] for mode in best],
            "bits": _bits(given[np.arange(len(best)), best]),
        },
    )


def _of_version(run: PipelineRun, version: str) -> Json:
    """The trained model's own probabilities for every grid row, and some of the windows that lead to them."""
    config = OrganizationConfig.from_dict(run.config | {"version": version})
    trained = load_version(config, OrganizationPaths(ORGANIZATION, root=run.root))
    frame = pd.read_parquet(run.root / "artifacts" / ORGANIZATION / version / "prepared_data.parquet")
    probability = trained.predict(trained.engineer.matrix(frame)).astype(np.float32)
    seconds = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
    chosen = np.unique(np.linspace(0, len(frame) - 1, WINDOWS).astype(np.int64))
    times = stored_times(trained.folder, trained.metadata.time_to_failure, trained.engineer)
    return {
        "assets": frame["asset_id"].tolist(),
        "seconds": seconds.tolist(),
        "bits": _bits(probability),
        "labels": (probability >= np.float32(trained.metadata.threshold)).astype(int).tolist(),
        "windows": [{"row": int(row), "values": _window(frame, trained, int(row))} for row in chosen],
        "times": None if times is None else _times(times, trained, frame, chosen),
    }


def _times(times: ExportedTimes, trained: TrainedVersion, frame: pd.DataFrame, rows: NDArray[np.int64]) -> list[int]:
    """Bits of p10, p50 and p90 of some rows, one after the other."""
    wanted = np.zeros(len(frame), dtype=np.bool_)
    wanted[rows] = True
    features = trained.engineer.scaling.apply(trained.engineer.matrix(frame, rows=wanted, order="C"))
    found = quantiles(times.model.at(features, times.asked), times.horizons)
    return _bits(found.astype(np.float32).ravel())


def _window(frame: pd.DataFrame, trained: TrainedVersion, row: int) -> list[float | None]:
    """The window that ends at a row of the grid, flat; missing before the segment's start."""
    look_back, channels = trained.engineer.look_back, list(trained.engineer.channels)
    window = np.full((look_back, len(channels)), np.nan)
    rows = np.arange(max(0, row - look_back + 1), row + 1)
    rows = rows[(frame["segment"].to_numpy()[rows] == frame["segment"].to_numpy()[row])]
    window[look_back - len(rows) :] = frame[channels].to_numpy(np.float64)[rows]
    return _plain(window.ravel())


def grid_case(seed: int, aggregation: str) -> Json:
    """Readings of one asset as no plant should send them, and the grid that training makes of them.

    Irregular times to the microsecond, some on grid instants, pauses shorter and longer than the gap, instants that
    come twice, NaN, infinities, values beyond float32, and booleans that are neither.
    """
    rng = np.random.default_rng(seed)
    interval, max_gap, count = 60, 180, 300
    pauses = rng.choice([1.5, 20.0, 59.999999, 60.0, 61.0, 150.0, 179.999999, 180.0, 180.000001, 1000.0], count)
    time = 1_700_000_000_000_000 + np.cumsum(np.round(pauses * 1e6)).astype(np.int64)
    on_grid = rng.random(count) < 0.3
    time[on_grid] -= time[on_grid] % (interval * 1_000_000)
    time = np.sort(time)
    time[rng.random(count) < 0.05] = time[0]
    values = {
        "speed": rng.choice([np.nan, np.inf, 1e39, 0.1, -0.0, 1 / 3, 1e6 + 0.0625], count),
        "total": 2.5e8 + np.cumsum(rng.choice([0.0, 3.0, np.nan], count)),
        "running": rng.choice([0.0, 1.0, np.nan], count),
    }
    schema = SchemaConfig(
        continuous_columns=("speed", "total"), boolean_columns=("running",), counter_columns=("total",)
    )
    stamps = pd.to_datetime(time, unit="us", utc=True).as_unit("us")
    frame = pd.DataFrame({"asset_id": "a", "timestamp": stamps, **values})
    grid = to_grid(frame, schema=schema, interval=interval, max_gap=max_gap, aggregation=aggregation)
    return {
        "samplingIntervalSeconds": interval,
        "aggregation": aggregation,
        "maxGapSeconds": max_gap,
        "microseconds": time.tolist(),
        "values": {name: [None if np.isnan(x) else str(x) for x in column] for name, column in values.items()},
        "seconds": grid["timestamp"].to_numpy("datetime64[s]").astype(np.int64).tolist(),
        "segments": grid["segment"].tolist(),
        "rows": [_plain(row) for row in grid[list(values)].to_numpy(np.float64)],
    }


def event_case(seed: int) -> Json:
    """Failures and maintenance of one asset, on grid instants and beside them, and the times since them."""
    rng = np.random.default_rng(seed)
    interval, rows, names = 600, 200, ("failure:pump", "failure:fan", "maintenance:oil", "maintenance:pump")
    seconds = 1_700_000_400 + interval * np.arange(rows)
    time = seconds[0] * 1_000_000 + rng.integers(-50, rows, 40) * interval * 1_000_000
    time += rng.choice([0, 0, 1, 299_999_999], 40)
    time[0] -= 4000 * 86_400 * 1_000_000
    events = pd.DataFrame({"event": rng.choice(names, 40), "timestamp": pd.to_datetime(time, unit="us", utc=True)})
    inputs = {
        "since_failure": ("failure",),
        "since_oil": ("maintenance:oil",),
        "life_pump": ("maintenance:pump", "failure:pump"),
        "never": ("maintenance:paint",),
    }
    frame = pd.DataFrame({"asset_id": "asset", "timestamp": pd.to_datetime(seconds, unit="s", utc=True)})
    found = pd.DataFrame(times_since(inputs, events, interval).columns(frame))
    return {
        "samplingIntervalSeconds": interval,
        "inputs": inputs,
        "events": list(zip(events["event"], time.tolist(), strict=True)),
        "seconds": seconds.tolist(),
        "rows": [_plain(row) for row in found.to_numpy(np.float64)],
    }


def drift_case(seed: int) -> Json:
    """A baseline, new values, and their index."""
    rng = np.random.default_rng(seed)
    training, new = rng.normal(size=500).round(1).astype(np.float32), rng.normal(seed / 2, size=80).astype(np.float32)
    new[:seed] = np.nan
    baseline = learn_baseline(training)
    return {
        "baseline": {"edges": baseline.edges, "counts": baseline.counts, "missing": baseline.missing},
        "values": _plain(new),
        "index": stability_index(baseline, new),
    }


def alert_case(seed: int) -> Json:
    """Rows of three assets with pauses, repetitions and changing components, and what happens to their alerts.

    A state in the middle, to go on from, and the one at the end.
    """
    rng = np.random.default_rng(seed)
    components = [[None], ["heater", "fan"]][seed % 2]
    tracker = AlertTracker(cooldown_seconds=180)
    seconds = dict.fromkeys(["a", "b", "__proto__"], 1_700_000_040)
    rows: list[Json] = []
    middle: Json = {}
    for number in range(200):
        if number == 100:
            middle = tracker.to_json()
        asset = str(rng.choice(list(seconds)))
        seconds[asset] += int(rng.choice([0, 60, 120, 180, 240, 3600], p=[0.05, 0.6, 0.1, 0.1, 0.1, 0.05]))
        component = components[int(rng.integers(len(components)))]
        row = ScoredRow(
            asset,
            pd.Timestamp(seconds[asset], unit="s", tz="UTC"),
            bool(rng.random() < 0.6),
            float(np.float32(rng.choice([0.3, 0.55, 0.8, 0.95]))),
            component,
            None if component is None else float(np.float32(rng.random())),
            (Reason("heat", 1.5), Reason("oil", float(np.float32(rng.random())))),
            f"v{number // 150}",
            None if seed < 2 else TimeToFailure(number + 0.5, 2.5 * number, float("inf")),
            "score" if seed == 2 else "probability",
        )
        reasons = [{"sensor": each.sensor, "contribution": each.contribution} for each in row.reasons]
        rows.append(
            {
                "asset": asset,
                "seconds": seconds[asset],
                "alarm": row.alarm,
                "probability": None if seed == 2 else row.probability,
                "score": row.probability,
                "component": component,
                "componentProbability": row.component_probability,
                "reasons": reasons,
                "modelVersion": row.model_version,
                "timeToFailure": row.time_to_failure and vars(row.time_to_failure) | {"p90": None},
                "events": [event.to_json() for event in tracker.take([row])],
            }
        )
    end = max(seconds.values()) + 60
    last = tracker.to_json()
    events = [event.to_json() for event in tracker.advance(pd.Timestamp(end, unit="s", tz="UTC"))]
    return {"rows": rows, "middle": middle, "last": last, "advanceTo": end, "ended": events}


def _plain(values: NDArray[Any]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _bits(values: NDArray[np.float32]) -> list[int]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).tolist()


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
