"""SIGTERM and SIGINT end a step within two seconds, wherever it is, and leave nothing half-done."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
from pathlib import Path

import pytest

from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.verification import verify_organization
from tests.pipeline.backend import REPOSITORY, Json, environment, spawn, tree
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.stopping import said, stopped

# Far more trees than are grown before the signal, and nothing that ends training early.
ENDLESS = {
    "threads": 1,
    "earlyStoppingRounds": 0,
    "lgbParams": {"numIterations": 100_000, "learningRate": 0.001, "minDataInLeaf": 20},
}
STEP = '''
import argparse, sys, threading, time
import numpy as np
from ml.options.learning import TrainingConfig
from ml.workspace.step_runner import run_step

def ready(*_):
    print("ready", file=sys.stderr, flush=True)

def ready_inside(function):
    """Say so once the main thread has been in one native call of this Python function for a while."""
    main = threading.get_ident()
    def watch():
        seen = []
        while len(seen) < 5:
            frame = sys._current_frames()[main]
            place = (frame.f_code.co_name, frame.f_lasti)
            seen = [*seen, place] if place[0] == function and seen[-1:] == [place] else [place]
            time.sleep(0.02)
        ready()
    threading.Thread(target=watch, daemon=True).start()

def table(rows, width):
    random = np.random.default_rng(0)
    return random.normal(size=(rows, width)).astype(np.float32), (random.random(rows) < 0.5).astype(np.int64)

def work(config, arguments, progress):
    BODY

parser = argparse.ArgumentParser()
parser.add_argument("config")
raise SystemExit(run_step("train_model", parser, work))
'''
ROUND_OF_MANY_LEAVES = """
from ml.learning.estimators.lightgbm import LightGBM
X, y = table(60_000, 5)
names = list("abcde")
parameters = {"num_leaves": 40_000, "min_data_in_leaf": 1, "bagging_freq": 0, "feature_fraction": 1.0, "max_bin": 15}
model = LightGBM(TrainingConfig(lgb_params=parameters, threads=1))
rows = model.dataset(X, y, "training", names=names)
ready_inside("update")
model.fit_binned(rows, None, names=names, on_round=lambda *_: print("the round has ended", file=sys.stderr))
"""
FOREST = """
from ml.learning.estimators.random_forest import RandomForest
X, y = table(100_000, 20)
parameters = {"n_estimators": 100_000, "max_features": 1.0, "min_samples_leaf": 1}
model = RandomForest(TrainingConfig(rf_params=parameters, threads=THREADS))
WHEN
model.fit(X, y, names=[str(number) for number in range(20)])
"""
WEIGHTS = """
from ml.learning.estimators.logistic_regression import LogisticRegression
X, y = table(200_000, 50)
X[:, 1:] += 100 * X[:, :1]  # nearly the same column fifty times, which takes many iterations
parameters = {"penaltyInverse": 1e9, "maxIter": 100_000}
model = LogisticRegression(TrainingConfig(model_type="logistic_regression", model_params=parameters))
while True:
    model.fit(X, y, names=[str(number) for number in range(50)], on_round=ready)
"""
KERNELS = """
import pandas as pd
from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
schema = {"continuousColumns": ["a", "b"], "rollingWindows": [100, 2000]}
engineer = FeatureEngineer(OrganizationConfig.from_dict({"organizationId": "plant_a", "schemaConfig": schema}), 60)
time = pd.date_range("2000-01-01", periods=300_000, freq="60s", tz="UTC")
X, _ = table(300_000, 2)
frame = pd.DataFrame({"asset_id": "x", "timestamp": time, "segment": 0, "a": X[:, 0], "b": X[:, 1]})
ready()
engineer.fit(frame.iloc[:5000])
engineer.matrix(frame.iloc[:5000])
print("compiled", file=sys.stderr, flush=True)
while True:
    engineer.matrix(frame)
