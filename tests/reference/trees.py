"""Tree ensembles walked one row and one split at a time: slow, obvious, and independent of ONNX."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ml.export.trees.ensemble import TreeEnsemble


def _compared(ensemble: TreeEnsemble, row: NDArray[np.float32], column: int) -> float:
    """What a split sees: the feature; NaN for a zero that means missing; 1 or 0 for a member of a set or not."""
    encoding = ensemble.columns
    if column >= encoding.n_features:
        wanted = encoding.memberships[column - encoding.n_features]
        value = float(row[wanted.feature])
        return float(math.isfinite(value) and value > -1 and math.trunc(value) in wanted.categories)
    value = float(row[column])
    if column in encoding.zero_is_missing and abs(value) <= float(np.float32(1e-35)):
        return math.nan
    return value


def _reached_leaf(ensemble: TreeEnsemble, row: NDArray[np.float32], root: int) -> int:
    node = root
    while node >= 0:
        value = _compared(ensemble, row, int(ensemble.feature[node]))
        true = bool(ensemble.missing_true[node]) if math.isnan(value) else value <= ensemble.threshold[node]
        node = int(ensemble.true_child[node] if true else ensemble.false_child[node])
    return ~node


def leaf_indices(ensemble: TreeEnsemble, X: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index into the leaf arrays that each row reaches in each tree, (n_rows, n_trees)."""
    return np.array([[_reached_leaf(ensemble, row, int(root)) for root in ensemble.roots] for row in X])


def leaf_numbers(ensemble: TreeEnsemble, X: NDArray[np.float32]) -> NDArray[np.int64]:
    """The same leaves in the training library's numbers, (n_rows, n_trees)."""
    return ensemble.leaf_number[leaf_indices(ensemble, X)]


def raw_scores(ensemble: TreeEnsemble, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of the leaf weights in the order of the trees, divided by the divisor, (n_rows,)."""
    scores = []
    for leaves in leaf_indices(ensemble, X):
        total = 0.0
        for leaf in leaves:
            total += float(ensemble.leaf_weight[leaf])
        scores.append(total / ensemble.divisor)
    return np.array(scores)


def probabilities(ensemble: TreeEnsemble, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of class 1, (n_rows,)."""
    scores = raw_scores(ensemble, X)
    if ensemble.link == "identity":
        return scores
    return np.array([1.0 / (1.0 + math.exp(-score)) for score in scores])
