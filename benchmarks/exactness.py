"""Do the exported graphs give the bits of the trained models? Counted on rows made to break them, and on public data.

    EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/exactness.py [--scale SHARE]

Compares, and writes the counts to benchmarks/results/exactness.json and as a table to stdout:

- tree models of every kind with their ONNX form: the leaf that each row reaches in each tree, and the bits of the
  probability, on adversarial rows (every threshold and its float32 neighbours, NaN, infinities, denormals); beside it
  what the stock converters (onnxmltools, skl2onnx) make of such rows without infinities;
- the window graph of two organisations with the features computed offline, cell by cell, on all test rows: the
  simulated station, and turbofans FD001, where EAGLE_ML_DATA_DIR names the folder of the public data.

A difference ends the run with exit status 1: none is allowed. `--scale` takes a share of the rows, for a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks import stock_converters  # noqa: E402 - found through the line above
from ml.config import OrganizationConfig  # noqa: E402 - found through the line above
from ml.errors import ParityError  # noqa: E402
from ml.evaluation.model_version import TrainedVersion, load_version  # noqa: E402
from ml.export.adversarial import adversarial_rows  # noqa: E402
from ml.export.graph.model import build_model  # noqa: E402
from ml.export.parity import check_leaves, check_parity  # noqa: E402
from ml.export.session import Scorer, open_model  # noqa: E402
from ml.export.trees.ensemble import TreeEnsemble, from_lightgbm, from_random_forest  # noqa: E402
from ml.export.window.graph import build_feature_probe  # noqa: E402
from ml.export.window.parity import check_windows  # noqa: E402
from ml.ingest.inputs import kept_data  # noqa: E402
from ml.ingest.prepare import prepare  # noqa: E402
from ml.learning import estimators  # noqa: E402
from ml.learning.estimators.base import default_names  # noqa: E402
from ml.learning.training import split_of  # noqa: E402
from ml.options.learning import TrainingConfig  # noqa: E402
from ml.scripts import train_model  # noqa: E402
from ml.workspace.paths import for_config  # noqa: E402
from simulation.station import simulate  # noqa: E402
from tests.pipeline.public_data import VARIABLE, data_folder, label_rows, turbofan_config, with_label_column  # noqa: E402

RESULTS = REPOSITORY / "benchmarks" / "results" / "exactness.json"
_CHUNK_ROWS = 50_000
_STOCK_ROWS = 10_000  # their leaves are followed in numpy
_FEATURES, _TRAINING_ROWS = 60, 20_000
_TREES = 200

Rows = np.ndarray[Any, np.dtype[np.float32]]
Json = dict[str, Any]


def plant_table(seed: int = 0) -> tuple[Rows, Any]:
    """Sensors of 0.1 resolution, near 1e6, near 2.5e8 in steps of 3, mostly zero, and tiny; a tenth is missing."""
    random = np.random.default_rng(seed)
    table = random.normal(size=(_TRAINING_ROWS, _FEATURES)).round(1)
    table[:, 1::6] = 1e6 + random.integers(-20, 20, table[:, 1::6].shape)
    table[:, 2::6] = 2.5e8 + 3 * random.integers(0, 400, table[:, 2::6].shape)
    table[:, 3::6] *= random.random(table[:, 3::6].shape) < 0.4
    table[:, 4::6] *= 1e-30
    table[:, 5] = random.integers(0, 40, len(table))
    centred = (table - table.mean(axis=0)) / table.std(axis=0)
    score = centred[:, ::3].sum(axis=1) / 3 + centred[:, 1] * centred[:, 2] + (table[:, 5] % 7 < 2)
    label = (score + random.normal(size=len(table)) > 1).astype(int)
    table[random.random(table.shape) < 0.1] = np.nan
    return table.astype(np.float32), label


@dataclass(frozen=True)
class Trained:
    """A model as its library sees it, as we read it, and as the stock converter writes it, where one does."""

    ensemble: TreeEnsemble
    predict: Callable[[Rows], Any]
    leaves: Callable[[Rows], Any]
    stock: Callable[[], onnx.ModelProto] | None = None


def boosted(*, stock: bool = False, **parameters: Any) -> Trained:
    """LightGBM with 200 trees of 31 leaves."""
    table, label = plant_table()
    settings = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "seed": 1, "verbosity": -1, **parameters}
    categories = [5] if settings.pop("categorical", False) else []
    data = lightgbm.Dataset(table, label, params=settings, categorical_feature=categories)
    booster = lightgbm.train(settings, data, _TREES)
    return Trained(
        from_lightgbm(booster),
        booster.predict,
        lambda rows: booster.predict(rows, pred_leaf=True),
        (lambda: stock_converters.of_lightgbm(booster)) if stock else None,
    )


def xgboosted() -> Trained:
    """XGBoost with 200 trees."""
    table, label = plant_table()
    config = TrainingConfig(
        model_type="xgboost", model_params={"numIterations": _TREES, "learningRate": 0.1}, early_stopping_rounds=0
    )
    model = estimators.get("xgboost")(config).fit(table, label, names=default_names(_FEATURES))
    booster: Any = model.booster  # type: ignore[attr-defined] # of this model type
    return Trained(model.ensemble(), model.predict, model.leaves, lambda: stock_converters.of_xgboost(booster))


def forest() -> Trained:
    """scikit-learn's forest with 200 trees."""
    table, label = plant_table()
    model = RandomForestClassifier(_TREES, min_samples_leaf=5, random_state=1, n_jobs=1).fit(table, label)
    return Trained(
        from_random_forest(model),
        lambda rows: model.predict_proba(rows)[:, 1],
        model.apply,
        lambda: stock_converters.of_forest(model),
    )


