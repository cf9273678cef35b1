"""What a random forest that comes from a file must be before scikit-learn may predict with it.

scikit-learn trusts the arrays of a fitted tree: a child or feature out of range is read from foreign memory, and a
node that leads back to itself is walked for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from ml.errors import IntegrityError

_NO_CHILD = -1


def checked_forest(value: Any, file_name: str) -> RandomForestClassifier:
    """`value`, if it is a fitted forest of sound trees that all have its width.

    Raises
    ------
    IntegrityError
        If it is anything else; the message names the file.
    """
    if not isinstance(value, RandomForestClassifier):
        raise IntegrityError(f"{file_name} holds a {type(value).__name__}, not a random forest")
    reason = _defect(value)
    if reason:
        raise IntegrityError(f"{file_name} does not hold a fitted random forest: {reason}")
    return value


def _defect(forest: RandomForestClassifier) -> str | None:
    width, trees = getattr(forest, "n_features_in_", None), getattr(forest, "estimators_", None)
    if not isinstance(width, int) or not isinstance(trees, list) or not trees:
        return "it has no trees"
    n_classes = np.size(getattr(forest, "classes_", ()))
    for number, tree in enumerate(trees):
        nodes = getattr(tree, "tree_", None)
        if not isinstance(tree, DecisionTreeClassifier) or not isinstance(nodes, Tree):
            return f"tree {number} is not a fitted decision tree"
        if nodes.n_features != width:
            return f"tree {number} has {nodes.n_features} features and the forest {width}"
        if nodes.n_outputs != 1 or nodes.n_classes.tolist() != [n_classes]:
            return f"tree {number} has other classes than the forest"
        if not _is_sound(nodes):
            return f"tree {number} has nodes, features or values that cannot be"
    try:
        forest.predict_proba(np.zeros((1, width), dtype=np.float32))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"it cannot predict ({error})"
    return None


def _is_sound(nodes: Tree) -> bool:
    """Whether every node but the root is the child of one earlier node, which scikit-learn's builders guarantee."""
    left, right = nodes.children_left, nodes.children_right
    splits = np.flatnonzero(left != _NO_CHILD)
    children = np.concatenate([left[splits], right[splits]])
    return bool(
        nodes.node_count > 0
        and np.array_equal(np.sort(children), np.arange(1, nodes.node_count))
        and (children > np.tile(splits, 2)).all()
        and ((nodes.feature[splits] >= 0) & (nodes.feature[splits] < nodes.n_features)).all()
        and not np.isnan(nodes.threshold[splits]).any()  # infinity parts missing values from all others
        and np.isfinite(nodes.value).all()
    )
