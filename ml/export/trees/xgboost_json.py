"""XGBoost's own model JSON, read into arrays and checked, because XGBoost trusts the file it loads."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.arrays import Bools, Float32s, Int64s
from ml.errors import IntegrityError, ParityError

_NO_CHILD = -1
_OBJECTIVE = "binary:logistic"
_LONGEST = 1_000_000  # nodes of one tree


@dataclass(frozen=True, eq=False)
class XgboostTree:
    """One tree, splits and leaves numbered together; a leaf has the child -1 and its weight for a threshold."""

    left: Int64s
    right: Int64s
    feature: Int64s
    threshold: Float32s
    default_left: Bools


@dataclass(frozen=True)
class XgboostModel:
    """What the JSON says; `base` is the score before the first tree, in log-odds."""

    trees: tuple[XgboostTree, ...]
    n_features: int
    base: float


def parse_model(text: str) -> XgboostModel:
    """Read the output of ``Booster.save_raw("json")``.

    Raises IntegrityError if the text is not whole, or its nodes do not form trees over features that exist, and
    ParityError if the model is not of one binary probability, or splits by categories.
    """
    try:
        learner = json.loads(text)["learner"]
        settings = learner["learner_model_param"]
        width, base = int(settings["num_feature"]), float(np.float32(str(settings["base_score"]).strip("[]")))
        booster, objective = learner["gradient_booster"], learner["objective"]["name"]
        if objective != _OBJECTIVE or booster["name"] != "gbtree" or not 0 < base < 1:
            raise ParityError(f"an XGBoost model of {objective} by {booster['name']} cannot be exported exactly")
        trees = tuple(_tree(each, width) for each in booster["model"]["trees"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise IntegrityError(f"it is not a whole XGBoost model ({type(error).__name__})") from None
    if not trees or width < 1:
        raise ParityError("the XGBoost model holds no trees")
    return XgboostModel(trees, n_features=width, base=math.log(base / (1 - base)))


def _tree(content: dict[str, Any], width: int) -> XgboostTree:
    if any(content["split_type"]):
        raise ParityError("an XGBoost model with categorical splits cannot be exported exactly")
    tree = XgboostTree(
        left=np.array(content["left_children"], dtype=np.int64),
        right=np.array(content["right_children"], dtype=np.int64),
        feature=np.array(content["split_indices"], dtype=np.int64),
        threshold=np.array(content["split_conditions"], dtype=np.float32),
        default_left=np.array(content["default_left"], dtype=np.int64) != 0,
    )
    if not _is_sound(tree, width):
        raise IntegrityError("it holds a tree whose nodes, features or values cannot be")
    return tree


def _is_sound(tree: XgboostTree, width: int) -> bool:
    """Whether every node but the root is the child of one earlier node, and every number is one."""
    count = len(tree.left)
    if any(part.shape != (count,) for part in vars(tree).values()) or not 0 < count <= _LONGEST:
        return False
    splits = np.flatnonzero(tree.left != _NO_CHILD)
    children = np.concatenate([tree.left[splits], tree.right[splits]])
    return bool(
        np.array_equal(np.sort(children), np.arange(1, count))
        and (children > np.tile(splits, 2)).all()
        and (tree.right[tree.left == _NO_CHILD] == _NO_CHILD).all()
        and ((tree.feature[splits] >= 0) & (tree.feature[splits] < width)).all()
        and np.isfinite(tree.threshold).all()
    )
