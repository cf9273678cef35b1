"""Small trained models that between them hold every kind of split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from ml.export.trees.ensemble import TreeEnsemble, from_lightgbm, from_random_forest
from ml.learning import estimators
from ml.learning.estimators.base import default_names
from ml.options.learning import TrainingConfig

N_FEATURES = 6


@dataclass(frozen=True)
class Trained:
    """A model as its library sees it, and as we read it."""

    ensemble: TreeEnsemble
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    apply: Callable[[NDArray[np.float32]], NDArray[np.int64]]
    rows: NDArray[np.float32]


def plant_rows(*, missing: float = 0.1, n_rows: int = 2000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sensors of limited resolution, one near 1e6, a totaliser near 2.5e8, one mostly zero, one of tiny values."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(n_rows, N_FEATURES)).round(1)
    rows[:, 1] = 1e6 + rng.integers(-20, 20, n_rows)
    rows[:, 2] = 2.5e8 + 3 * rng.integers(0, 400, n_rows)
    rows[:, 3] = np.where(rng.random(n_rows) < 0.6, 0.0, rows[:, 3])
    rows[:, 4] *= 1e-30
    score = rows[:, 0] + (rows[:, 1] > 1e6) + (rows[:, 2] > 2.5e8 + 600) + rows[:, 3] + rows[:, 4] * 1e30
    labels = (score + rng.normal(size=n_rows) * 0.3 > 1.2).astype(np.int64)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows.astype(np.float32), labels


def train_booster(
    rows: NDArray[np.float32], labels: NDArray[np.int64], *, rounds: int = 25, **parameters: Any
) -> lightgbm.Booster:
    settings = {
        "objective": "binary",
        "num_leaves": 15,
        "min_data_in_leaf": 5,
        "learning_rate": 0.2,
        "num_threads": 1,
        "seed": 3,
        "deterministic": True,
        "verbosity": -1,
        **parameters,
    }
    categories = settings.pop("categorical_feature", [])
    data = lightgbm.Dataset(rows, labels, params=settings, categorical_feature=categories)
    return lightgbm.train(settings, data, rounds)


def of_booster(booster: lightgbm.Booster, rows: NDArray[np.float32]) -> Trained:
    return Trained(
        from_lightgbm(booster),
        lambda X: booster.predict(X, num_threads=1),
        lambda X: booster.predict(X, pred_leaf=True, num_threads=1),
        rows,
    )


def of_forest(forest: RandomForestClassifier, rows: NDArray[np.float32]) -> Trained:
    return Trained(from_random_forest(forest), lambda X: forest.predict_proba(X)[:, 1], forest.apply, rows)


def early_stopped_booster() -> tuple[lightgbm.Booster, NDArray[np.float32]]:
    rows, labels = plant_rows()
    settings = {"objective": "binary", "learning_rate": 0.5, "num_threads": 1, "verbosity": -1, "num_leaves": 31}
    data = lightgbm.Dataset(rows[:1000], labels[:1000])
    booster = lightgbm.train(
        settings,
        data,
        60,
        valid_sets=[lightgbm.Dataset(rows[1000:], labels[1000:], reference=data)],
        callbacks=[lightgbm.early_stopping(5, verbose=False)],
    )
    return booster, rows


def _lone_leaf() -> Trained:
    rows, labels = plant_rows()
    return of_booster(train_booster(rows, labels, rounds=3, min_data_in_leaf=5000), rows)


def plant_forest(missing: float = 0.1, **parameters: Any) -> RandomForestClassifier:
    rows, labels = plant_rows(missing=missing)
    return RandomForestClassifier(20, random_state=5, n_jobs=1, **parameters).fit(rows, labels)


def _forest(missing: float, **parameters: Any) -> Trained:
    return of_forest(plant_forest(missing, **parameters), plant_rows(missing=missing)[0])


def categorical_booster(**parameters: Any) -> tuple[lightgbm.Booster, NDArray[np.float32]]:
    """Column 0 holds 40 categories that go up and down, column 5 three; both with missing values."""
    rows, labels = plant_rows()
    rng = np.random.default_rng(11)
    category = rng.integers(0, 40, len(rows))
    labels = np.where(category % 7 < 2, 1 - labels, labels)
    rows[:, 0] = np.where(np.isnan(rows[:, 0]), np.nan, category)
    rows[:, 5] = np.where(rng.random(len(rows)) < 0.1, np.nan, rng.integers(0, 3, len(rows)))
    settings = {"max_cat_to_onehot": 1, "min_data_per_group": 5, "cat_smooth": 1.0, "categorical_feature": [0, 5]}
    return train_booster(rows, labels, **(settings | parameters)), rows


def _categorical(**parameters: Any) -> Trained:
    return of_booster(*categorical_booster(**parameters))


def _boosted(missing: float = 0.1, **parameters: Any) -> Trained:
    rows, labels = plant_rows(missing=missing)
    return of_booster(train_booster(rows, labels, **parameters), rows)


def of_xgboost(missing: float = 0.1, **parameters: Any) -> Trained:
    rows, labels = plant_rows(missing=missing)
    config = TrainingConfig(
        model_type="xgboost", model_params={"numIterations": 25, "learningRate": 0.3, **parameters}, threads=1
    )
    model = estimators.get("xgboost")(config).fit(rows, labels, names=default_names(N_FEATURES))
    return Trained(model.ensemble(), model.predict, model.leaves, rows)


KINDS: dict[str, Callable[[], Trained]] = {
    "gbdt": _boosted,
    "gbdt_without_missing": lambda: _boosted(missing=0.0),
    "gbdt_use_missing_off": lambda: _boosted(use_missing=False),
    "two_leaves": lambda: _boosted(num_leaves=2, rounds=40),
    "three_leaves": lambda: _boosted(num_leaves=3, rounds=40),
    "dart": lambda: _boosted(boosting="dart", drop_rate=0.5),
    "goss": lambda: _boosted(data_sample_strategy="goss"),
    "averaged": lambda: _boosted(boosting="rf", bagging_freq=1, bagging_fraction=0.6),
    "extra_trees": lambda: _boosted(extra_trees=True),
    "early_stopped": lambda: of_booster(*early_stopped_booster()),
    "lone_leaf": _lone_leaf,
    "zero_as_missing": lambda: _boosted(zero_as_missing=True),
    "zero_as_missing_averaged": lambda: _boosted(
        zero_as_missing=True, boosting="rf", bagging_freq=1, bagging_fraction=0.6
    ),
    "xgboost": of_xgboost,
    "xgboost_without_missing": lambda: of_xgboost(missing=0.0),
    "xgboost_lone_leaf": lambda: of_xgboost(gamma=1e9, numIterations=3),
    "categorical": lambda: _categorical(),
    "categorical_one_by_one": lambda: _categorical(max_cat_to_onehot=64),
    "categorical_zero_as_missing": lambda: _categorical(zero_as_missing=True),
    "categorical_dart": lambda: _categorical(boosting="dart", drop_rate=0.5),
    "forest": lambda: _forest(0.1),
    "forest_without_missing": lambda: _forest(0.0, max_depth=4),
    "forest_balanced": lambda: _forest(0.1, class_weight="balanced", max_samples=0.5),
    "forest_lone_leaf": lambda: _forest(0.1, min_samples_leaf=1500),
}
_trained: dict[str, Trained] = {}


def model_of_kind(kind: str) -> Trained:
    if kind not in _trained:
        _trained[kind] = KINDS[kind]()
    return _trained[kind]
