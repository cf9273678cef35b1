"""The flat request of the backend's TrainingService, which spawns train_model.py and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulation.database import TABLE
from tests.pipeline.backend import Json, spawn, tree
from tests.pipeline.small_plant import BOOLEANS, CONTINUOUS, write_json

ORGANIZATION, VERSION = "org-42", "2025.01.31"


def request(root: Path, database: Path) -> Json:
    return {
        "organizationId": ORGANIZATION,
        "version": VERSION,
        "dataRange": {"startDate": "2025-01-01T00:00:00.000Z", "endDate": "2025-01-24T00:00:00.000Z"},
        "hyperparameters": {
            "numLeaves": 7,
            "learningRate": 0.1,
            "featureFraction": 0.5,
            "baggingFraction": 0.8,
            "baggingFreq": 5,
            "minDataInLeaf": 20,
            "maxDepth": -1,
            "numIterations": 40,
            "objective": "binary",
            "metric": "binary_logloss",
            "verbosity": -1,
        },
        "validationSplit": 0.25,
        "targetColumn": "failure_indicator",
        "featureColumns": [*CONTINUOUS[:5], *BOOLEANS],
        "schemaConfig": {
            "assetColumn": "asset_id",
            "continuousColumns": CONTINUOUS,
            "booleanColumns": BOOLEANS,
            "lagSeconds": [1800, 3600],
            "rollingWindows": [4, 12],
        },
        "scadaDbConfig": {"driver": "sqlite", "database": str(database), "table": TABLE},
        "outputPath": str(root / "artifacts" / ORGANIZATION / VERSION),
    }


@pytest.fixture
def trained(several_threads: None, root: Path, database: Path) -> Path:  # noqa: ARG001
    outcome = spawn("train_model", write_json(root.parent / "request.json", request(root, database)), root=root)
    assert outcome.exit_code == 0, outcome.document
    document = outcome.document
    assert (document["organizationId"], document["version"]) == (ORGANIZATION, VERSION)
    assert document["modelPath"] == str(root / "models" / ORGANIZATION / f"model_{VERSION}.onnx")
    return root


def test_it_alone_gives_metrics_and_the_model_and_publishes_nothing(trained: Path) -> None:
    metrics = json.loads((trained / "artifacts" / ORGANIZATION / VERSION / "metrics.json").read_text())
    assert {"accuracy", "precision", "recall", "auc", "dataPoints", "features"} <= metrics.keys()
    assert all(0 <= metrics[name] <= 1 for name in ("accuracy", "precision", "recall", "auc"))
    assert metrics["dataPoints"] > 500
    sensors = {name.partition("__")[0] for name in metrics["features"]}
    # A pump stands still exactly while it has failed: a copy of the target, which is kept out and told.
    assert sensors >= {*CONTINUOUS[:5], *BOOLEANS} - {"pump_status"}
    assert "pump_status" not in sensors
    assert not sensors & set(CONTINUOUS[5:])
    assert last_instant(metrics) < "2025-01-24"

    models = trained / "models" / ORGANIZATION
    link = models / f"model_{VERSION}.onnx"
    assert link.readlink().as_posix() == f"versions/{VERSION}/model.onnx"
    assert link.resolve().stat().st_size > 1000
    metadata = json.loads((models / "versions" / VERSION / "metadata.json").read_text())
    assert metadata["training"]["parameters"]["numLeaves"] == 7
    assert metadata["training"]["rounds"] <= 40
    assert "models/org-42/current" not in tree(trained)


def last_instant(metrics: Json) -> str:
    """Last instant of any part, as text."""
    return max(metrics["split"][part]["lastTime"] for part in ("train", "validation", "test"))
