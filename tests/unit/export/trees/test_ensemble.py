from __future__ import annotations

import re
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from ml.errors import ParityError
from ml.export.trees.ensemble import from_lightgbm, from_random_forest
from tests.reference.trees import leaf_numbers, probabilities
from tests.unit.export.trained_models import plant_rows, train_booster

_TINY = np.float32(1e-35)


def test_the_walk_over_the_arrays_gives_the_models_own_leaves_and_probabilities(trained):
    rows = trained.rows[:100]
    np.testing.assert_array_equal(leaf_numbers(trained.ensemble, rows), trained.apply(rows).reshape(len(rows), -1))
    np.testing.assert_array_equal(probabilities(trained.ensemble, rows), trained.predict(rows))


def test_lightgbm_thresholds_come_through_as_the_same_doubles(booster):
    dumped = []
    pending = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while pending:
        node = pending.pop()
        if "threshold" in node:
            dumped.append(node["threshold"])
            pending += [node["left_child"], node["right_child"]]
    beyond_zero = [value for value in dumped if abs(value) > 2e-35]
    ours = from_lightgbm(booster).threshold
    assert sorted(ours[np.abs(ours) > 2e-35]) == sorted(beyond_zero)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_values_that_lightgbm_flushes_to_zero_take_its_branch(missing):
    """Splits at plus and minus 1e-35 are what LightGBM makes around a mass of zeros."""
    rng = np.random.default_rng(0)
    sides = rng.choice([-1.0, 0.0, 1.0], size=600)
    rows = sides[:, None].astype(np.float32)
    rows[rng.random(rows.shape) < missing] = np.nan
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 4}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, (sides == 0.0).astype(int)), 5)
    ensemble = from_lightgbm(booster)
    around = np.concatenate([[_TINY, 0.0], np.nextafter(_TINY, [np.float32(0), np.float32(1)]), [1e-45, 1e-38, np.nan]])
    probe = np.concatenate([around, -around]).astype(np.float32)[:, None]
    assert (np.abs(ensemble.threshold) < 2e-35).any()
    np.testing.assert_array_equal(probabilities(ensemble, probe), booster.predict(probe))


def test_a_feature_taken_in_two_ways_is_refused():
    """LightGBM takes a feature in one way through all trees; put together here from two models."""
    rows, labels = plant_rows()
    zeros = train_booster(rows, labels, rounds=1, num_leaves=2, zero_as_missing=True).model_to_string()
    numbers = train_booster(rows, labels, rounds=1, num_leaves=2).model_to_string()
    first, second = (text[text.index("Tree=0") : text.index("end of trees")] for text in (zeros, numbers))
    assert "split_feature=0" in first
    assert "split_feature=0" in second
    second = second.replace("Tree=0", "Tree=1")
    text = zeros.replace(first, first + second)
    text = re.sub(r"tree_sizes=.*", f"tree_sizes={len(first)} {len(second)}", text)
    with pytest.raises(ParityError, match="feature 0 as category and as number"):
        from_lightgbm(lightgbm.Booster(model_str=text))


def test_only_the_iterations_that_predict_uses_are_read(booster):
    rows, _ = plant_rows(n_rows=50)
    everything = booster.predict(rows)
    booster.best_iteration = 4
    ensemble = from_lightgbm(booster)
    assert ensemble.n_trees == 4 < booster.num_trees()
    np.testing.assert_array_equal(probabilities(ensemble, rows), booster.predict(rows))
    assert (booster.predict(rows) != everything).any()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"linear_tree": True}, "linear_tree"),
        ({"sigmoid": 2.0}, "sigmoid is 2"),
        ({"objective": "cross_entropy"}, '"cross_entropy"'),
        ({"objective": "regression"}, '"regression"'),
        ({"objective": "multiclass", "num_class": 3}, "3 classes"),
    ],
)
def test_what_cannot_be_exact_is_refused_with_its_reason(parameters, reason):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, size=(400, 2)).astype(np.float64)
    labels = (rows[:, 0] % 2).astype(int)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, **parameters}
    categories = settings.pop("categorical_feature", "auto")
    data = lightgbm.Dataset(rows, labels, params=settings, categorical_feature=categories)
    with pytest.raises(ParityError, match=reason):
        from_lightgbm(lightgbm.train(settings, data, 3))


@pytest.mark.parametrize("labels", [np.zeros(50), np.ones(50), np.arange(50) % 3, np.where(np.arange(50) % 2, 1, -1)])
def test_a_forest_without_both_labels_is_refused(labels):
    rows = np.random.default_rng(0).normal(size=(50, 2))
    forest = RandomForestClassifier(2, random_state=0).fit(rows, labels.astype(int))
    with pytest.raises(ParityError, match="needed are 0 and 1"):
        from_random_forest(forest)


@pytest.mark.parametrize(
    ("field", "value"), [("true_child", 10**6), ("false_child", -(10**6)), ("feature", 99), ("feature", -1)]
)
def test_a_damaged_model_is_refused(gbdt, field, value):
    damaged = getattr(gbdt.ensemble, field).copy()
    damaged[0] = value
    with pytest.raises(ParityError, match="damaged"):
        replace(gbdt.ensemble, **{field: damaged})


def test_weights_that_are_not_numbers_are_refused(gbdt):
    with pytest.raises(ParityError, match="NaN or infinite"):
        replace(gbdt.ensemble, leaf_weight=np.full_like(gbdt.ensemble.leaf_weight, np.nan))
