"""LightGBM's own model text, read into arrays, with a refusal for everything that ONNX could not repeat exactly.

The text rather than ``dump_model``: it writes every double with 17 digits, so it returns as the same double, and it is
flat, so a deep tree cannot exhaust a recursion limit. A text that LightGBM itself would not have written is refused as
damaged, so a text that passed can be given to LightGBM, which does not check it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.arrays import Bools, Float64s, Int64s
from ml.errors import IntegrityError, ParityError
from ml.export.trees.encoding import MAX_CATEGORY

MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
_CATEGORICAL_BIT, _DEFAULT_LEFT_BIT = 1, 2
_WORD_BITS = 32
_LARGEST_DECISION = _DEFAULT_LEFT_BIT | MISSING_NAN << 2

_END_OF_TREES = "end of trees"
_NUMBERS = re.compile(r"(?:[-+.0-9eE]|\binf\b| )*")
_MAY_BE_INFINITE = "threshold"  # a split that only sends NaN the other way has the threshold inf
_OTHER_PER_SPLIT = ("split_gain", "internal_value", "internal_weight", "internal_count")
_OTHER_PER_LEAF = ("leaf_weight", "leaf_count")


@dataclass(frozen=True, eq=False)
class LightgbmTree:
    """One tree, in LightGBM's numbering: a child below zero is the leaf ``~child``; no splits for a lone leaf.

    Attributes
    ----------
    categories
        Per split: None where it compares with the threshold, else the categories that go left; the others, and what
        is missing, go right.
    """

    feature: Int64s
    threshold: Float64s
    categories: tuple[tuple[int, ...] | None, ...]
    left: Int64s
    right: Int64s
    default_left: Bools
    missing_type: Int64s
    leaf_value: Float64s


@dataclass(frozen=True)
class LightgbmModel:
    """What the text says: the trees, the number of features, and whether the trees are averaged (``boosting=rf``)."""

    trees: tuple[LightgbmTree, ...]
    n_features: int
    averaged: bool


def parse_model(text: str) -> LightgbmModel:
    """Read the output of ``Booster.model_to_string``.

    Raises
    ------
    IntegrityError
        The text is cut off or was changed: trees of another size than its header says, arrays of another length than
        the tree, missing or infinite numbers, features that do not exist, or nodes that do not form one tree.
    ParityError
        The model is not binary with ``sigmoid=1``, has linear leaves, or more categories than are exported.
    """
    header_text, separator, body = text.partition("\n\n")
    if not header_text.startswith("tree\n") or not separator:
        raise _damaged("it does not begin like one")
    header = _fields(header_text)
    n_features = _integer(header, "max_feature_idx") + 1
    for key in ("feature_names", "feature_infos"):
        if len(header.get(key, "").split()) != n_features:
            raise _damaged(f"{key} does not list {n_features} features")
    tree_texts = _tree_texts(body, _numbers(header, "tree_sizes", np.int64))
    _check_header(header)
    if not tree_texts:
        raise _refusal("it holds no trees")
    trees = tuple(_tree(_fields(tree_text), n_features) for tree_text in tree_texts)
    return LightgbmModel(trees, n_features=n_features, averaged="average_output" in header)


def _tree_texts(body: str, sizes: Int64s) -> list[str]:
    """The text of each tree, by the sizes in the header, which LightGBM follows blindly."""
    texts: list[str] = []
    start = 0
    for number, size in enumerate(sizes.tolist()):
        texts.append(body[start : start + max(size, 0)])
        start += len(texts[-1])
        if not texts[-1].isascii() or "\r" in texts[-1]:
            raise _damaged(f"tree {number} holds characters that belong to no number")
        first_line, _, fields = texts[-1].partition("\n")
        if first_line != f"Tree={number}" or not fields.endswith("\n\n\n") or "\n\n" in fields[:-3]:
            raise _damaged(f"tree {number} of {len(sizes)} is not as long as the header says")
    if not body.startswith(_END_OF_TREES + "\n", start):
        raise _damaged(f'there is no "{_END_OF_TREES}" after the {len(sizes)} trees that the header lists')
    if "\nparameters:" in body and "\nend of parameters\n" not in body:
        raise _damaged("its parameters are cut off")
    return texts


def _fields(text: str) -> dict[str, str]:
    """``key=value`` lines as a dict; a line without ``=`` is a flag."""
    fields: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        key, _, value = line.partition("=")
        if key in fields:
            raise _damaged(f"{key} is there twice")
        fields[key] = value
    return fields


def _check_header(header: dict[str, str]) -> None:
    if header.get("num_class") != "1" or header.get("num_tree_per_iteration") != "1":
        raise _refusal(f"it has {header.get('num_class')} classes; only binary models have one output")
    objective, *parameters = header.get("objective", "").split() or ["none"]
    if objective != "binary":
        raise _refusal(f'its objective is "{objective}"; only "binary" is supported')
    steepness = next((part.partition(":")[2] for part in parameters if part.startswith("sigmoid:")), "1")
    if _number_list(steepness, "sigmoid", np.float64).tolist() != [1.0]:
        raise _refusal(f"its parameter sigmoid is {steepness}; only 1 is supported")


def _tree(fields: dict[str, str], n_features: int) -> LightgbmTree:
    if fields.get("is_linear", "0") != "0":
        raise _refusal("its leaves are linear functions (linear_tree)")
    decision = _numbers(fields, "decision_type", np.int64)
    threshold = _numbers(fields, "threshold", np.float64)
    tree = LightgbmTree(
        feature=_numbers(fields, "split_feature", np.int64),
        threshold=threshold,
        categories=_categories(fields, threshold, (decision & _CATEGORICAL_BIT) > 0),
        left=_numbers(fields, "left_child", np.int64),
        right=_numbers(fields, "right_child", np.int64),
        default_left=(decision & _DEFAULT_LEFT_BIT) > 0,
        missing_type=(decision >> 2) & 3,
        leaf_value=_numbers(fields, "leaf_value", np.float64),
    )
    _check_lengths(fields, tree)
    _check_splits(tree, decision, n_features)
    return tree


def _categories(fields: dict[str, str], threshold: Float64s, categorical: Bools) -> tuple[tuple[int, ...] | None, ...]:
    """The sets of a tree's splits: the threshold of a categorical split is the number of its set of bits."""
    n_sets = _integer(fields, "num_cat")
    if len(threshold) != len(categorical):
        raise _damaged("threshold and decision_type of a tree differ in length")
    if not n_sets and not categorical.any():
        return (None,) * len(threshold)
    bounds, words = _numbers(fields, "cat_boundaries", np.int64), _numbers(fields, "cat_threshold", np.int64)
    sizes = np.diff(bounds)
    if len(bounds) != n_sets + 1 or bounds[0] != 0 or bounds[-1] != len(words) or (sizes < 1).any():
        raise _damaged("cat_boundaries of a tree do not divide its cat_threshold")
    if ((words < 0) | (words >= 1 << _WORD_BITS)).any():
        raise _damaged("cat_threshold of a tree holds something else than 32 bits")
    if sorted(threshold[categorical].tolist()) != list(range(n_sets)):
        raise _damaged("the categorical splits of a tree do not name each set of categories once")
    if (sizes > (MAX_CATEGORY + 1) // _WORD_BITS).any():
        raise _refusal(f"it has categories above {MAX_CATEGORY}")
    sets = [_members(words[start:stop].tolist()) for start, stop in pairwise(bounds.tolist())]
    if not all(sets):
        raise _damaged("a categorical split of a tree has no category")
    return tuple(sets[int(number)] if is_set else None for number, is_set in zip(threshold, categorical, strict=True))


def _members(words: list[int]) -> tuple[int, ...]:
    """The numbers of the bits that are set."""
    return tuple(bit for bit in range(len(words) * _WORD_BITS) if words[bit // _WORD_BITS] >> bit % _WORD_BITS & 1)


def _check_lengths(fields: dict[str, str], tree: LightgbmTree) -> None:
    """Refuse arrays that do not fit the number of leaves, also those that only LightGBM reads."""
    n_leaves = _integer(fields, "num_leaves")
    if n_leaves < 1 or len(_numbers(fields, "shrinkage", np.float64)) != 1:
        raise _damaged("num_leaves or shrinkage of a tree is not possible")
    lengths = {
        "split_feature": (len(tree.feature), n_leaves - 1),
        "threshold": (len(tree.threshold), n_leaves - 1),
        "left_child": (len(tree.left), n_leaves - 1),
        "right_child": (len(tree.right), n_leaves - 1),
        "decision_type": (len(tree.missing_type), n_leaves - 1),
        "leaf_value": (len(tree.leaf_value), n_leaves),
    }
    for keys, wanted in ((_OTHER_PER_SPLIT, n_leaves - 1), (_OTHER_PER_LEAF, n_leaves)):
        # LightGBM leaves some of them empty in a lone leaf, and reads none of them there.
        present = [key for key in keys if key in fields and (fields[key] or n_leaves > 1)]
        lengths |= {key: (len(_numbers(fields, key, np.float64)), wanted) for key in present}
    for key, (length, wanted) in lengths.items():
        if length != wanted:
            raise _damaged(f"{key} of a tree with {n_leaves} leaves has {length} numbers, not {wanted}")


def _check_splits(tree: LightgbmTree, decision: Int64s, n_features: int) -> None:
    """Refuse splits on features that do not exist, and children that do not make one tree of all nodes and leaves."""
    n_splits, n_leaves = len(tree.feature), len(tree.leaf_value)
    if ((tree.feature < 0) | (tree.feature >= n_features)).any():
        raise _damaged(f"split_feature names a feature that is not one of its {n_features}")
    if ((decision < 0) | (decision > _LARGEST_DECISION)).any():
        raise _damaged("decision_type has a value without a meaning")
    if not n_splits:
        return
    children = np.concatenate([tree.left, tree.right])
    each_once = np.concatenate([np.arange(-n_leaves, 0), np.arange(1, n_splits)])
    if not np.array_equal(np.sort(children), each_once):
        raise _damaged("left_child and right_child do not reach every node and leaf of a tree once")
    # LightGBM numbers a node after its parent, so a child before it closes a loop.
    if ((children >= 0) & (children <= np.tile(np.arange(n_splits), 2))).any():
        raise _damaged("left_child or right_child of a tree leads back to an earlier node")


def _integer(fields: dict[str, str], key: str) -> int:
    numbers = _numbers(fields, key, np.int64)
    if len(numbers) != 1:
        raise _damaged(f"{key} is not one number")
    return int(numbers[0])


def _numbers(fields: dict[str, str], key: str, dtype: type[np.generic]) -> NDArray[Any]:
    if key not in fields:
        raise _damaged(f"{key} is missing")
    return _number_list(fields[key], key, dtype)


def _number_list(text: str, key: str, dtype: type[np.generic]) -> NDArray[Any]:
    try:
        numbers = np.array(text.split() if _NUMBERS.fullmatch(text) else [text], dtype=dtype)
    except (ValueError, OverflowError):
        raise _damaged(f"{key} holds something else than numbers") from None
    if np.isnan(numbers).any() or (key != _MAY_BE_INFINITE and np.isinf(numbers).any()):
        raise _damaged(f"{key} holds NaN or infinite numbers")
    return numbers


def _damaged(reason: str) -> IntegrityError:
    return IntegrityError(
        f"the model text is not as LightGBM writes it: {reason}",
        hint="the file is cut off or was changed; save the model again",
    )


def _refusal(reason: str) -> ParityError:
    return ParityError(
        f"this LightGBM model cannot be exported exactly: {reason}",
        hint="train with objective binary, sigmoid 1, and without linear_tree",
    )
