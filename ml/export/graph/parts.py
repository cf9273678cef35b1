"""The parts that every exported graph ends with: scaler, trees, probabilities and label.

Each function adds nodes to a builder and returns the name of its result, so that a graph that makes the features
itself can put them between its own nodes and the outputs.
"""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from ml.arrays import Float64s, Int64s
from ml.errors import InternalError
from ml.export.builder import DOUBLE, FLOAT, INT64, ML_DOMAIN, GraphBuilder, value_info
from ml.export.graph.calibration import AS_IT_IS, Calibration, add_logistic
from ml.export.graph.forms import ModelForm, PlacedForm
from ml.export.graph.scaling import StoredScaling, scaling_constants
from ml.export.trees.encoding import add_encoding
from ml.export.trees.ensemble import TreeEnsemble

PROBABILITIES, LABEL = "probabilities", "label"
HEAD_OUTPUTS = (value_info(PROBABILITIES, FLOAT, ["N", 2]), value_info(LABEL, INT64, ["N"]))
_BRANCH_LEQ = 0
_AGGREGATE_SUM = 1


def add_scaling(graph: GraphBuilder, features: str, scaling: StoredScaling | None, n_features: int) -> str:
    """Scale float32 `features` (N, n_features) by a subtraction and a division.

    The ``Scaler`` operator multiplies by a reciprocal instead, which moves values across thresholds.
    """
    constants = scaling_constants(scaling, n_features)
    if constants is None:
        return features
    center, scale = constants
    centered = graph.node("Sub", [features, graph.constant("center", center)], "centered")
    return graph.node("Div", [centered, graph.constant("scale", scale)], "scaled")


def add_score(graph: GraphBuilder, features: str, form: PlacedForm, *, output: str = "score") -> str:
    """The score of float32 `features` (N, n_features), of trees the sum of leaf weights: float64 (N, 1).

    A graph with several sums of trees gives each an `output` of its own.
    """
    if not isinstance(form, TreeEnsemble):
        return form.add_score(graph, features)
    targets = np.zeros(len(form.leaf_weight), dtype=np.int64)
    return _add_trees(graph, features, form, form.leaf_weight, targets, n_targets=1, output=output)


def add_leaf_numbers(graph: GraphBuilder, features: str, ensemble: TreeEnsemble) -> str:
    """The leaf that each tree reaches, in the numbers of the training library: float64 (N, n_trees)."""
    numbers = ensemble.leaf_number.astype(np.float64)
    return _add_trees(
        graph, features, ensemble, numbers, ensemble.leaf_tree, n_targets=ensemble.n_trees, output="leaf_numbers"
    )


def add_head(
    graph: GraphBuilder, score: str, form: PlacedForm, threshold: float, calibration: Calibration = AS_IT_IS
) -> None:
    """Turn the float64 `score` (N, 1) into the outputs of `HEAD_OUTPUTS`; label = float32 probability >= threshold.

    A calibration takes the place of the model's own link.
    """
    one = graph.constant("one", np.float64(1.0))
    positive = _add_link(graph, _add_division(graph, score, form.divisor), form, calibration)
    negative = graph.node("Sub", [one, positive], "negative")
    both = graph.node("Concat", [negative, positive], "both", axis=1)
    graph.node("Cast", [both], PROBABILITIES, to=FLOAT)
    column = graph.constant("positive_column", np.int64(1))
    chosen = graph.node("Gather", [PROBABILITIES, column], "positive_probability", axis=1)
    limit = graph.constant("threshold", np.float32(threshold))
    reached = graph.node("GreaterOrEqual", [chosen, limit], "threshold_reached")
    graph.node("Cast", [reached], LABEL, to=INT64)


def _add_division(graph: GraphBuilder, score: str, divisor: int) -> str:
    if divisor == 1:
        return score
    return graph.node("Div", [score, graph.constant("divisor", np.float64(divisor))], "mean_score")


def _add_link(graph: GraphBuilder, score: str, form: PlacedForm, calibration: Calibration) -> str:
    if calibration.method != "none":
        return calibration.add(graph, score)
    return score if form.link == "identity" else add_logistic(graph, score)


def _add_trees(
    graph: GraphBuilder,
    features: str,
    ensemble: TreeEnsemble,
    leaf_weight: Float64s,
    leaf_target: Int64s,
    *,
    n_targets: int,
    output: str,
) -> str:
    """One TreeEnsemble in float64; leaf weights are summed per target in the order of the trees."""
    padding = _leaf_padding(ensemble)
    weights = np.concatenate([np.zeros(padding), leaf_weight])
    targets = np.concatenate([np.zeros(padding, dtype=np.int64), leaf_target])
    modes = np.full(ensemble.n_splits, _BRANCH_LEQ, dtype=np.uint8)

    def index(child: Int64s) -> list[int]:
        indices: list[int] = np.where(child >= 0, child, ~child + padding).tolist()
        return indices

    return graph.node(
        "TreeEnsemble",
        [graph.node("Cast", [add_encoding(graph, features, ensemble.columns)], f"{output}_input", to=DOUBLE)],
        output,
        domain=ML_DOMAIN,
        aggregate_function=_AGGREGATE_SUM,
        n_targets=n_targets,
        tree_roots=ensemble.roots.tolist(),
        nodes_modes=numpy_helper.from_array(modes, "nodes_modes"),
        nodes_featureids=ensemble.feature.tolist(),
        nodes_splits=numpy_helper.from_array(ensemble.threshold, "nodes_splits"),
        nodes_truenodeids=index(ensemble.true_child),
        nodes_falsenodeids=index(ensemble.false_child),
        nodes_trueleafs=(ensemble.true_child < 0).astype(np.int64).tolist(),
        nodes_falseleafs=(ensemble.false_child < 0).astype(np.int64).tolist(),
        nodes_missing_value_tracks_true=ensemble.missing_true.astype(np.int64).tolist(),
        leaf_weights=numpy_helper.from_array(weights, "leaf_weights"),
        leaf_targetids=targets.tolist(),
    )


def _leaf_padding(ensemble: TreeEnsemble) -> int:
    """How many unused leaves to put first, so that no root has a leaf and a split under the same index.

    onnxruntime 1.21 to 1.23 take a root whose two children have the same index for a lone leaf, although one index
    counts leaves and the other splits (microsoft/onnxruntime#24679).
    """
    true, false = ensemble.true_child[ensemble.roots], ensemble.false_child[ensemble.roots]
    mixed = (true < 0) != (false < 0)
    split = np.maximum(true, false)[mixed]
    leaf = ~np.minimum(true, false)[mixed]
    taken = set((split - leaf).tolist())
    return next(padding for padding in range(len(taken) + 1) if padding not in taken)


def check_width(form: ModelForm, n_features: int) -> None:
    """The model must have been trained on as many features as the graph gives it."""
    if form.n_features != n_features:
        raise InternalError(f"the model was trained on {form.n_features} features; the graph has {n_features}")
