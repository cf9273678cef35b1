"""``reasons.onnx``: features in, the contribution of each sensor to the score out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from ml.export.builder import DOUBLE, FLOAT, ML_DOMAIN, GraphBuilder, value_info
from ml.export.graph.model import INPUT
from ml.export.graph.parts import add_scaling
from ml.export.graph.scaling import StoredScaling
from ml.export.trees.encoding import add_encoding
from ml.export.trees.ensemble import TreeEnsemble

CONTRIBUTIONS = "contributions"
_ML_OPSET = 3  # the last in which a leaf of a tree has several targets


def build_reasons(
    ensemble: TreeEnsemble, table: NDArray[np.float64], *, scaling: StoredScaling | None, metadata: Mapping[str, str]
) -> bytes:
    """The ONNX model that adds up `table` (n_leaves, n_sensors) over the leaves that a row reaches.

    Input as of ``model.onnx``: ``input`` float32 (N, n_features), not scaled. Output: ``contributions`` float32
    (N, n_sensors), in units of the score (log-odds), rounded once from float64.
    """
    graph = GraphBuilder()
    scaled = add_scaling(graph, INPUT, scaling, ensemble.n_features)
    rows = graph.node("Cast", [add_encoding(graph, scaled, ensemble.columns)], "rows", to=DOUBLE)
    graph.node(
        "TreeEnsembleRegressor",
        [rows],
        CONTRIBUTIONS,
        domain=ML_DOMAIN,
        n_targets=table.shape[1],
        aggregate_function="SUM",
        post_transform="NONE",
        **_nodes(ensemble),
        **_targets(ensemble, table),
    )
    inputs = [value_info(INPUT, FLOAT, ["N", ensemble.n_features])]
    outputs = [value_info(CONTRIBUTIONS, FLOAT, ["N", table.shape[1]])]
    return graph.to_bytes("reasons", inputs, outputs, metadata, ml_opset=_ML_OPSET)


def _nodes(ensemble: TreeEnsemble) -> dict[str, object]:
    """Splits under their own numbers, then leaves; onnxruntime wants those of a tree together, its root first."""
    n_splits, n_leaves = ensemble.n_splits, len(ensemble.leaf_weight)
    tree = np.concatenate([np.searchsorted(ensemble.roots, np.arange(n_splits), "right") - 1, ensemble.leaf_tree])
    order = np.argsort(tree, kind="stable")

    def of_splits(values: NDArray[np.int64]) -> list[int]:
        listed: list[int] = np.concatenate([values, np.zeros(n_leaves, dtype=np.int64)])[order].tolist()
        return listed

    def number(child: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(child >= 0, child, n_splits + ~child)

    bounds = np.concatenate([ensemble.threshold, np.zeros(n_leaves)])[order]
    return {
        "nodes_treeids": tree[order].tolist(),
        "nodes_nodeids": order.tolist(),
        "nodes_modes": np.array(["BRANCH_LEQ"] * n_splits + ["LEAF"] * n_leaves)[order].tolist(),
        "nodes_featureids": of_splits(ensemble.feature),
        "nodes_values_as_tensor": numpy_helper.from_array(bounds, "nodes_values"),
        "nodes_truenodeids": of_splits(number(ensemble.true_child)),
        "nodes_falsenodeids": of_splits(number(ensemble.false_child)),
        "nodes_missing_value_tracks_true": of_splits(ensemble.missing_true.astype(np.int64)),
    }


def _targets(ensemble: TreeEnsemble, table: NDArray[np.float64]) -> dict[str, object]:
    """What each leaf adds to which sensor; zeros are left out, but a leaf without any keeps one."""
    wanted = table != 0
    wanted[:, 0] |= ~wanted.any(axis=1)
    leaf, sensor = np.nonzero(wanted)
    return {
        "target_treeids": ensemble.leaf_tree[leaf].tolist(),
        "target_nodeids": (ensemble.n_splits + leaf).tolist(),
        "target_ids": sensor.tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(table[leaf, sensor], "target_weights"),
    }
