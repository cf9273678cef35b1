"""What holds for model types alike: fitting, seeds, weights, parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.errors import ConfigError, DataError, InternalError, StoppedError, TooFewFailuresError
from ml.learning import estimators
from tests.unit.learning.estimators.fitting import TYPES, config, fitted
from tests.unit.learning.feature_tables import feature_table, names


@pytest.mark.parametrize("model_type", TYPES)
def test_a_fitted_model_ranks_new_rows_and_handles_missing_values(model_type: str) -> None:
    model = fitted(config(model_type))
    X, y = feature_table(seed=2)
    probability = model.predict(X)
    assert probability.dtype == np.float64
    assert probability.shape == y.shape
    assert ((probability >= 0) & (probability <= 1)).all()
    assert roc_auc_score(y, probability) > 0.8
    assert np.isfinite(model.predict(np.full((1, 5), np.nan, dtype=np.float32))).all()
    assert model.predict(X[:0]).shape == (0,)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_seed_decides_every_bit(model_type: str) -> None:
    X, _ = feature_table(seed=2)
    first, again = (fitted(config(model_type)).predict(X) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    other = fitted(config(model_type, random_state=1)).predict(X)
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("model_type", TYPES)
def test_what_the_round_callback_raises_reaches_the_caller(model_type: str) -> None:
    def stop(done: int, total: int) -> None:
        if done > 3:
            raise StoppedError(f"stopped at {done} of {total}")

    with pytest.raises(StoppedError):
        fitted(config(model_type), on_round=stop)


@pytest.mark.parametrize("model_type", TYPES)
def test_balanced_classes_raise_probabilities(model_type: str) -> None:
    X, _ = feature_table(seed=2)
    plain = fitted(config(model_type)).predict(X).mean()
    balanced = fitted(config(model_type, imbalance="balanced")).predict(X).mean()
    assert balanced > plain * 1.2


@pytest.mark.parametrize("model_type", TYPES)
def test_one_class_only_is_refused(model_type: str) -> None:
    X, y = feature_table()
    model = estimators.get(model_type)(config(model_type))
    with pytest.raises(TooFewFailuresError, match=r"training rows hold one class only \(600 negative, 0 positive\)"):
        model.fit(X, np.zeros_like(y), names=names())


@pytest.mark.parametrize("model_type", TYPES)
def test_importances_are_shares_under_the_real_names(model_type: str) -> None:
    shares = fitted(config(model_type)).importances()
    assert list(shares) == names()
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == names()[0]


@pytest.mark.parametrize("model_type", TYPES)
def test_another_number_of_features_is_refused(model_type: str) -> None:
    with pytest.raises(DataError, match="expects 5 features"):
        fitted(config(model_type)).predict(np.zeros((2, 4), dtype=np.float32))


@pytest.mark.parametrize("model_type", TYPES)
def test_predicting_before_fitting_is_our_bug(model_type: str) -> None:
    with pytest.raises(InternalError):
        estimators.get(model_type)(config(model_type)).predict(np.zeros((1, 5), dtype=np.float32))


@pytest.mark.parametrize("model_type", TYPES)
def test_every_default_range_is_allowed(model_type: str) -> None:
    kind = estimators.get(model_type)
    for name, values in kind.search_space().items():
        for value in values.choices or (values.low, values.high):
            kind.with_parameters(config(model_type), {name: value})


def test_parameters_are_replaced_in_a_copy() -> None:
    before = config("lightgbm")
    after = estimators.get("lightgbm").with_parameters(before, {"numLeaves": 99, "extraTrees": True})
    assert (after.lgb_params.num_leaves, after.lgb_params.extra_trees, after.lgb_params.num_iterations) == (
        99,
        True,
        40,
    )
    assert before.lgb_params.num_leaves == 7


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="numLeavs") as caught:
        estimators.get("lightgbm").with_parameters(config("lightgbm"), {"numLeavs": 99})
    assert caught.value.hint == 'did you mean "numLeaves"?'


def test_a_value_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rfParams\.minSamplesLeaf"):
        estimators.get("random_forest").with_parameters(config("random_forest"), {"minSamplesLeaf": 0})


@pytest.mark.parametrize("model_type", TYPES)
def test_rows_in_the_same_leaves_have_the_same_probability(model_type: str) -> None:
    model = fitted(config(model_type))
    X, _ = feature_table(seed=2)
    leaves = model.leaves(X)
    assert leaves.dtype == np.int64
    assert leaves.shape == (len(X), model.rounds)
    assert model.leaves(X[:0]).shape == (0, model.rounds)
    _, group = np.unique(leaves, axis=0, return_inverse=True)
    for members in (np.flatnonzero(group == number) for number in range(group.max() + 1)):
        assert len(set(model.predict(X[members]).tolist())) == 1


@pytest.mark.parametrize(
    ("model_type", "lgb_params"), [("lightgbm", {}), ("lightgbm", {"boosting": "rf"}), ("logistic_regression", {})]
)
def test_contributions_add_up_to_the_raw_score(model_type: str, lgb_params: dict[str, Any]) -> None:
    model = fitted(config(model_type, lgb_params=lgb_params))
    X, _ = feature_table(seed=2)
    contributions, scores = model.contributions(X), model.scores(X)
    assert contributions is not None
    assert contributions.dtype == np.float64
    assert contributions.shape == (len(X), X.shape[1] + 1)
    assert np.ptp(contributions[:, -1]) == 0, "the expected score is the same for all rows"
    assert np.ptp(contributions[:, 0]) > 0
    np.testing.assert_allclose(contributions.sum(axis=1), scores, rtol=0, atol=1e-9)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), model.predict(X), rtol=1e-12)
    assert model.contributions(X[:0]).shape == (0, X.shape[1] + 1)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="5 features"):
        model.contributions(X[:, :4])
