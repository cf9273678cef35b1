"""Models of normal behaviour where failures are known to the benchmark only, with simpler detectors on the same rows.

    OMP_NUM_THREADS=1 EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/normal_behaviour.py [PART ...]

The parts are, all of them by default:

station
    The simulated station, two seeds. The model is trained on the time before the last 54 failures, once without the
    rows that a failure follows (clean), once with all rows and nothing known (unchecked), and judged on the time after.
turbofans
    FD001 and FD002: trained on the first half of the lives of 60 engines, judged on the whole lives of the others.
valve
    SKAB valve1: trained on the first 400 samples of each run, judged on all samples after these.

Beside it, with limits for the same rate on the rows that they were fitted on: the largest deviation of one sensor
(plain limits), principal components (T2 and Q), and an isolation forest, all on means over the same time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.results import keep, table
from ml.arrays import Bools, Float64s
from ml.config import OrganizationConfig
from ml.ingest.prepare import prepare
from ml.learning.events.alarm_curve import alarm_curve
from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds, onsets
from ml.learning.events.metrics import event_metrics
from ml.learning.normal.expectation import trimmed_moments
from ml.learning.normal.history import History
from ml.learning.normal.limits import limit_for
from ml.learning.training import train
from simulation.station import SENSORS, simulate
from tests.pipeline.public_data import VALVE_SENSORS

Row = dict[str, Any]
JUDGED_FAILURES = 54
SEEDS = (7, 2025)
HORIZON, INTERVAL = 172_800, 900


@dataclass(frozen=True)
class Task:
    """A frame whose labels are the truth, what a model is trained with, and the rows that it is judged on."""

    name: str
    config: OrganizationConfig
    frame: pd.DataFrame
    history: pd.DataFrame
    """What training is given: rows of the frame, with what is known of failures then."""
    judged: Bools
    interval: int


def detectors(task: Task) -> Iterator[tuple[str, Float64s, float]]:
    """Name, value of every row of the frame, and limit of each detector."""
    model = train(task.config, task.history, task.interval)
    every = np.ones(len(task.frame), dtype=np.bool_)
    yield "normal behaviour", model.predict(task.frame, every), 0.5
    samples, _ = task.config.training_config.normal_behaviour.samples(
        task.config.data_config.prediction_horizon_seconds, task.interval
    )
    past, present = History.of(task.config, task.history), History.of(task.config, task.frame)
    of_history, of_frame = (_means(each, samples[-1] + 1, task.config) for each in (past, present))
    known = past.healthy & ~np.isnan(of_history).any(axis=1)
    rate = task.config.training_config.normal_behaviour.rate(task.config.data_config.prediction_horizon_seconds)
    for name, fit in (("plain limits", _largest), ("T2 and Q", _components), ("isolation forest", _forest)):
        score = fit(of_history[known])
        limit = limit_for(_filled(score, of_history), past.healthy, _curve(task), rate)
        yield name, _filled(score, of_frame), limit


def _means(history: History, window: int, config: OrganizationConfig) -> Float64s:
    """Means of the channels over the window, of samples while the machine runs."""
    running = config.schema_config.running
    names = [name for name in history.channels if running is None or name != running.column]
    values = pd.DataFrame(history.values, columns=list(history.channels))
    if running is not None:
        values[values[running.column].to_numpy() != running.equals] = np.nan
    rolled = values[names].groupby(history.start, sort=False).rolling(window, min_periods=max(1, window // 4)).mean()
    return np.asarray(rolled.to_numpy(), dtype=np.float64)


def _filled(score: Callable[[Float64s], Float64s], means: Float64s) -> Float64s:
    """The score where every mean is known, else the lowest."""
    known = ~np.isnan(means).any(axis=1)
    value = np.zeros(len(means))
    value[known] = score(means[known])
    return np.maximum(value, 1e-12)


def _curve(task: Task) -> Callable[[Bools, Float64s], Any]:
    return lambda rows, value: alarm_curve(
        task.history.loc[rows],
        value,
        horizon=task.config.data_config.prediction_horizon_seconds if len(onsets(task.history)) else 0,
        cooldown=300,
        interval=task.interval,
        history=task.history,
        without_failures=True,
    )


def _largest(rows: Float64s) -> Callable[[Float64s], Float64s]:
    center, spread = trimmed_moments(rows)
    spread = np.where(spread > 0, spread, np.inf)
    return lambda means: np.abs((means - center) / spread).max(axis=1)


def _components(rows: Float64s) -> Callable[[Float64s], Float64s]:
    center, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    model = PCA(n_components=0.9).fit((rows - center) / spread)

    def both(means: Float64s) -> tuple[Float64s, Float64s]:
        z = (means - center) / spread
        inside = model.transform(z)
        return (inside**2 / model.explained_variance_).sum(axis=1), ((z - model.inverse_transform(inside)) ** 2).sum(
            axis=1
        )

    usual = [np.quantile(each, 0.99) for each in both(rows)]
    return lambda means: np.maximum(*(each / level for each, level in zip(both(means), usual, strict=True)))


def _forest(rows: Float64s) -> Callable[[Float64s], Float64s]:
    drawn = np.random.default_rng(0).permutation(len(rows))[:8000]
    model = IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(rows[drawn])
    return lambda means: -np.asarray(model.score_samples(means))


def judged(task: Task) -> list[Row]:
    """A row of figures for each detector."""
    table_rows, label = task.frame.loc[task.judged], task.frame["label"].to_numpy()[task.judged]
    first = epoch_seconds(table_rows["timestamp"]).min()
    failures = onsets(task.frame)
    found = []
    for name, value, limit in detectors(task):
        began = time.perf_counter()
        alarm = (value[task.judged] >= limit).astype(np.float32)
        events = event_metrics(
            find_events(
                table_rows["asset_id"].to_numpy(),
                epoch_seconds(table_rows["timestamp"]),
                label,
                alarm,
                failures[failures["timestamp"] >= first],
                threshold=0.5,
                horizon=task.config.data_config.prediction_horizon_seconds,
                cooldown=300,
                interval=task.interval,
            )
        )
        lead = events.get("leadTimeSeconds")
        found.append(
            {
                "task": task.name,
                "detector": name,
                "ap": float(average_precision_score(label, value[task.judged])),
                "detected": f"{events['detected']} of {events['failures']}",
                "falsePerDay": events["falseAlarmsPerAssetDay"],
                "timeInAlarm": events["healthyTimeInAlarm"],
                "leadHours": lead["median"] / 3600 if lead else float("nan"),
            }
        )
        sys.stderr.write(f"{task.name} {name}: {time.perf_counter() - began:.1f} s\n")
    return found


def stations() -> Iterator[Task]:
    """Both seeds, each with a clean and with an unchecked history."""
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as work:
            file = Path(work) / "station.parquet"
            simulate(seed=seed).readings.to_parquet(file)
            frame = prepare(_station(file)).frame
            for clean in (True, False):
                failures = np.sort(onsets(frame)["timestamp"].to_numpy())
                cut = failures[max(0, len(failures) - JUDGED_FAILURES)] - HORIZON
                seconds, label = epoch_seconds(frame["timestamp"]), frame["label"].to_numpy()
                before = seconds < cut
                known = np.where(label == 1, -1, label) if clean else np.where(frame["status"] == "off", -1, 0)
                unknown = frame.assign(label=known.astype(np.int8), event=np.int32(-1), target=np.int8(0))
                name = f"station {seed}, {'clean' if clean else 'unchecked'}"
                config = _station(file, historyIsClean=clean)
                judged_rows = (seconds >= cut) & (label >= 0)
                yield Task(name, config, frame, unknown.loc[before].reset_index(drop=True), judged_rows, INTERVAL)


def _station(file: Path, **params: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "station",
            "schemaConfig": {
                "assetColumn": "asset_id",
                "continuousColumns": list(SENSORS),
                "counterColumns": ["total_volume"],
                "operatingColumns": ["load_setpoint", "ambient_temperature"],
                "booleanColumns": ["pump_status"],
                "runningWhen": {"column": "pump_status", "equals": 1},
            },
            "failureConfig": {"allowAsFeatures": ["pump_status"]},
            "dataSource": {"path": str(file)},
            "dataConfig": {
                "samplingIntervalSeconds": INTERVAL,
                "predictionHorizonSeconds": HORIZON,
                "recoverySeconds": 7200,
            },
            "trainingConfig": {"threads": 1, "modelType": "normal_behaviour", "normalBehaviour": params},
        }
    )


def turbofans(folder: Path) -> Iterator[Task]:
    """FD001, which has one operating condition, and FD002, which has six."""
    for name in ("FD001", "FD002"):
        file = next(folder.glob(f"cmapss/train_{name}.*"))
        settings = ["setting1", "setting2", "setting3"]
        config = OrganizationConfig.from_dict(
            {
                "organizationId": "turbofans",
                "schemaConfig": {
                    "assetColumn": "asset_id",
                    "continuousColumns": [*settings, *(f"s{number:02d}" for number in range(1, 22))],
                    "operatingColumns": settings if name == "FD002" else [],
                },
                "dataSource": {"path": str(file)},
                "dataConfig": {
                    "samplingIntervalSeconds": 3600,
                    "predictionHorizonSeconds": 30 * 3600,
                    "splitBy": "asset",
                },
                "trainingConfig": {"threads": 1, "modelType": "normal_behaviour"},
            }
        )
        frame = prepare(config).frame
        engines = frame["asset_id"].unique()
        order = np.random.default_rng(0).permutation(len(engines))
        trained = frame["asset_id"].isin(engines[order[: int(0.6 * len(engines))]]).to_numpy()
        place = frame.groupby("asset_id").cumcount() / frame.groupby("asset_id")["label"].transform("size")
        history = frame.loc[trained & (place < 0.5)].reset_index(drop=True)
        history = history.assign(label=np.int8(0), event=np.int32(-1), target=np.int8(0))
        yield Task(name, config, frame, history, ~trained & (frame["label"] >= 0).to_numpy(), 3600)


def valve(folder: Path) -> list[Row]:
    """F1, false alarm rate and miss rate of samples, as the data's own leaderboard counts them."""
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "rig",
            "schemaConfig": {
                "assetColumn": "asset_id",
                "continuousColumns": VALVE_SENSORS,
            },
            "dataSource": {"path": str(folder / "skab" / "valve1.csv")},
            "dataConfig": {"samplingIntervalSeconds": 1, "predictionHorizonSeconds": 0, "splitBy": "asset"},
            "trainingConfig": {
                "threads": 1,
                "modelType": "normal_behaviour",
                # The rig's runs take minutes; so many alarms per day are one in seven minutes.
                "normalBehaviour": {"falseAlarmsPerAssetDay": 200, "historyIsClean": True},
            },
        }
    )
    frame = prepare(config).frame
    frame = frame[frame["asset_id"] != "anomaly-free_anomaly-free"].reset_index(drop=True)
    sample = frame.groupby("asset_id").cumcount().to_numpy()
    history = frame.loc[sample < 400].reset_index(drop=True)
    history = history.assign(label=np.int8(0), event=np.int32(-1), target=np.int8(0))
    rows = (sample >= 400) & (frame["label"] >= 0).to_numpy()
    task = Task("SKAB valve1", config, frame, history, rows, 1)
    truth, found = frame["label"].to_numpy()[rows] == 1, []
    for name, value, limit in detectors(task):
        alarm = value[rows] >= limit
        hits, false, missed = (int(each.sum()) for each in (alarm & truth, alarm & ~truth, ~alarm & truth))
        found.append(
            {
                "task": task.name,
                "detector": name,
                "f1": 2 * hits / (2 * hits + false + missed),
                "falseRate": false / int((~truth).sum()),
                "missRate": missed / int(truth.sum()),
                "ap": float(average_precision_score(truth, value[rows])),
            }
        )
    return found


def main() -> int:
    """Run what is asked for, or all, and print a table of each."""
    wanted = sys.argv[1:] or ["station", "turbofans", "valve"]
    named = os.environ.get("EAGLE_ML_DATA_DIR")
    if named is None and wanted != ["station"]:
        sys.stderr.write("EAGLE_ML_DATA_DIR must name the folder of the public data\n")
        return 2
    folder, figures = Path(named or "."), {}
    for part in wanted:
        if part == "valve":
            figures[part] = valve(folder)
        else:
            figures[part] = [
                row for task in (stations() if part == "station" else turbofans(folder)) for row in judged(task)
            ]
        sys.stdout.write(table(figures[part]) + "\n\n")
        sys.stdout.flush()
    if len(wanted) == 3:
        keep("normal_behaviour", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
