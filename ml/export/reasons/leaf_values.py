"""What each leaf says about each sensor: a table whose sums over a row's leaves are the row's contributions.

Exact contributions (SHAP values, Lundberg and Lee, NeurIPS 2017) depend on a whole row, and a graph that computed them
would visit every leaf. The table starts from the path to a leaf: each split adds the change of the expected score to
its sensor (Saabas, "Interpreting random forests", 2014). Ridge regression on rows whose exact contributions are known
then corrects it. `ml.export.reasons.agreement` measures what is left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml.export.trees.ensemble import TreeEnsemble

RIDGE = 3.0  # of 3, 30 and 300 the one that agrees best on the simulated station; the others lose 1 to 3 in 100 rows
_UNIT = 2.0**-20  # sums of its multiples are exact in any order, so a row does not depend on its batch
_UNSEEN = 0.5  # rows counted for a leaf that no row reached

_Doubles = NDArray[np.float64]
_Integers = NDArray[np.int64]


def leaf_table(
    ensemble: TreeEnsemble, sensor_shares: _Doubles, leaves: _Integers, exact: _Doubles
) -> tuple[_Doubles, float]:
    """The table, and the expected score that contributions are counted from.

    Parameters
    ----------
    sensor_shares
        (n_features, n_sensors): how much of each feature belongs to each sensor; rows sum to 1.
    leaves
        (n_rows, n_trees): the leaf that each row reaches in each tree, as positions in the ensemble.
    exact
        (k, n_sensors): exact contributions of the first k rows, in units of the score.

    Returns
    -------
    tuple
        float64 (n_leaves, n_sensors), multiples of 2^-20, and the expected score. A row's contributions and the
        expected score add up to its score, but for rounding.
    """
    reached = np.bincount(leaves.ravel(), minlength=len(ensemble.leaf_weight)).astype(np.float64)
    table, expected = _along_paths(ensemble, sensor_shares, reached + _UNSEEN)
    known = leaves[: len(exact)]
    rest = exact - summed(table, known)
    same_leaves = np.zeros((len(known), len(known)))
    for tree in known.T:
        same_leaves += tree[:, None] == tree[None, :]
    weights = np.linalg.solve(same_leaves + RIDGE * np.eye(len(known)), rest)
    np.add.at(table, known.ravel(), np.repeat(weights, known.shape[1], axis=0))
    _make_sums_right(table, ensemble.leaf_weight / ensemble.divisor - expected[ensemble.leaf_tree])
    return np.round(table / _UNIT) * _UNIT, float(expected.sum())


def summed(table: _Doubles, leaves: _Integers) -> _Doubles:
    """Contributions (n_rows, n_sensors) of rows by the leaves that they reach."""
    total = np.zeros((len(leaves), table.shape[1]))
    for tree in leaves.T:
        total += table[tree]
    return total


def positions_of_leaves(ensemble: TreeEnsemble, numbers: _Integers) -> _Integers:
    """Positions in the ensemble of leaves (n_rows, n_trees) that are given in the numbers of the training library."""
    found = np.empty_like(numbers)
    for tree in range(ensemble.n_trees):
        own = np.flatnonzero(ensemble.leaf_tree == tree)
        own = own[np.argsort(ensemble.leaf_number[own], kind="stable")]
        found[:, tree] = own[np.searchsorted(ensemble.leaf_number[own], numbers[:, tree])]
    return found


def _along_paths(ensemble: TreeEnsemble, sensor_shares: _Doubles, reached: _Doubles) -> tuple[_Doubles, _Doubles]:
    """What the splits on the way to each leaf add to each sensor, and the expected weight of each tree."""
    sources = ensemble.columns.sources()[ensemble.feature]
    weight = ensemble.leaf_weight / ensemble.divisor
    value, rows = np.zeros(ensemble.n_splits), np.zeros(ensemble.n_splits)
    levels = _levels(ensemble)
    for splits in reversed(levels):
        sides = np.stack([ensemble.true_child[splits], ensemble.false_child[splits]])
        side_rows = np.where(sides >= 0, rows[np.maximum(sides, 0)], reached[~np.minimum(sides, -1)])
        side_value = np.where(sides >= 0, value[np.maximum(sides, 0)], weight[~np.minimum(sides, -1)])
        rows[splits] = side_rows.sum(axis=0)
        value[splits] = (side_rows * side_value).sum(axis=0) / rows[splits]
    so_far = np.zeros((ensemble.n_splits, sensor_shares.shape[1]))
    table = np.zeros((len(weight), sensor_shares.shape[1]))
    for splits in levels:
        for child in (ensemble.true_child[splits], ensemble.false_child[splits]):
            is_leaf = child < 0
            moved = np.where(is_leaf, weight[~np.minimum(child, -1)], value[np.maximum(child, 0)]) - value[splits]
            added = so_far[splits] + moved[:, None] * sensor_shares[sources[splits]]
            table[~child[is_leaf]] = added[is_leaf]
            so_far[child[~is_leaf]] = added[~is_leaf]
    return table, value[ensemble.roots]


def _levels(ensemble: TreeEnsemble) -> list[_Integers]:
    """The splits of all trees by their depth."""
    levels, splits = [], ensemble.roots
    while splits.size:
        levels.append(splits)
        below = np.concatenate([ensemble.true_child[splits], ensemble.false_child[splits]])
        splits = below[below >= 0]
    return levels


def _make_sums_right(table: _Doubles, wanted: _Doubles) -> None:
    """Spread what a leaf's values lack of its weight over its sensors, in proportion to their size."""
    size = np.abs(table)
    total = size.sum(axis=1, keepdims=True)
    share = np.divide(size, total, out=np.zeros_like(size), where=total > 0)
    table += (wanted - table.sum(axis=1))[:, None] * share
