"""The search of parameters beside a plain Optuna loop and FLAML: trials in 60 s, and what the result is worth.

    EAGLE_ML_DATA_DIR=<folder> python -m benchmarks.search [--seconds 60] [--data FD001 FD002]

Turbofans FD001 and FD002 (C-MAPSS), windows of 5, 10 and 20 cycles: does an engine fail within 30 cycles? Every tool
gets the same finished feature matrix, the same three folds of whole engines, two threads and the same time. The loop
is Optuna's TPE around `cross_val_score` of `LGBMClassifier`; FLAML tunes LightGBM. The best parameters of each are
then fitted on all engines that ran to failure (ours by the training step, which stops early first), and scored on
every row of the engines of the benchmark's own test file. A trial that was given up counts as a trial and is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks.processes import run
from benchmarks.results import keep, table
from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.ingest.prepared.data import read_prepared
from ml.learning.folds.splits import EventFolds
from ml.learning.training import split_of, train
from tests.pipeline.public_data import VARIABLE, data_folder, label_rows, turbofan_config, with_label_column

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("search", "optuna loop", "flaml")
WINDOWS = [5, 10, 20]
FOLDS, SEED, THREADS = 3, 42, 2


@dataclass(frozen=True)
class Task:
    """Engines to learn from and engines to be judged on."""

    config: OrganizationConfig
    frame: pd.DataFrame
    test_frame: pd.DataFrame
    interval: int

    @property
    def learned(self) -> Any:
        """Which rows of `frame` have a label."""
        return (self.frame["label"] >= 0).to_numpy()

    @property
    def judged(self) -> Any:
        """Which rows of `test_frame` have a label."""
        return (self.test_frame["label"] >= 0).to_numpy()

    @property
    def label(self) -> Any:
        """Labels of the rows to learn from."""
        return self.frame["label"].to_numpy()[self.learned]

    def score(self, probability: Any) -> float:
        """Average precision on the labelled rows of the test engines."""
        label = self.test_frame["label"].to_numpy()[self.judged]
        return float(average_precision_score(label, probability))


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table and keep the figures."""
    parser = argparse.ArgumentParser(description="Search of parameters.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--data", nargs="+", choices=["FD001", "FD002"], default=["FD001", "FD002"])
    parser.add_argument("--tool", choices=TOOLS, help=argparse.SUPPRESS)  # this program as one tool's process
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.tool:
        sys.stdout.write(json.dumps(_TOOLS[arguments.tool](_task(arguments.work), arguments.seconds)))
        return 0
    folder = data_folder()
    if folder is None:
        sys.stderr.write(f"{VARIABLE} must name the folder of the public data\n")
        return 2
    rows = []
    for name in arguments.data:
        with tempfile.TemporaryDirectory() as work:
            _prepare(folder, Path(work), name)
            for tool in TOOLS:
                rows.append({"data": name, **_measured(tool, Path(work), arguments.seconds)})
                sys.stderr.write(f"{rows[-1]}\n")
    sys.stdout.write(table(rows) + "\n")
    ratios = {name: _ratio(rows, name) for name in arguments.data}
    for name, ratio in ratios.items():
        sys.stdout.write(f"{name}: {ratio:.1f} times the trials of the loop\n")
    keep("search", {"seconds": arguments.seconds, "folds": FOLDS, "threads": THREADS, "windows": WINDOWS,
                    "results": rows, "trialRatio": ratios})  # fmt: skip
    return 0


def _ratio(rows: list[dict[str, Any]], data: str) -> float:
    trials = {row["tool"]: row["trials"] for row in rows if row["data"] == data}
    return float(trials["search"] / trials["optuna loop"])


