"""Model types and kinds, the search methods, and a further model type that joins by one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.evaluation.checks.gates import GATES
from ml.export.onnx_runtime import onnxruntime
from ml.learning import estimators
from ml.scripts import convert_to_onnx, train_model, validate_model
from tests.pipeline.backend import Json, run_here
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json

STUMP = '''
"""One split on the feature that separates the classes best: the smallest model there is."""

import json

import numpy as np

from ml.export.trees.ensemble import TreeEnsemble
from ml.learning.estimators.base import Estimator
from ml.options.base import Section
from ml.options.learning import SearchRange


class StumpParams(Section):
    quantile: float = 0.8


class Stump(Estimator):
    model_type, model_file, params_type = "stump", "model.json", StumpParams
    rounds = 1

    @classmethod
    def search_space(cls):
        return {"quantile": SearchRange(low=0.5, high=0.9)}

    def _fit(self, X, y, valid, on_round):
        rows = np.nan_to_num(X.astype(np.float64))
        above = rows > np.quantile(rows, self.parameters(self.config).quantile, axis=0)
        gain = np.abs(above[y == 1].mean(axis=0) - above[y == 0].mean(axis=0))
        feature = int(gain.argmax())
        threshold = float(np.quantile(rows[:, feature], self.parameters(self.config).quantile))
        low = ~(X[:, feature] > threshold)
        self.state = [X.shape[1], feature, threshold, float(y[low].mean()), float(y[~low].mean())]

    def predict(self, X):
        _, feature, threshold, low, high = self.state
        return np.where(X[:, feature] > threshold, high, low).astype(np.float64)

    def leaves(self, X):
        return (X[:, [self.state[1]]] > self.state[2]).astype(np.int64)

    def importances(self):
        return {name: float(index == self.state[1]) for index, name in enumerate(self.names)}

    def save(self, path):
        path.write_text(json.dumps(self.state))

    def _read(self, path):
        self.state = json.loads(path.read_text())
        return self.state[0]

    def ensemble(self):
        width, feature, threshold, low, high = self.state
        return TreeEnsemble(
            feature=np.array([feature]), threshold=np.array([threshold]), missing_true=np.array([True]),
            true_child=np.array([~0]), false_child=np.array([~1]), roots=np.array([0]),
            leaf_weight=np.array([low, high]), leaf_tree=np.array([0, 0]), leaf_number=np.array([0, 1]),
            n_features=width, divisor=1, link="identity", accepts_infinity=True,
        )
'''


def test_a_random_forest_goes_all_the_way(two_versions: PipelineRun) -> None:
    for outcome in two_versions.outcomes.values():
        assert outcome.exit_code == 0, outcome.document
    version = two_versions.models / "versions" / "v2"
    assert {"model.parquet", "model.onnx", "window.onnx", "manifest.json"} <= {file.name for file in version.iterdir()}
    assert two_versions.models.joinpath("current").readlink().as_posix() == "versions/v2"
    assert two_versions.models.joinpath("model_v2.onnx").readlink().as_posix() == "versions/v2/model.onnx"
    assert two_versions.outcomes["convert_to_onnx"].document["previousVersion"] == "v1"
    assert two_versions.outcomes["validate_model"].document["metrics"]["auc"] > 0.8


@pytest.mark.parametrize(
    "training",
    [
        {"modelType": "logistic_regression"},
        {"modelType": "xgboost", "modelParams": {"numIterations": 30}},
        {"lgbParams": {"boosting": "rf", "zeroAsMissing": True, "numIterations": 20}},
        {"lgbParams": {"categoricalFeatures": ["operating_regime"], "numIterations": 20}},
    ],
    ids=["logistic_regression", "xgboost", "averaged_trees", "categorical"],
)
def test_other_kinds_go_all_the_way(training: Json, published: Path, database: Path) -> None:
    config = plant_config(
        database,
        trainingConfig={"threads": 1, **training},
        featureConfig={"scaling": "robust" if "modelType" in training else "none"},
        tuningConfig={"nTrials": 2, "cvFolds": 2},
        validationConfig=dict.fromkeys(GATES) | {"minAuc": 0.6, "robustnessRows": 200, "latencyRuns": 20},
        conversionConfig={"publish": "always", "parityRows": 2000},
    )
    file = write_json(published.parent / "config.json", config | {"version": "v3"})
    steps = ["hyperparameter_tuning"] * ("modelType" in training) + ["train_model", "validate_model", "convert_to_onnx"]
    for step in steps:
        outcome = run_here(step, file, root=published)
        assert outcome.exit_code == 0, outcome.document
    parity = outcome.document["parity"]
    assert parity["probabilities"] | {"maxDifference": 0.0} == {
        "rows": 2000,
        "differingBits": 0,
        "differingLabels": 0,
        "maxDifference": 0.0,
    }
    assert parity["windows"]["differingCells"] == 0
    assert published.joinpath("models", ORGANIZATION, "current").readlink().as_posix() == "versions/v3"


@pytest.mark.parametrize("method", ["grid", "random"])
def test_parameters_are_searched_by(method: str, published: Path, database: Path) -> None:
    # maxDepth is not searched by default, so a trial that has it proves that the space counts.
    space = {"maxDepth": {"choices": [2, 5]}}
    tuning = {"searchMethod": method, "nTrials": 2, "cvFolds": 2, "searchSpace": space}
    config = write_json(published.parent / "config.json", plant_config(database, tuningConfig=tuning))
    outcome = run_here("hyperparameter_tuning", config, root=published)
    assert outcome.exit_code == 0, outcome.document
    assert outcome.document["trials"] == 2
    assert outcome.document["bestScore"] >= outcome.document["baselineScore"]
    results = published / "artifacts" / ORGANIZATION / "v1" / "hyperparameter_results"
    trials = json.loads((results / "trials.json").read_text())["trials"]
    assert trials[1]["params"]["maxDepth"] in (2, 5)
    tuned = OrganizationConfig.load_from_file(results / "training_config.json")
    assert tuned.training_config.lgb_params.max_depth == outcome.document["bestParameters"].get("maxDepth", -1)


def test_a_third_model_type_joins_by_one_file(
    tmp_path: Path, root: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stump.py").write_text(STUMP)
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(tmp_path)])
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    training = {"modelType": "stump", "modelParams": {"quantile": 0.7}}
    validation = dict.fromkeys(GATES) | {"minAuc": 0.5, "robustnessRows": 200}
    config = OrganizationConfig.from_dict(plant_config(database, trainingConfig=training, validationConfig=validation))
    trained = train_model.run(config)
    assert trained.metrics["modelType"] == "stump"
    validate_model.run(config)
    converted = convert_to_onnx.run(config)
    assert converted.published
    session = onnxruntime.InferenceSession(converted.model_path.read_bytes())
    probabilities, _ = session.run(None, {"input": np.zeros((1, len(trained.metrics["features"])), np.float32)})
    predictions = pd.read_parquet(root / "artifacts" / ORGANIZATION / "v1" / "predictions.parquet")
    assert probabilities[0, 1] in predictions["probability"].unique()
    assert predictions["probability"].nunique() == 2
