"""How well modes of failure are told apart, by the project's way and by two others on the same folds and features.

    EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/failure_modes.py [--days 1 2 3] [--furnace]

Each machine of the Azure data is judged by models of the other machines (a backtest by assets). "any x mode" is what a
version holds: its model of all failures, times the models of modes. Softmax has one class for each mode and one for
none; it must choose one mode where two fail. One-vs-rest has a model for each mode. Both are fitted by LightGBM on the
same features and folds, with 120 trees; the alarms whose names are compared are those of the version.

The furnace is simulated: four parts wear, a failure within ten minutes is predicted at a row a minute. Its model is
trained on two days and judged on a day of another seed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sklearn.metrics import average_precision_score

from benchmarks.results import keep, table
from ml.config import OrganizationConfig
from ml.ingest.failures.since import with_event_inputs
from ml.ingest.prepare import prepare
from ml.learning.engine import Engine
from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds, event_horizon, onsets
from ml.learning.events.metrics import modes_of
from ml.learning.events.naming import naming_metrics
from ml.learning.modes.models import joint
from ml.learning.modes.plan import ModePlan
from ml.learning.training import TrainedModel, train
from simulation.furnace import wearing_furnace, write_furnace
from tests.pipeline.furnace_modes import furnace_config
from tests.pipeline.public_data import machines_config

DAY = 86_400
TREES = 120
OTHERS = {"num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 30, "bagging_fraction": 0.8, "bagging_freq": 1}


def main() -> int:
    """Measure every horizon and print a row for each way."""
    parser = argparse.ArgumentParser(description="Modes of failure on the Azure data.")
    parser.add_argument("--days", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--furnace", action="store_true", help="the simulated furnace, too")
    arguments = parser.parse_args()
    folder = os.environ.get("EAGLE_ML_DATA_DIR")
    if not folder:
        sys.stderr.write("EAGLE_ML_DATA_DIR must name the folder of the public data\n")
        return 2
    rows = []
    for each in arguments.days:
        rows += measured(Path(folder) / "azure", each)
        sys.stderr.write(f"{table(rows)}\n")
    if arguments.furnace:
        rows.append(furnace())
    sys.stdout.write(f"{table(rows)}\n")
    keep("failure_modes", {"rows": rows})
    return 0


def measured(folder: Path, days: int) -> list[dict[str, Any]]:
    """The figures of one horizon, a row for each way."""
    config = configuration(folder, days)
    data = prepare(config)
    model = train(with_event_inputs(config, data.summary), data.frame, data.interval)
    judged, modes = model.judged, model.modes
    assert judged is not None
    assert modes is not None
    frame, plan = model.engine.frame, modes.plan
    label = plan.labels(frame, days * DAY)
    rows = frame.iloc[judged.row]
    ways = {"any x mode": joint(judged.probability, judged.modes), **others(model, frame, label)}
    truth = label[judged.row]
    return [
        {"data": f"azure, {days} d", "way": way}
        | figures(plan, frame, rows, truth, judged.probability, scores, judged.threshold, days * DAY, data.interval)
        for way, scores in ways.items()
    ]


def furnace() -> dict[str, Any]:
    """The figures of the simulated furnace."""
    frames = []
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("train", wearing_furnace(2.0, 3)), ("test", wearing_furnace(1.0, 8))):
            file = Path(folder) / f"{name}.sqlite"
            write_furnace(rows, file)
            config = OrganizationConfig.from_dict(furnace_config(file))
            frames.append(prepare(config))
    model = train(config, frames[0].frame, frames[0].interval)
    assert model.modes is not None
    frame, engine = frames[1].frame, Engine(config, frames[1].frame)
    known = (frame["label"] >= 0).to_numpy()
    probability = model.predict(frame, known).astype(np.float32)
    scores = joint(probability, model.modes.models.of_rows(engine, model.engineer, known))
    horizon = config.data_config.prediction_horizon_seconds
    truth = model.modes.plan.labels(frame, horizon)[known]
    found = figures(model.modes.plan, frame, frame.loc[known], truth, probability, scores, model.threshold, horizon, 60)
    return {"data": "furnace, 10 min", "way": "any x mode"} | found


def figures(
    plan: ModePlan,
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    truth: NDArray[np.bool_],
    probability: NDArray[np.float32],
    scores: NDArray[np.float32],
    threshold: float | NDArray[np.float32],
    horizon: int,
    interval: int,
) -> dict[str, Any]:
    """How the failures of some rows are named by the probabilities of modes, (n_rows, n_modes)."""
    events = find_events(
        rows["asset_id"].to_numpy(),
        epoch_seconds(rows["timestamp"]),
        rows["label"].to_numpy(),
        probability,
        onsets(frame),
        threshold=threshold,
        horizon=event_horizon(frame, horizon),
        cooldown=0,
        interval=interval,
    )
    own = [plan.named(names) for names in modes_of(events, onsets(frame)) or []]
    named = naming_metrics(events, own, probability, scores, plan.names)
    precision = [average_precision_score(truth[:, mode], scores[:, mode]) for mode in range(len(plan.names))]
    return {
        "failures": named["failures"],
        "detected": named["detected"],
        "mean AP": float(np.mean(precision)),
        "first row": named["namedAtFirstRow"],
        "highest row": named["namedAtHighestRow"],
        "some row": named["namedAtSomeRow"],
    }


def configuration(folder: Path, days: int) -> OrganizationConfig:
    """Daily telemetry, errors counted by the day, machines; failures and replaced components as lists."""
    content = machines_config(folder, "asset")
    content["dataConfig"]["predictionHorizonSeconds"] = days * DAY
    content["failureConfig"]["maintenance"]["resets"] = [f"comp{number}" for number in range(1, 5)]
    content["featureConfig"] = {"families": {"history": {"enabled": False}, "since": {"enabled": True}}}
    content["validationConfig"] = {"scheme": "backtest"}
    return OrganizationConfig.from_dict(content)


def others(model: TrainedModel, frame: pd.DataFrame, label: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """Of each way: probabilities of the modes on the judged rows, as given a failure would have them."""
    assert model.judged is not None
    judged = model.judged
    X = model.engineer.scaling.apply(model.engineer.matrix(frame))
    positions = judged.row
    n_modes = label.shape[1]
    by_rarity = np.argsort(label.sum(axis=0), kind="stable")  # where two fail, softmax is given the rarer one
    classes = np.where(label.any(axis=1), 1 + by_rarity[label[:, by_rarity].argmax(axis=1)], 0)
    rest, soft = np.zeros((len(positions), n_modes)), np.zeros((len(positions), n_modes))
    shared = {
        **OTHERS,
        "feature_fraction": min(1.0, 64 / X.shape[1]),
        "verbosity": -1,
        "seed": 1,
        "deterministic": True,
    }
    for fold in np.unique(judged.fold):
        own = judged.fold == fold
        known = positions[~own]
        test = X[positions[own]]
        for mode in range(n_modes):
            data = lgb.Dataset(X[known], label[known, mode].astype(np.float32))
            rest[own, mode] = lgb.train({**shared, "objective": "binary"}, data, TREES).predict(test)
        data = lgb.Dataset(X[known], classes[known])
        several = {**shared, "objective": "multiclass", "num_class": n_modes + 1}
        soft[own] = lgb.train(several, data, TREES).predict(test)[:, 1:]
    return {"softmax": soft.astype(np.float32), "one-vs-rest": rest.astype(np.float32)}


if __name__ == "__main__":
    raise SystemExit(main())
