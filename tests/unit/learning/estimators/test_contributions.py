from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from ml.errors import DataError
from ml.learning import estimators
from ml.options.learning import TrainingConfig
from tests.unit.learning.feature_tables import feature_table, names

EXACT = ("lightgbm", "logistic_regression")


def fitted(model_type: str, n_features: int = 5, rounds: int = 40):
    X, y = feature_table(n_features=n_features)
    settings = TrainingConfig(
        model_type=model_type, lgb_params={"num_iterations": rounds, "num_leaves": 7}, rf_params={"n_estimators": 5}
    )
    return estimators.get(model_type)(settings).fit(X, y, names=names(n_features))


@pytest.mark.parametrize("model_type", EXACT)
def test_contributions_of_a_row_add_up_to_its_raw_score(model_type: str) -> None:
    model = fitted(model_type)
    X, _ = feature_table(seed=2)

    contributions = model.contributions(X)

    assert contributions.dtype == np.float64
    assert contributions.shape == (len(X), 6)
    probability = model.predict(X)
    np.testing.assert_allclose(contributions.sum(axis=1), np.log(probability / (1 - probability)), atol=1e-6)
    assert np.unique(contributions[:, -1]).size == 1


def expected_score(form, row, background, known):
    """Mean raw score of the row's known features beside the rows of the background in the others."""
    mixed = np.where([feature in known for feature in range(len(row))], row, background)
    return (form.terms(mixed.astype(np.float32)).sum(axis=1) + form.intercept).mean()


def test_those_of_a_logistic_regression_are_shapley_values_by_their_definition() -> None:
    model = fitted("logistic_regression", n_features=3)
    background, _ = feature_table(n_features=3)
    row = np.array([1.5, -0.3, 0.7], np.float32)

    contributions = model.contributions(row[None])[0]

    for feature in range(3):
        others = [each for each in range(3) if each != feature]
        value = 0.0
        for size in range(3):
            for known in combinations(others, size):
                weight = factorial(size) * factorial(2 - size) / factorial(3)
                gain = [expected_score(model.form(), row, background, {*known, *extra}) for extra in ((feature,), ())]
                value += weight * (gain[0] - gain[1])
        assert contributions[feature] == pytest.approx(value, abs=1e-6)


def test_a_feature_that_no_tree_reads_contributes_nothing() -> None:
    model = fitted("lightgbm", rounds=1)
    X, _ = feature_table(seed=2)

    unread = [feature for feature, share in enumerate(model.importances().values()) if share == 0]

    assert unread
    assert (model.contributions(X)[:, unread] == 0).all()
    assert (model.contributions(X)[:, 0] != 0).any()


@pytest.mark.parametrize("model_type", EXACT)
def test_no_row_has_no_contribution_and_a_wrong_width_is_refused(model_type: str) -> None:
    model = fitted(model_type)

    assert model.contributions(np.empty((0, 5), np.float32)).shape == (0, 6)
    with pytest.raises(DataError, match="expects 5 features"):
        model.contributions(np.zeros((2, 4), np.float32))


def test_a_forest_has_none_to_give() -> None:
    assert fitted("random_forest").contributions(np.zeros((2, 5), np.float32)) is None