MODELS: dict[str, tuple[int, Callable[[], Trained]]] = {
    "LightGBM gbdt": (1_000_000, lambda: boosted(stock=True)),
    "LightGBM dart": (100_000, lambda: boosted(boosting="dart")),
    "LightGBM goss": (100_000, lambda: boosted(data_sample_strategy="goss")),
    "LightGBM rf": (100_000, lambda: boosted(boosting="rf", bagging_freq=1, bagging_fraction=0.6)),
    "LightGBM zero_as_missing": (100_000, lambda: boosted(zero_as_missing=True)),
    "LightGBM categorical": (100_000, lambda: boosted(categorical=True, max_cat_to_onehot=1, min_data_per_group=20)),
    "RandomForest": (200_000, forest),
    "XGBoost": (200_000, xgboosted),
}
"""What is compared, on how many rows."""


def compare_trees(name: str, n_rows: int, train: Callable[[], Trained]) -> Json:
    """The counts of one kind of model; raises ParityError at the first difference."""
    start = time.monotonic()
    trained = train()
    ensemble = trained.ensemble
    content = build_model(ensemble, n_features=_FEATURES, scaling=None, threshold=0.5, metadata={})
    scorer = Scorer(content, threads=os.cpu_count() or 1)
    real = plant_table(seed=1)[0]
    counts = {"rows": 0, "rowsWithNan": 0, "leaves": 0, "differingLeaves": 0, "differingBits": 0, "differingLabels": 0}
    for seed, first in enumerate(range(0, n_rows, _CHUNK_ROWS)):
        rows = adversarial_rows(ensemble, min(_CHUNK_ROWS, n_rows - first), seed=seed, base_rows=real)
        bits = check_parity(trained.predict, scorer, rows, threshold=0.5)
        paths = check_leaves(trained.leaves, ensemble, rows)
        counts["rows"] += bits.rows
        counts["rowsWithNan"] += int(np.isnan(rows).any(axis=1).sum())
        counts["leaves"] += paths.rows * paths.trees
        counts["differingLeaves"] += paths.differing
        counts["differingBits"] += bits.differing_bits
        counts["differingLabels"] += bits.differing_labels
    seconds = round(time.monotonic() - start, 1)
    return {"model": name, "trees": ensemble.n_trees, **counts, "seconds": seconds, **_stock_counts(trained, n_rows)}


def _stock_counts(trained: Trained, n_rows: int) -> Json:
    """What the stock converter's file makes of rows of the same kind."""
    if trained.stock is None:
        return {}
    base = plant_table(seed=1)[0]
    rows = adversarial_rows(trained.ensemble, min(_STOCK_ROWS, n_rows), seed=0, base_rows=base)
    rows = rows[~np.isinf(rows).any(axis=1)]
    return stock_converters.differences(trained.stock(), trained.ensemble, trained.predict, trained.leaves, rows)


