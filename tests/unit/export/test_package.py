from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ml.errors import ParityError
from ml.export.metadata import ModelMetadata, read_metadata
from ml.export.package import MODEL_FILE, WINDOW_FILE, exact_models, write_package
from ml.features import FeatureEngineer
from ml.learning import estimators
from ml.options.learning import TrainingConfig
from tests.unit.export.test_metadata import content
from tests.unit.windows.test_features_reference import make_config, make_frame

SMALL = {"lgb_params": {"num_iterations": 12, "num_leaves": 7}, "rf_params": {"n_estimators": 8}, "threads": 1}


def trained(model_type, scaling="standard", lgb_params=None, families=None):
    """A fitted model, its engineer, frame, features and metadata."""
    frame = make_frame()
    label = (np.random.default_rng(5).random(len(frame)) < 0.3).astype(np.int8)
    config = make_config(schema={"operatingColumns": ["load"]}, **(families or {}))
    options = config.feature_config.model_copy(update={"scaling": scaling})
    engineer = FeatureEngineer(config.model_copy(update={"feature_config": options})).fit(frame, label)
    rows = engineer.matrix(frame)
    label ^= rows[:, engineer.get_feature_names_out().index("operating_regime")] == 1
    settings = TrainingConfig.model_validate(
        {"model_type": model_type, **SMALL, "lgb_params": SMALL["lgb_params"] | (lgb_params or {})}
    )
    names = engineer.get_feature_names_out()
    model = estimators.get(model_type)(settings).fit(engineer.scaling.apply(rows), label, names=names)
    metadata = ModelMetadata.model_validate(
        content(features=names, scaling=engineer.scaling.to_dict(), engine=engineer.to_dict(), parity=None)
    )
    return model, engineer, frame, rows, metadata


@pytest.mark.parametrize("model_type", ["lightgbm", "random_forest"])
def test_the_gate_compares_probabilities_paths_and_windows_and_writes_both_models(model_type, tmp_path):
    model, engineer, frame, rows, metadata = trained(model_type)
    models, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=2000)
    write_package(tmp_path, metadata, models)
    parity = read_metadata(tmp_path / "metadata.json").parity
    assert parity is not None
    assert parity.leaves is not None
    assert parity.windows is not None
    assert parity.probabilities.rows == 2000
    assert (parity.leaves.rows, parity.leaves.trees, parity.leaves.differing) == (2000, model.rounds, 0)
    assert parity.windows.rows == len(frame)
    assert (tmp_path / MODEL_FILE).read_bytes() == models.model
    assert (tmp_path / WINDOW_FILE).read_bytes() == models.window


def test_the_metadata_has_the_checksums_of_everything_beside_it(tmp_path):
    model, engineer, frame, rows, metadata = trained("lightgbm")
    models, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=500)
    (tmp_path / "model.txt").write_bytes(b"trees")
    write_package(tmp_path, metadata, models)
    files = read_metadata(tmp_path / "metadata.json").files
    assert list(files) == ["model.onnx", "model.txt", "reasons.onnx", "window.onnx"]
    for name, entry in files.items():
        content = (tmp_path / name).read_bytes()
        assert (entry.sha256, entry.bytes) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize(
    "lgb_params", [{"zero_as_missing": True}, {"boosting": "rf"}, {"boosting": "dart"}, {"boosting": "goss"}], ids=str
)
def test_every_kind_that_a_configuration_may_ask_for_is_exported(lgb_params):
    model, engineer, frame, rows, metadata = trained("lightgbm", scaling="none", lgb_params=lgb_params)
    _, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=2000)
    assert metadata.parity is not None
    assert bool(model.ensemble().columns.zero_is_missing) == ("zero_as_missing" in lgb_params)


def test_a_categorical_regime_is_exported():
    lgb_params = {"categorical_features": ["operating_regime"], "feature_fraction": 1.0}
    others = {"columns": ["temp"]}  # the load itself would tell what the regime tells
    families = {"raw": others, "rolling": others, "lags": False, "anomaly": False, "differences": False}
    model, engineer, frame, rows, metadata = trained(
        "lightgbm", scaling="none", lgb_params=lgb_params, families=families | {"interactions": False}
    )
    _, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=2000)
    assert metadata.parity is not None
    assert metadata.parity.windows is not None
    names = engineer.get_feature_names_out()
    assert {names[each.feature] for each in model.ensemble().columns.memberships} == {"operating_regime"}


def test_a_model_with_other_leaves_is_refused(monkeypatch):
    model, engineer, frame, rows, metadata = trained("lightgbm")
    leaves = model.leaves
    monkeypatch.setattr(model, "leaves", lambda X: leaves(X) + (np.arange(model.rounds) == 3))
    with pytest.raises(ParityError, match="another leaf"):
        exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=500)


def test_without_models_only_the_metadata_is_written(tmp_path):
    metadata = ModelMetadata.model_validate(content())
    write_package(tmp_path, metadata, None)
    assert [file.name for file in tmp_path.iterdir()] == ["metadata.json"]
