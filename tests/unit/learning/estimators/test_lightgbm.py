"""Early stopping, boosting kinds, categories, weights and messages of LightGBM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.errors import ConfigError, TooFewFailuresError
from ml.learning import estimators
from tests.unit.learning.estimators.fitting import config, fitted
from tests.unit.learning.feature_tables import feature_table, names


def test_the_same_seed_gives_the_same_lightgbm_text() -> None:
    texts = {fitted(config("lightgbm"), valid=True).booster.model_to_string() for _ in range(2)}
    assert len(texts) == 1


def test_early_stopping_keeps_the_best_round_only(tmp_path: Path) -> None:
    settings = config("lightgbm", early_stopping_rounds=5, lgb_params={"num_iterations": 400, "learning_rate": 0.3})
    seen: list[int] = []
    model = fitted(settings, valid=True, on_round=lambda done, _: seen.append(done))
    assert model.rounds == seen[-1] - 5
    model.save(tmp_path / "model.txt")
    assert lgb.Booster(model_file=str(tmp_path / "model.txt")).num_trees() == model.rounds
    X, _ = feature_table(seed=2)
    assert (
        estimators.get("lightgbm").load(tmp_path / "model.txt", settings).predict(X).tobytes()
        == model.predict(X).tobytes()
    )


@pytest.mark.parametrize("options", [{"early_stopping_rounds": 0}, {"lgb_params": {"boosting": "dart"}}])
def test_every_round_is_kept_where_early_stopping_is_off(options: dict[str, Any]) -> None:
    lgb_params = {"num_iterations": 60, "learning_rate": 0.5, **options.get("lgb_params", {})}
    settings = config("lightgbm", **{"early_stopping_rounds": 2, **options, "lgb_params": lgb_params})
    assert fitted(settings, valid=True).rounds == 60


@pytest.mark.parametrize("metric", ["average_precision", "auc", "binary_logloss", "binary_error"])
def test_every_metric_can_stop_early(metric: str) -> None:
    settings = config("lightgbm", early_stopping_rounds=3, lgb_params={"metric": metric, "num_iterations": 300})
    assert fitted(settings, valid=True).rounds < 300


def test_goss_fits_although_bagging_is_configured() -> None:
    assert fitted(config("lightgbm", lgb_params={"boosting": "goss"})).rounds == 40


def test_averaged_trees_and_zeros_as_missing_reach_lightgbm() -> None:
    averaged = fitted(config("lightgbm", lgb_params={"boosting": "rf", "zero_as_missing": True}))
    text = averaged.booster.model_to_string()  # type: ignore[attr-defined]
    assert "average_output" in text
    assert "[zero_as_missing: 1]" in text


def categorical_table() -> tuple[Any, Any]:
    """A table whose first column decides the label by being even or odd."""
    X, y = feature_table()
    X[:, 0] = np.random.default_rng(0).integers(0, 12, len(X))
    return X, (X[:, 0] % 2).astype(y.dtype)


def test_a_categorical_feature_is_split_by_sets() -> None:
    X, y = categorical_table()
    settings = config("lightgbm", lgb_params={"categorical_features": [names()[0]], "feature_fraction": 1.0})
    model = estimators.get("lightgbm")(settings).fit(X, y, names=names())
    assert model.ensemble().columns.memberships
    assert roc_auc_score(y, model.predict(X)) > 0.99
    folds = [(np.arange(len(X) // 2), np.arange(len(X) // 2, len(X)))]
    binned = type(model).folds(X, y, folds, names=names())
    scores = []
    for each in (settings, config("lightgbm", lgb_params={"feature_fraction": 1.0})):
        fit = binned.begin(0, each)
        fit.advance(fit.total, lambda: False)
        scores.append(roc_auc_score(y[folds[0][1]], fit.probability))
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    ("feature", "words"), [("no_such_feature", 'no feature "no_such_feature"'), (None, "cannot be categorical")]
)
def test_a_feature_that_cannot_be_categorical_is_refused(feature: str | None, words: str) -> None:
    settings = config("lightgbm", lgb_params={"categorical_features": [feature or names()[0]]})
    with pytest.raises(ConfigError, match=words) as caught:
        fitted(settings)
    assert caught.value.field == "trainingConfig.lgbParams.categoricalFeatures"


def test_balanced_is_a_weight_of_negatives_over_positives() -> None:
    _, y = feature_table()
    weight = float((y == 0).sum() / (y == 1).sum())
    X, _ = feature_table(seed=2)
    balanced = fitted(config("lightgbm", imbalance="balanced")).predict(X)
    spelled_out = fitted(config("lightgbm", lgb_params={"scale_pos_weight": weight})).predict(X)
    assert balanced.tobytes() == spelled_out.tobytes()


def test_one_class_only_in_validation_is_refused() -> None:
    X, y = feature_table()
    model = estimators.get("lightgbm")(config("lightgbm"))
    with pytest.raises(TooFewFailuresError, match="validation rows"):
        model.fit(X, y, X, np.zeros_like(y), names=names())


def test_a_model_without_a_split_has_no_importances() -> None:
    settings = config("lightgbm", lgb_params={"min_data_in_leaf": 10_000})
    assert set(fitted(settings).importances().values()) == {0.0}


def test_parameters_that_lightgbm_refuses_for_the_rows_are_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match="num_data") as caught:
        fitted(config("lightgbm", lgb_params={"bagging_fraction": 0.001, "bagging_freq": 1}))
    assert caught.value.field == "trainingConfig.lgbParams"


def test_lightgbm_talks_to_the_log_and_not_to_stdout(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        fitted(config("lightgbm", lgb_params={"verbosity": 1}))
    assert capfd.readouterr().out == ""
    assert "Number of positive" in caplog.text
