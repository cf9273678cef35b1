"""Small models of every type, fitted on the feature tables."""

from __future__ import annotations

from typing import Any

from ml.learning import estimators
from ml.learning.estimators.base import Estimator
from ml.options.learning import TrainingConfig
from tests.unit.learning.feature_tables import feature_table, names

TYPES = ("lightgbm", "random_forest", "xgboost")


def config(model_type: str, **options: Any) -> TrainingConfig:
    small = {
        "model_type": model_type,
        "lgb_params": {"num_iterations": 40, "num_leaves": 7, **options.pop("lgb_params", {})},
        "rf_params": {"n_estimators": 30, **options.pop("rf_params", {})},
        "threads": 1,
    }
    if model_type == "xgboost":
        small["model_params"] = {"numIterations": 40, "maxDepth": 3, **options.pop("model_params", {})}
    return TrainingConfig.model_validate({**small, **options})


def fitted(settings: TrainingConfig, *, valid: bool = False, **options: Any) -> Estimator:
    X, y = feature_table()
    held_out = feature_table(seed=1) if valid else (None, None)
    return estimators.get(settings.model_type)(settings).fit(X, y, *held_out, names=names(), **options)
