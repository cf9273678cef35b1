"""Failures of machines with regular repairs, with and without time since events, beside a plain LightGBM.

    EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/machines_with_events.py

Fifty machines of the Azure predictive-maintenance sample, one row a day, failures two days ahead. All settings but the
columns and lists are defaults; what is chosen (features, rounds, threshold) is chosen on training rows. Prints the
average precision on the test part, of our model and of LightGBM with its defaults on the same training and validation
rows: sensors, their rolling means and deviations, and in the last column the times since events.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ml.arrays import Float64s
from ml.config import OrganizationConfig
from ml.ingest.failures.since import SUMMARY_KEY, with_event_inputs
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared
from ml.learning.engine import Engine
from ml.learning.training import TrainedModel, train
from tests.pipeline.public_data import VARIABLE, data_folder, machines_config

_WINDOWS = (3, 7, 14)


def main() -> int:
    """Train each model and print a line per division."""
    folder = data_folder()
    if folder is None:
        sys.stderr.write(f"{VARIABLE} must name the folder of the public data\n")
        return 2
    for split in ("time", "asset"):
        config = OrganizationConfig.from_dict(machines_config(folder / "azure", split))
        prepared = prepare(config)
        label, plain, told = prepared.frame["label"].to_numpy(), [], ""
        for summary in ({}, prepared.summary):
            model = train(with_event_inputs(config, summary), Engine(config, prepared.frame), prepared.interval)
            test = model.parts.test
            own = average_precision_score(label[test], model.held_out())
            other = average_precision_score(label[test], _plain(model, prepared, list(summary.get(SUMMARY_KEY, ()))))
            plain.append(f"{'with' if summary else 'without'} events {own:.3f}, plain LightGBM {other:.3f}")
            told = "; ".join(f"{choice.family} {choice.reason}" for choice in model.family_choices)
        sys.stdout.write(f"by {split}, {int((label[test] == 1).sum())} positives: {'; '.join(plain)}\n  {told}\n")
    return 0


def _plain(model: TrainedModel, prepared: Prepared, events: list[str]) -> Float64s:
    """What LightGBM with its defaults says of the test rows, by sensors, windows, and the named times since events."""
    sensors = list(model.engine.readings(model.parts.train).columns)
    groups = prepared.frame.groupby("asset_id")[sensors]
    parts = [prepared.frame[[*sensors, *events]]]
    for window in _WINDOWS:
        for name in ("mean", "std"):
            rolled = getattr(groups.rolling(window, min_periods=1), name)().droplevel(0)
            parts.append(rolled.add_suffix(f"_{name}_{window}").sort_index())
    table, fitted = pd.concat(parts, axis=1), model.parts.train | model.parts.validation
    classifier = LGBMClassifier(n_jobs=1, verbosity=-1).fit(table[fitted], prepared.frame["label"][fitted])
    return np.asarray(classifier.predict_proba(table[model.parts.test]), dtype=np.float64)[:, 1]


if __name__ == "__main__":
    raise SystemExit(main())
