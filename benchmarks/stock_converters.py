"""The ONNX files that onnxmltools and skl2onnx write, and how far they are from the models that they were made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxmltools
import skl2onnx
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier

from ml.export.onnx_runtime import onnxruntime
from ml.export.trees.ensemble import TreeEnsemble

Rows = np.ndarray[Any, np.dtype[np.float32]]
Json = dict[str, Any]
_OPSET = 15
_LEQ, _LT = b"BRANCH_LEQ", b"BRANCH_LT"


def of_lightgbm(booster: lightgbm.Booster) -> onnx.ModelProto:
    """LightGBM's booster by onnxmltools."""
    return onnxmltools.convert_lightgbm(
        booster, initial_types=_input(booster.num_feature()), target_opset=_OPSET, zipmap=False
    )


def of_xgboost(booster: Any) -> onnx.ModelProto:
    """XGBoost's booster by onnxmltools."""
    return onnxmltools.convert_xgboost(booster, initial_types=_input(booster.num_features()), target_opset=_OPSET)


def of_forest(forest: RandomForestClassifier) -> onnx.ModelProto:
    """scikit-learn's forest by skl2onnx."""
    wide = skl2onnx.common.data_types.FloatTensorType([None, forest.n_features_in_])
    return skl2onnx.to_onnx(forest, initial_types=[("input", wide)], options={"zipmap": False}, target_opset=_OPSET)


def _input(width: int) -> list[tuple[str, Any]]:
    return [("input", FloatTensorType([None, width]))]


def differences(
    model: onnx.ModelProto,
    ensemble: TreeEnsemble,
    predict: Callable[[Rows], Any],
    leaves: Callable[[Rows], Any],
    rows: Rows,
) -> Json:
    """Rows whose probability or label differs from the trained model's, and paths that end in another leaf."""
    session = onnxruntime.InferenceSession(model.SerializeToString())  # `open_model` refuses what we never export
    (probability,) = session.run(["probabilities"], {"input": rows})
    expected = np.asarray(predict(rows)).astype(np.float32)
    distance = np.abs(probability[:, 1].astype(np.float64) - expected)
    return {
        "stockRows": len(rows),
        "stockDifferingBits": int((probability[:, 1].view(np.uint32) != expected.view(np.uint32)).sum()),
        "stockBeyond1e-5": int((distance > 1e-5).sum()),
        "stockMaxDifference": float(distance.max()),
        "stockDifferingLabels": int(((probability[:, 1] >= 0.5) != (expected >= 0.5)).sum()),
        "stockDifferingLeaves": _differing_leaves(_Nodes.of(model), ensemble, leaves(rows), rows),
    }


@dataclass(frozen=True)
class _Nodes:
    """The nodes of a stock tree operator; leaves are numbered by tree in the order of their nodes."""

    roots: list[int]
    feature: Any
    threshold: Any
    is_leaf: Any
    strict: Any
    yes: Any
    no: Any
    missing_yes: Any
    leaf: Any

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Nodes:
        (operator,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
        values = {each.name: onnx.helper.get_attribute_value(each) for each in operator.attribute}
        tree, number = np.array(values["nodes_treeids"]), np.array(values["nodes_nodeids"])
        place = {key: at for at, key in enumerate(zip(tree.tolist(), number.tolist(), strict=True))}
        modes = np.array(values["nodes_modes"])
        is_leaf = (modes != _LEQ) & (modes != _LT)

        def child(name: str) -> Any:
            return np.array(
                [
                    0 if leaf else place[key]
                    for leaf, key in zip(is_leaf, zip(tree.tolist(), values[name], strict=True), strict=True)
                ]
            )

        return cls(
            roots=[int(np.flatnonzero(tree == each)[0]) for each in np.unique(tree)],
            feature=np.array(values["nodes_featureids"]),
            threshold=np.array(values["nodes_values"], dtype=np.float32),
            is_leaf=is_leaf,
            strict=modes == _LT,
            yes=child("nodes_truenodeids"),
            no=child("nodes_falsenodeids"),
            missing_yes=np.array(values.get("nodes_missing_value_tracks_true", np.zeros(len(tree)))) == 1,
            leaf=np.arange(len(tree)),
        )

    def reached(self, root: int, rows: Rows) -> Any:
        """Node of the leaf that each row reaches from `root`."""
        at = np.full(len(rows), root)
        while (inside := ~self.is_leaf[at]).any():
            node = at[inside]
            value, bound = rows[inside, self.feature[node]], self.threshold[node]
            goes = np.where(self.strict[node], value < bound, value <= bound)
            goes = np.where(np.isnan(value), self.missing_yes[node], goes)
            at[inside] = np.where(goes, self.yes[node], self.no[node])
        return at


def _differing_leaves(nodes: _Nodes, ensemble: TreeEnsemble, expected: Any, rows: Rows) -> int:
    """Paths that end in a leaf other than the one that most rows of the trained leaf reach."""
    differing = 0
    for tree, root in enumerate(nodes.roots[: ensemble.n_trees]):
        reached, trained = nodes.reached(root, rows), np.asarray(expected)[:, tree]
        pairs, count = np.unique(np.column_stack([trained, reached]), axis=0, return_counts=True)
        best = np.zeros(int(pairs[:, 0].max()) + 1, dtype=np.int64)
        np.maximum.at(best, pairs[:, 0].astype(np.int64), count)
        differing += int(count.sum() - best.sum())
    return differing