def _measured(tool: str, work: Path, seconds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.search", "--tool", tool, "--work", str(work)]
    usage = run([*command, "--seconds", str(seconds)], folder=ROOT, environment={"OMP_NUM_THREADS": str(THREADS)})
    return {"tool": tool, **json.loads(usage.output.splitlines()[-1])}


def _prepare(folder: Path, work: Path, name: str) -> None:
    """Both files as data_prep.py prepares them: version `train`, and version `test` whose rows carry their labels."""
    source, test = (next((folder / "cmapss").glob(f"{part}_{name}.*")) for part in ("train", "test"))
    rows = pd.read_csv(test) if test.suffix == ".csv" else pd.read_parquet(test)
    labelled = work / "test.csv"
    label_rows(rows, pd.read_csv(folder / "cmapss" / f"rul_{name}.csv")).to_csv(labelled, index=False)
    config = turbofan_config(source, operating=name == "FD002")
    config["schemaConfig"]["rollingWindows"] = WINDOWS
    config["tuningConfig"] = {"cvFolds": FOLDS, "nTrials": 100_000, "randomState": SEED}
    config["trainingConfig"]["threads"] = THREADS
    (work / "train.json").write_text(json.dumps(config | {"version": "train"}))
    judged = with_label_column(work / "train.json", "fails_soon")
    judged |= {"version": "test", "dataSource": {"path": str(labelled)}}
    (work / "test.json").write_text(json.dumps(judged))
    for part in ("train", "test"):
        run([sys.executable, "scripts/data_prep.py", str(work / f"{part}.json")], folder=ROOT / "ml",
            environment={"ML_BASE_PATH": str(work)})  # fmt: skip


def _task(work: Path) -> Task:
    config = OrganizationConfig.load_from_file(work / "train.json")
    artifacts = work / "artifacts" / config.organization_id
    learned, judged = (
        read_prepared(artifacts / part / "prepared_data.parquet", organization_id=config.organization_id)
        for part in ("train", "test")
    )
    return Task(config, learned.frame, judged.frame, learned.interval)


def _folds(task: Task, engineer: FeatureEngineer) -> list[tuple[Any, Any]]:
    horizon = task.config.data_config.prediction_horizon_seconds
    folds = EventFolds(FOLDS, horizon, engineer.look_back, engineer.interval, SEED, whole_assets=True)
    position = task.learned.cumsum() - 1
    return [(position[train], position[held_out]) for train, held_out in folds.split(task.frame, task.learned)]


def _matrices(task: Task) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    """Features of all rows to learn from and of the judged rows, and folds of the former."""
    engineer = FeatureEngineer(task.config, task.interval)
    engineer.fit(task.frame, rows=task.learned)
    return (
        np.ascontiguousarray(engineer.matrix(task.frame, rows=task.learned)),
        np.ascontiguousarray(engineer.matrix(task.test_frame, rows=task.judged)),
        _folds(task, engineer),
    )


def _search(task: Task, seconds: int) -> dict[str, Any]:
    from ml.learning.search.feature_sets import FeatureSets, SearchRows
    from ml.learning.search.search import search

    engineer = FeatureEngineer(task.config, task.interval)
    parts = split_of(task.config, task.frame, engineer)
    features = FeatureSets(task.config, task.frame, task.interval, parts.train, task.learned)
    matrix = features.table({})
    tuning = task.config.tuning_config.model_copy(update={"timeout_seconds": seconds})
    clock = _Clock()
    result = search(SearchRows(matrix, task.label, _folds(task, engineer)), task.config.training_config, tuning)
    spent = clock.figures()
    model = train(task.config.model_copy(update={"training_config": result.best}), task.frame, task.interval)
    probability = model.predict(task.test_frame, task.judged)
    complete = sum(trial["state"] == "COMPLETE" for trial in result.trials)
    return _figures(len(result.trials), complete, spent, result.best_score, task.score(probability))


def _optuna_loop(task: Task, seconds: int) -> dict[str, Any]:
    import optuna
    from lightgbm import LGBMClassifier
    from sklearn.model_selection import cross_val_score

    X, judged, folds = _matrices(task)
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def model(values: dict[str, Any]) -> LGBMClassifier:
        return LGBMClassifier(**values, subsample_freq=1, n_jobs=THREADS, random_state=SEED, verbosity=-1)

    def objective(trial: optuna.Trial) -> float:
        values = {
            "n_estimators": trial.suggest_int("n_estimators", 100, 1000, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 128, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 300, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 20.0, log=True),
        }
        return float(cross_val_score(model(values), X, task.label, cv=folds, scoring="average_precision").mean())

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    clock = _Clock()
    study.optimize(objective, timeout=seconds)
    spent = clock.figures()
    best = model(study.best_params).fit(X, task.label)
    score = task.score(best.predict_proba(judged)[:, 1])
    return _figures(len(study.trials), len(study.trials), spent, study.best_value, score)


def _flaml(task: Task, seconds: int) -> dict[str, Any]:
    from flaml import AutoML

    X, judged, _ = _matrices(task)
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        automl = AutoML()
        clock = _Clock()
        automl.fit(
            X, task.label.astype(int), task="classification", metric="ap", estimator_list=["lgbm"],
            time_budget=seconds, n_jobs=THREADS, eval_method="cv", split_type="group", n_splits=FOLDS,
            groups=task.frame["asset_id"].factorize()[0][task.learned], seed=SEED, verbose=0,
            log_file_name=log.name, log_type="all",
        )  # fmt: skip
        spent = clock.figures()
        trials = sum('"record_id"' in line for line in log) or len(automl.config_history)
    score = task.score(automl.predict_proba(judged)[:, 1])
    return _figures(trials, trials, spent, 1.0 - automl.best_loss, score)


class _Clock:
    """Wall and CPU time of a search; on a machine that others use, the second says how much of it was ours."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def figures(self) -> dict[str, float]:
        """Seconds since the start."""
        return {"seconds": time.perf_counter() - self._wall, "cpuSeconds": time.process_time() - self._cpu}


def _figures(trials: int, complete: int, spent: dict[str, float], folds: float, test: float) -> dict[str, Any]:
    return {"trials": trials, "complete": complete, **spent, "foldsAp": folds, "testAp": test}


_TOOLS = {"search": _search, "optuna loop": _optuna_loop, "flaml": _flaml}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    raise SystemExit(main())