def compare_windows(name: str, trained: TrainedVersion, frame: pd.DataFrame, rows: Any) -> Json:
    """The counts of one organisation's window graph on some rows of a grid frame; raises as `compare_trees`."""
    start = time.monotonic()
    figures = check_windows(
        trained.engineer,
        frame,
        np.flatnonzero(rows),
        probe=open_model(build_feature_probe(trained.engineer)),
        model=open_model(trained.folder / "window.onnx"),
        scorer=Scorer(trained.folder / "model.onnx"),
    )
    return {
        "data": name,
        "lookBack": trained.engineer.look_back,
        "channels": len(trained.engineer.channels),
        "features": len(trained.metadata.features),
        "trees": trained.estimator.rounds,
        **figures.model_dump(by_alias=True),
        "seconds": round(time.monotonic() - start, 1),
    }


def train(config: OrganizationConfig, work: Path) -> TrainedVersion:
    """The version that train_model makes in a workspace of its own."""
    os.environ["ML_BASE_PATH"] = str(work)
    train_model.run(config)
    return load_version(config, for_config(config))


def station(work: Path, scale: float) -> Json:
    """The demo's organisation; the rows are the test part."""
    template = json.loads((REPOSITORY / "ml" / "config" / "manufacturing_org.json").read_text())
    del template["scadaDbConfig"]
    readings = work / "readings.parquet"
    simulate().readings.to_parquet(readings)
    config = OrganizationConfig.from_dict(template | {"dataSource": {"path": str(readings)}})
    trained = train(config, work)
    frame = kept_data(config, for_config(config)).data.frame
    test = split_of(trained.config, frame, trained.engineer).test
    return compare_windows("simulated station, test part", trained, frame, _share(test, scale))


def turbofans(folder: Path, work: Path, scale: float) -> Json:
    """FD001; the rows are all those of the test file."""
    source = folder / "cmapss" / "train_FD001.csv"
    config = turbofan_config(source, operating=False)
    trained = train(OrganizationConfig.from_dict(config), work)
    test = pd.read_csv(folder / "cmapss" / "test_FD001.csv")
    labelled = label_rows(test, pd.read_csv(folder / "cmapss" / "rul_FD001.csv"))
    labelled.to_csv(work / "test.csv", index=False)
    (work / "config.json").write_text(json.dumps(config))
    scoring = OrganizationConfig.from_dict(with_label_column(work / "config.json", "fails_soon"))
    frame = prepare(scoring, source_path=work / "test.csv", interval=trained.engineer.interval).frame
    everything = np.ones(len(frame), dtype=np.bool_)
    return compare_windows("C-MAPSS FD001, test file", trained, frame, _share(everything, scale))


def _share(rows: Any, scale: float) -> Any:
    return rows & (rows.cumsum() <= scale * rows.sum())


def _results(scale: float) -> Iterator[tuple[str, Json]]:
    for name, (n_rows, make) in MODELS.items():
        yield "trees", compare_trees(name, max(1000, int(scale * n_rows)), make)
    with tempfile.TemporaryDirectory() as work:
        yield "windows", station(Path(work), scale)
    folder = data_folder()
    if folder is None:
        sys.stdout.write(f"FD001 is left out: {VARIABLE} does not name the folder of the public data\n")
        return
    with tempfile.TemporaryDirectory() as work:
        yield "windows", turbofans(folder, Path(work), scale)


def main(argv: list[str] | None = None) -> int:
    """Compare everything, print a line for each, and write the results; returns the exit status."""
    parser = argparse.ArgumentParser(prog="exactness.py", description="Count differences between models and graphs.")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows; results of a share are not kept")
    scale = parser.parse_args(argv).scale
    results: dict[str, list[Json]] = {"trees": [], "windows": []}
    try:
        for kind, result in _results(scale):
            results[kind].append(result)
            sys.stdout.write(" · ".join(f"{key} {_figure(value)}" for key, value in result.items()) + "\n")
            sys.stdout.flush()
    except ParityError as difference:
        sys.stdout.write(f"NOT EXACT: {difference.message}\n")
        return 1
    if scale == 1.0:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def _figure(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
