from __future__ import annotations

import re
from collections.abc import Callable

import lightgbm
import numpy as np
import pytest

from ml.errors import IntegrityError, ParityError
from ml.export.graph.model import build_model
from ml.export.session import Scorer
from ml.export.trees.ensemble import from_lightgbm
from ml.export.trees.lightgbm_text import parse_model
from tests.unit.export.trained_models import categorical_booster, plant_rows, train_booster


@pytest.fixture(scope="module")
def text() -> str:
    """Two trees of four leaves on six features."""
    return train_booster(*plant_rows(), rounds=2, num_leaves=4).model_to_string()


def with_sizes(text: str) -> str:
    """The text with the sizes of its two trees as they are."""
    first, second, end = (text.index(mark) for mark in ("Tree=0", "Tree=1", "end of trees"))
    return re.sub(r"tree_sizes=.*", f"tree_sizes={second - first} {end - second}", text)


def field(key: str, value: str) -> Callable[[str], str]:
    """A change of a field where it first occurs."""
    return lambda text: with_sizes(re.sub(rf"^{key}=.*$", f"{key}={value}", text, count=1, flags=re.MULTILINE))


def test_a_whole_text_is_read(text: str) -> None:
    assert with_sizes(text) == text
    model = parse_model(text)
    assert (len(model.trees), model.n_features) == (2, 6)
    assert [len(tree.leaf_value) for tree in model.trees] == [4, 4]


