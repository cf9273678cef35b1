"""Trained tree models as flat arrays: the one form from which graphs are built and probes are made.

A row is an array of float32 values, encoded as `ml.export.trees.encoding` says and widened to float64 without loss. At
a split the row goes to the true child if its value is ``<= threshold``, or if the value is NaN and ``missing_true`` is
set; otherwise to the false child. The weights of the leaves reached are summed in the order of the trees, in float64,
because a sum in another order has other bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ml.arrays import Bools, Float64s, Int64s
from ml.errors import ParityError
from ml.export.trees.encoding import LIGHTGBM_ZERO, Encoding, Membership
from ml.export.trees.lightgbm_text import MISSING_NONE, MISSING_ZERO, LightgbmModel, LightgbmTree, parse_model
from ml.export.trees.xgboost_json import XgboostTree
from ml.export.trees.xgboost_json import parse_model as parse_xgboost

if TYPE_CHECKING:
    from lightgbm import Booster
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree._tree import Tree

_LIGHTGBM_ZERO = float(LIGHTGBM_ZERO)
_MEMBERSHIP_BOUND = 0.5  # between a 0 and a 1


Link = Literal["sigmoid", "identity"]


@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """Binary decision trees whose leaf weights add up to one score per row.

    Attributes
    ----------
    feature, threshold, missing_true
        Per split, (n_splits,): column compared, bound in float64, and whether NaN goes to the true child.
    true_child, false_child
        Per split, (n_splits,): index of another split, or ``~leaf`` (below zero) for a leaf.
    roots
        First split of each tree, (n_trees,), in the order of summation.
    leaf_weight, leaf_tree, leaf_number
        Per leaf, (n_leaves,): what it adds, its tree, and the number that the training library gives it.
    n_features
        Width of a row.
    divisor
        The sum is divided by it: the number of trees where these are averaged, else 1.
    link
        ``sigmoid`` turns the score s into 1 / (1 + exp(-s)); ``identity`` leaves it.
    accepts_infinity
        Whether the training library predicts for infinite values, or refuses them.
    encoding
        The columns that `feature` counts. Default: the features as they are.
    """

    feature: Int64s
    threshold: Float64s
    true_child: Int64s
    false_child: Int64s
    missing_true: Bools
    roots: Int64s
    leaf_weight: Float64s
    leaf_tree: Int64s
    leaf_number: Int64s
    n_features: int
    divisor: int
    link: Link
    accepts_infinity: bool
    encoding: Encoding | None = None

    def __post_init__(self) -> None:
        children = np.concatenate([self.true_child, self.false_child])
        in_range = (children < self.n_splits) & (~children < len(self.leaf_weight))
        if not (in_range.all() and (self.feature >= 0).all() and (self.feature < self.columns.n_columns).all()):
            raise ParityError("the trees refer to a node or feature that does not exist; the model file is damaged")
        if not np.isfinite(self.leaf_weight).all() or np.isnan(self.threshold).any():
            raise ParityError("the trees hold NaN or infinite numbers and give no usable probability")

    @property
    def columns(self) -> Encoding:
        """What becomes of a row before it is compared."""
        return self.encoding or Encoding(self.n_features)

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.roots)

    @property
    def n_splits(self) -> int:
        """Number of splits over all trees."""
        return len(self.feature)

    def used_features(self) -> Int64s:
        """Features that the splits ask for, ascending, at least one."""
        return np.unique(self.columns.sources()[self.feature]) if self.n_splits else np.zeros(1, dtype=np.int64)

    def with_columns(self, place: Int64s, width: int) -> TreeEnsemble:
        """The same trees for rows of `width` columns that have feature i at ``place[i]``."""
        of_feature = self.feature < self.n_features
        moved = np.where(
            of_feature, place[np.where(of_feature, self.feature, 0)], self.feature - self.n_features + width
        )
        encoding = self.columns.moved(place, width, self.used_features())
        return replace(self, feature=moved, n_features=width, encoding=encoding)


def from_lightgbm(booster: Booster) -> TreeEnsemble:
    """The trees that ``booster.predict`` uses: up to ``best_iteration`` after early stopping, else all.

    Raises ParityError if the model has something that ONNX cannot repeat exactly; the message names it.
    """
    model = parse_model(booster.model_to_string())
    encoding = _encoding(model)
    columns = {membership: encoding.n_features + at for at, membership in enumerate(encoding.memberships)}
    return _assemble(
        [_lightgbm_part(tree, columns) for tree in model.trees],
        n_features=model.n_features,
        divisor=len(model.trees) if model.averaged else 1,
        link="sigmoid",
        accepts_infinity=True,
        encoding=encoding,
    )


def from_random_forest(model: RandomForestClassifier) -> TreeEnsemble:
    """The trees of a fitted binary forest; the score is the mean probability of class 1.

    Equal to ``model.predict_proba(X)[:, 1]`` on float32 rows with ``n_jobs=1``: with more jobs scikit-learn adds the
    trees in the order in which its threads finish. Infinite values, which scikit-learn refuses, compare as numbers.

    Raises ParityError if the forest was not fitted on the labels 0 and 1, both present.
    """
    classes = np.asarray(model.classes_).tolist()
    if classes != [0, 1]:
        raise ParityError(
            f"this random forest cannot be exported: it was fitted on the labels {classes}; needed are 0 and 1",
            hint="the training part must hold rows of both classes",
        )
    return _assemble(
        [_forest_part(estimator.tree_) for estimator in model.estimators_],
        n_features=int(model.n_features_in_),
        divisor=len(model.estimators_),
        link="identity",
        accepts_infinity=False,
    )


@dataclass(frozen=True, eq=False)
class _TreePart:
    """One tree in its own numbering, children coded as in `TreeEnsemble`; the root is split 0."""

    feature: Int64s
    threshold: Float64s
    true_child: Int64s
    false_child: Int64s
    missing_true: Bools
    leaf_weight: Float64s
    leaf_number: Int64s


def _lone_leaf(weight: float) -> _TreePart:
    """A tree without a split, written as ONNX wants it: one split whose two sides are the same leaf."""
    leaf = np.array([~0])
    return _TreePart(np.array([0]), np.array([0.0]), leaf, leaf, np.array([True]), np.array([weight]), np.array([0]))


def _encoding(model: LightgbmModel) -> Encoding:
    """Features whose zeros are missing, and the sets of categories that splits ask for, each once."""
    sets: set[tuple[int, tuple[int, ...]]] = set()
    zero: set[int] = set()
    other: set[int] = set()
    for tree in model.trees:
        for feature, categories, missing in zip(
            tree.feature.tolist(), tree.categories, tree.missing_type.tolist(), strict=True
        ):
            if categories is not None:
                sets.add((feature, categories))
            else:
                (zero if missing == MISSING_ZERO else other).add(feature)
    mixed = sorted((zero & other) | ({feature for feature, _ in sets} & (zero | other)))
    if mixed:
        raise ParityError(
            f"the trees take feature {mixed[0]} as category and as number, or its zeros as missing and as numbers"
        )
    return Encoding(model.n_features, frozenset(zero), tuple(Membership(*each) for each in sorted(sets)))


def _lightgbm_part(tree: LightgbmTree, columns: Mapping[Membership, int]) -> _TreePart:
    if not len(tree.feature):
        return _lone_leaf(float(tree.leaf_value[0]))
    # Without a missing type at a split, LightGBM compares NaN as 0; with "zero", the encoding has made zeros NaN.
    by_default = tree.missing_type != MISSING_NONE
    feature, threshold = tree.feature.copy(), _unflushed(tree.threshold)
    true_child, false_child = tree.left.copy(), tree.right.copy()
    for split, categories in enumerate(tree.categories):
        if categories is not None:  # the column holds 1 for a member, which goes left
            feature[split] = columns[Membership(int(tree.feature[split]), categories)]
            threshold[split] = _MEMBERSHIP_BOUND
            true_child[split], false_child[split] = tree.right[split], tree.left[split]
    return _TreePart(
        feature=feature,
        threshold=threshold,
        true_child=true_child,
        false_child=false_child,
        missing_true=np.where(by_default, tree.default_left, threshold >= 0.0),
        leaf_weight=tree.leaf_value,
        leaf_number=np.arange(len(tree.leaf_value), dtype=np.int64),
    )


def _unflushed(threshold: Float64s) -> Float64s:
    """Thresholds that send unrounded values where LightGBM sends values after replacing |x| <= 1e-35 by 0.

    All such x go where 0 goes: a threshold in [0, 1e-35) must let them all pass, one in [-1e-35, 0) none of them.
    """
    passes_zero = (threshold >= 0.0) & (threshold < _LIGHTGBM_ZERO)
    stops_zero = (threshold < 0.0) & (threshold >= -_LIGHTGBM_ZERO)
    below = np.nextafter(-_LIGHTGBM_ZERO, -np.inf)
    return np.where(passes_zero, _LIGHTGBM_ZERO, np.where(stops_zero, below, threshold))


def from_xgboost(text: str) -> TreeEnsemble:
    """The trees of an XGBoost model, given as its JSON; the base score is part of the first tree's leaves.

    XGBoost adds the weights of the leaves in float32; here they are added in float64. Leaves reached are the same.

    Raises IntegrityError or ParityError as `ml.export.trees.xgboost_json.parse_model`.
    """
    model = parse_xgboost(text)
    parts = [_xgboost_part(tree) for tree in model.trees]
    parts[0] = replace(parts[0], leaf_weight=parts[0].leaf_weight + model.base)
    return _assemble(parts, n_features=model.n_features, divisor=1, link="sigmoid", accepts_infinity=True)


def _xgboost_part(tree: XgboostTree) -> _TreePart:
    weights = tree.threshold.astype(np.float64)[tree.left < 0]
    if tree.left[0] < 0:
        return _lone_leaf(float(weights[0]))
    # A row goes left where its value is below the threshold: at most the float32 before it.
    below = np.nextafter(tree.threshold, np.float32(-np.inf)).astype(np.float64)
    return _numbered_together(tree.left, tree.right, tree.feature, below, tree.default_left, weights)


def _forest_part(tree: Tree) -> _TreePart:
    is_leaf = np.asarray(tree.children_left) < 0
    weights = np.asarray(tree.value, dtype=np.float64)[is_leaf, 0, 1]
    if is_leaf[0]:
        return _lone_leaf(float(weights[0]))
    return _numbered_together(
        np.asarray(tree.children_left),
        np.asarray(tree.children_right),
        np.asarray(tree.feature, dtype=np.int64),
        np.asarray(tree.threshold, dtype=np.float64),
        np.asarray(tree.missing_go_to_left, dtype=np.bool_),
        weights,
    )


def _numbered_together(
    left: Int64s,
    right: Int64s,
    feature: Int64s,
    threshold: Float64s,
    missing_left: Bools,
    leaf_weight: Float64s,
) -> _TreePart:
    """A tree whose library numbers splits and leaves together; here each kind is numbered for itself."""
    is_leaf = left < 0
    codes = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    splits = ~is_leaf
    return _TreePart(
        feature=feature[splits],
        threshold=threshold[splits],
        true_child=codes[left[splits]],
        false_child=codes[right[splits]],
        missing_true=missing_left[splits],
        leaf_weight=leaf_weight,
        leaf_number=np.flatnonzero(is_leaf),
    )


def _assemble(
    parts: list[_TreePart],
    *,
    n_features: int,
    divisor: int,
    link: Link,
    accepts_infinity: bool,
    encoding: Encoding | None = None,
) -> TreeEnsemble:
    """Join the trees into one numbering, keeping their order."""
    split_counts = [len(part.feature) for part in parts]
    leaf_counts = [len(part.leaf_weight) for part in parts]
    first_split = np.concatenate([[0], np.cumsum(split_counts)[:-1]]).astype(np.int64)
    first_leaf = np.concatenate([[0], np.cumsum(leaf_counts)[:-1]]).astype(np.int64)

    def moved(side: list[Int64s]) -> Int64s:
        child = np.concatenate(side).astype(np.int64)
        to_split, to_leaf = np.repeat(first_split, split_counts), np.repeat(first_leaf, split_counts)
        return np.where(child >= 0, child + to_split, child - to_leaf)

    return TreeEnsemble(
        feature=np.concatenate([part.feature for part in parts]),
        threshold=np.concatenate([part.threshold for part in parts]),
        true_child=moved([part.true_child for part in parts]),
        false_child=moved([part.false_child for part in parts]),
        missing_true=np.concatenate([part.missing_true for part in parts]),
        roots=first_split,
        leaf_weight=np.concatenate([part.leaf_weight for part in parts]),
        leaf_tree=np.repeat(np.arange(len(parts), dtype=np.int64), leaf_counts),
        leaf_number=np.concatenate([part.leaf_number for part in parts]),
        n_features=n_features,
        divisor=divisor,
        link=link,
        accepts_infinity=accepts_infinity,
        encoding=encoding,
    )
