"""LightGBM's own model text, read into arrays, with a refusal for everything that ONNX could not repeat exactly.

The text rather than ``dump_model``: it writes every double with 17 digits, so it returns as the same double, and it is
flat, so a deep tree cannot exhaust a recursion limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.errors import ParityError

MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
_CATEGORICAL_BIT, _DEFAULT_LEFT_BIT = 1, 2


@dataclass(frozen=True, eq=False)
class LightgbmTree:
    """One tree, in LightGBM's numbering: a child below zero is the leaf ``~child``; no splits for a lone leaf."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    default_left: NDArray[np.bool_]
    missing_type: NDArray[np.int64]
    leaf_value: NDArray[np.float64]


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
    ParityError
        The model is not binary with ``sigmoid=1``, or has linear leaves, categorical splits or ``zero_as_missing``.
    """
    header_text, *tree_texts = text.split("\nend of trees", maxsplit=1)[0].split("\nTree=")
    header = _fields(header_text)
    _check_header(header)
    trees = tuple(_tree(_fields(tree_text)) for tree_text in tree_texts)
    if not trees:
        raise _refusal("it holds no trees")
    return LightgbmModel(trees, n_features=int(header["max_feature_idx"]) + 1, averaged="average_output" in header)


def _fields(text: str) -> dict[str, str]:
    """``key=value`` lines as a dict; a line without ``=`` is a flag."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def _check_header(header: dict[str, str]) -> None:
    if header.get("num_class") != "1" or header.get("num_tree_per_iteration") != "1":
        raise _refusal(f"it has {header.get('num_class')} classes; only binary models have one output")
    objective, *parameters = header.get("objective", "none").split()
    if objective != "binary":
        raise _refusal(f'its objective is "{objective}"; only "binary" is supported')
    steepness = next((part.partition(":")[2] for part in parameters if part.startswith("sigmoid:")), "1")
    if float(steepness) != 1.0:
        raise _refusal(f"its parameter sigmoid is {steepness}; only 1 is supported")


def _tree(fields: dict[str, str]) -> LightgbmTree:
    if fields.get("is_linear", "0") != "0":
        raise _refusal("its leaves are linear functions (linear_tree)")
    decision = _numbers(fields, "decision_type", np.int64)
    if (decision & _CATEGORICAL_BIT).any():
        raise _refusal("it splits on categorical features")
    missing_type = (decision >> 2) & 3
    if (missing_type == MISSING_ZERO).any():
        raise _refusal("it treats zeros as missing values (zero_as_missing)")
    return LightgbmTree(
        feature=_numbers(fields, "split_feature", np.int64),
        threshold=_numbers(fields, "threshold", np.float64),
        left=_numbers(fields, "left_child", np.int64),
        right=_numbers(fields, "right_child", np.int64),
        default_left=(decision & _DEFAULT_LEFT_BIT) > 0,
        missing_type=missing_type,
        leaf_value=_numbers(fields, "leaf_value", np.float64),
    )


def _numbers(fields: dict[str, str], key: str, dtype: type[np.generic]) -> NDArray[Any]:
    return np.array(fields.get(key, "").split(), dtype=dtype)


def _refusal(reason: str) -> ParityError:
    return ParityError(
        f"this LightGBM model cannot be exported exactly: {reason}",
        hint="train with objective binary, sigmoid 1, numeric features, and without linear_tree or zero_as_missing",
    )