DAMAGES = {
    "empty": (lambda _: "", "does not begin like one"),
    "feature": (field("split_feature", "0 9999 4"), "split_feature names a feature"),
    "negative_feature": (field("split_feature", "0 -1 4"), "split_feature names a feature"),
    "short": (field("split_feature", "0 4"), "split_feature of a tree with 4 leaves has 2 numbers, not 3"),
    "long": (field("leaf_value", "1 2 3 4 5"), "leaf_value of a tree with 4 leaves has 5 numbers, not 4"),
    "short_for_lightgbm": (field("internal_value", "1"), "internal_value of a tree"),
    "empty_for_lightgbm": (field("leaf_count", ""), "leaf_count of a tree with 4 leaves has 0 numbers"),
    "many_leaves": (field("num_leaves", "1000000000"), "has 3 numbers, not 999999999"),
    "no_leaves": (field("num_leaves", "0"), "num_leaves or shrinkage"),
    "categories": (field("num_cat", "3"), "cat_boundaries is missing"),
    "itself": (field("left_child", "0 -1 -2"), "do not reach every node and leaf"),
    "twice": (field("left_child", "2 -1 -2"), "do not reach every node and leaf"),
    "beyond": (field("left_child", "7 -1 -2"), "do not reach every node and leaf"),
    "loop": (
        lambda text: field("right_child", "-2 -3 1")(field("left_child", "-1 2 -4")(text)),
        "leads back to an earlier node",
    ),
    "nan": (field("threshold", "1 nan 2"), "threshold holds something else than numbers"),
    "infinite": (field("leaf_value", "1 2 3 1e999"), "leaf_value holds NaN or infinite"),
    "word": (field("leaf_weight", "1 2 x 4"), "leaf_weight holds something else"),
    "underscore": (field("split_feature", "0 0_1 4"), "split_feature holds something else"),
    "huge": (field("left_child", f"{10**30} -1 -2"), "left_child holds something else"),
    "decision": (field("decision_type", "10 10 300"), "decision_type has a value without a meaning"),
    "missing": (lambda text: with_sizes(text.replace("threshold=", "treshold=", 1)), "threshold is missing"),
    "repeated": (
        lambda text: with_sizes(text.replace("num_cat=0", "num_cat=0\nnum_leaves=4", 1)),
        "num_leaves is there twice",
    ),
    "letters": (lambda text: with_sizes(text.replace("num_cat=0", "num_cat=0\né=0", 1)), "belong to no number"),
    "sizes": (lambda text: re.sub(r"tree_sizes=\d", "tree_sizes=9", text), "not as long as the header says"),
    "negative_size": (lambda text: re.sub(r"tree_sizes=\d", "tree_sizes=-", text), "not as long as"),
    "fewer_sizes": (lambda text: re.sub(r"(tree_sizes=\d+) .*", r"\1", text), 'no "end of trees" after the 1 trees'),
    "width": (field("max_feature_idx", "6"), "feature_names does not list 7 features"),
    "no_width": (field("max_feature_idx", ""), "max_feature_idx is not one number"),
    "steepness": (field("objective", "binary sigmoid:x"), "sigmoid holds something else"),
    "parameters": (lambda text: text[: text.index("end of parameters")], "parameters are cut off"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_text_is_refused_with_its_defect(text: str, damage: str) -> None:
    change, words = DAMAGES[damage]
    damaged = change(text)
    assert damaged != text
    with pytest.raises(IntegrityError, match=words):
        parse_model(damaged)


@pytest.fixture(scope="module")
def categorical_text() -> str:
    """Two trees of four leaves; the first has two sets of categories, each in two words of 32."""
    return categorical_booster(rounds=2, num_leaves=4)[0].model_to_string()


def test_sets_of_categories_are_read(categorical_text: str) -> None:
    assert with_sizes(categorical_text) == categorical_text
    tree = parse_model(categorical_text).trees[0]
    sets = [categories for categories in tree.categories if categories is not None]
    assert len(sets) == 2 < len(tree.categories)
    assert all(set(categories) <= set(range(40)) for categories in sets)
    assert max(max(categories) for categories in sets) >= 32


CATEGORICAL_DAMAGES = {
    "count": (field("num_cat", "1"), "cat_boundaries of a tree do not divide"),
    "none": (field("num_cat", "0"), "cat_boundaries of a tree do not divide"),
    "gap": (field("cat_boundaries", "1 2 4"), "do not divide"),
    "beyond": (field("cat_boundaries", "0 2 9"), "do not divide"),
    "backwards": (field("cat_boundaries", "0 5 4"), "do not divide"),
    "empty_set": (field("cat_boundaries", "0 4 4"), "do not divide"),
    "wide": (field("cat_threshold", f"1 2 3 {1 << 32}"), "something else than 32 bits"),
    "negative": (field("cat_threshold", "1 2 3 -1"), "something else than 32 bits"),
    "no_category": (field("cat_threshold", "1 2 0 0"), "has no category"),
    "which": (
        lambda text: re.sub(r"(threshold=.*)", lambda found: found[0].replace(" 1", " 7"), text, count=1),
        "do not name each set",
    ),
}


@pytest.mark.parametrize("damage", CATEGORICAL_DAMAGES)
def test_a_damaged_set_of_categories_is_refused(categorical_text: str, damage: str) -> None:
    change, words = CATEGORICAL_DAMAGES[damage]
    damaged = with_sizes(change(categorical_text))
    assert damaged != categorical_text
    with pytest.raises(IntegrityError, match=words):
        parse_model(damaged)


def test_categories_beyond_what_a_table_may_hold_are_refused() -> None:
    rows, labels = plant_rows()
    rows[:, 0] = np.where(labels == 1, 5000, 3) + np.arange(len(rows)) % 3
    booster = train_booster(rows, labels, rounds=1, categorical_feature=[0], max_cat_to_onehot=1, min_data_per_group=5)
    with pytest.raises(ParityError, match="categories above 4095"):
        parse_model(booster.model_to_string())


def test_a_text_cut_off_anywhere_before_its_parameters_end_is_refused(text: str) -> None:
    listed = text.index("\nparameters:")
    ends = [*range(0, text.index("end of trees"), 7), *range(listed + 12, text.index("end of parameters"), 97)]
    for end in ends:
        with pytest.raises(IntegrityError):
            parse_model(text[:end])


def test_a_split_that_only_tells_missing_from_present_is_read_and_exported() -> None:
    """LightGBM writes its threshold as ``inf``."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)).astype(np.float32)
    X[rng.random(600) < 0.3, 0] = np.nan
    y = np.isnan(X[:, 0]) ^ (rng.random(600) < 0.05)
    parameters = {"objective": "binary", "verbosity": -1, "num_leaves": 2, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(X, y), num_boost_round=3)
    text = booster.model_to_string()
    assert "threshold=inf" in text
    parse_model(text)
    X[:2, 0] = np.inf, -np.inf
    content = build_model(from_lightgbm(booster), n_features=2, scaling=None, threshold=0.5, metadata={})
    assert Scorer(content).probability(X).tobytes() == booster.predict(X).astype(np.float32).tobytes()