"""


def stop_inside(body: str, root: Path, number: signal.Signals, words: str = "ready") -> Json:
    """Stop a step with this body after it has said the words."""
    return stopped(command(body, root), in_workspace(root), said(words), number)


def command(body: str, root: Path) -> list[str]:
    file = root.parent / "step.py"
    file.write_text(STEP.replace("BODY", body.strip().replace("\n", "\n    ")))
    config = {"organizationId": ORGANIZATION, "schemaConfig": {"continuousColumns": ["a"]}}
    return [str(file), str(write_json(root.parent / "config.json", config))]


def in_workspace(root: Path, **more: str) -> dict[str, str]:
    return environment(root, {"PYTHONPATH": str(REPOSITORY), **more})


def test_inside_a_round_of_lightgbm(root: Path) -> None:
    stop_inside(ROUND_OF_MANY_LEAVES, root, signal.SIGTERM)


@pytest.mark.parametrize(
    ("threads", "when", "number"), [("1", "ready_inside('_fit')", signal.SIGTERM), ("2", "ready()", signal.SIGINT)]
)
def test_inside_a_random_forest(threads: str, when: str, number: signal.Signals, root: Path) -> None:
    stop_inside(FOREST.replace("THREADS", threads).replace("WHEN", when), root, number)


def test_inside_a_logistic_regression(root: Path) -> None:
    stop_inside(WEIGHTS, root, signal.SIGINT)


def test_inside_a_feature_kernel(root: Path) -> None:
    stop_inside(KERNELS, root, signal.SIGTERM, "compiled")


def test_while_kernels_are_compiled(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def compiling(_: subprocess.Popen[bytes], stderr: str) -> bool:
        assert "compiled" not in stderr
        return any(cache.rglob("*.nbc"))  # one kernel is, the next one is being compiled

    stopped(command(KERNELS, root), in_workspace(root, NUMBA_CACHE_DIR=str(cache)), compiling, signal.SIGINT)


def test_a_search_keeps_its_trials(published: Path, database: Path) -> None:
    folder = published / "artifacts" / ORGANIZATION / "v1" / "hyperparameter_results"
    for file in folder.iterdir():
        file.unlink()
    tuning = {"searchMethod": "random", "nTrials": 1000}
    config = write_json(published.parent / "config.json", plant_config(database, tuningConfig=tuning))
    arguments = ["scripts/hyperparameter_tuning.py", str(config)]
    stopped(arguments, environment(published), said("trial 3 of 1000"), signal.SIGTERM)
    kept = (folder / "journal.log").read_bytes()
    assert kept.endswith(b"\n")
    write_json(config, plant_config(database, tuningConfig=tuning | {"nTrials": 3}))
    again = spawn("hyperparameter_tuning", config, root=published)
    assert (again.exit_code, again.document["trials"]) == (0, 3)
    trials = [event["message"] for event in again.progress if "trial" in event.get("message", "")]
    assert trials[0].startswith("trial 3 of 3"), "those of the run before count"
    assert (folder / "journal.log").read_bytes().startswith(kept)


@pytest.mark.parametrize(
    ("lock", "words", "number"),
    [("organization_lock", "comparing the ONNX model", signal.SIGINT), ("audit_lock", "publishing", signal.SIGTERM)],
)
def test_publishing_is_done_or_not_begun(
    lock: str, words: str, number: signal.Signals, published: Path, database: Path
) -> None:
    """The step is kept waiting for a lock, which is taken once it compares, and so cannot end before the signal."""
    paths = OrganizationPaths(ORGANIZATION, published)
    paths.current.unlink()
    config = write_json(published.parent / "config.json", plant_config(database))
    with getattr(paths, lock).open("a") as held:

        def waiting(_: subprocess.Popen[bytes], stderr: str) -> bool:
            if "comparing the ONNX model" in stderr:
                fcntl.flock(held, fcntl.LOCK_EX)
            return words in stderr

        stopped(["scripts/convert_to_onnx.py", str(config)], environment(published), waiting, number)
    assert verify_organization(paths)["current"] is None
    again = spawn("convert_to_onnx", config, root=published)
    assert again.exit_code == 0, again.document
    assert verify_organization(paths)["current"] == "v1"


def test_sigterm_while_training_leaves_what_was_there(published: Path, database: Path) -> None:
    folder = published / "models" / ORGANIZATION
    before = {path: content for path, content in tree(folder).items() if "lock" not in path}
    config = published.parent / "config.json"
    write_json(config, plant_config(database, trainingConfig=ENDLESS) | {"version": "v2"})

    arguments = ["scripts/train_model.py", str(config)]
    stopped(arguments, environment(published), said('"fitting"'), signal.SIGTERM)
    assert {path: content for path, content in tree(folder).items() if "lock" not in path} == before
    assert not (published / "artifacts" / ORGANIZATION / "v2" / "metrics.json").exists()
    audit = (published / "artifacts" / ORGANIZATION / "audit.jsonl").read_text().splitlines()
    assert "STOPPED" in json.dumps(json.loads(audit[-1]))

    write_json(config, plant_config(database) | {"version": "v2"})
    again = spawn("train_model", config, root=published)
    assert again.exit_code == 0, again.document
    assert sorted(path.name for path in (folder / "versions").iterdir()) == ["v1", "v2"]
    assert (folder / "current").readlink().as_posix() == "versions/v1"
