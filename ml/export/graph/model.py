"""``model.onnx``: float32 features in, probabilities and label out, with the scaler folded in."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ml.errors import ParityError
from ml.export.builder import FLOAT, INT64, GraphBuilder, value_info
from ml.export.graph.calibration import AS_IT_IS, Calibration
from ml.export.graph.forms import ModelForm
from ml.export.graph.parts import HEAD_OUTPUTS, add_head, add_leaf_numbers, add_scaling, add_score, check_width
from ml.export.graph.scaling import StoredScaling
from ml.export.trees.ensemble import TreeEnsemble

INPUT = "input"
LEAVES = "leaves"


def build_model(
    form: ModelForm,
    *,
    n_features: int,
    scaling: StoredScaling | None,
    threshold: float,
    metadata: Mapping[str, str],
    calibration: Calibration = AS_IT_IS,
) -> bytes:
    """The ONNX model of `form`, byte for byte the same for the same arguments.

    Input ``input`` float32 (N, n_features), NaN = missing. Outputs, in this order: ``probabilities`` float32 (N, 2),
    where column 1 is the probability of a failure, rounded once from float64; ``label`` int64 (N,), 1 where that
    float32 probability is at least `threshold`, which is rounded to float32 first.

    Raises ParityError if the threshold is not a finite number, or the scaling constants are unusable.
    """
    check_width(form, n_features)
    if not math.isfinite(threshold):
        raise ParityError(f"the alarm threshold is {threshold}; allowed are finite numbers")
    graph = GraphBuilder()
    scaled = add_scaling(graph, INPUT, scaling, n_features)
    add_head(graph, add_score(graph, scaled, form), form, threshold, calibration)
    inputs = [value_info(INPUT, FLOAT, ["N", n_features])]
    return graph.to_bytes("model", inputs, HEAD_OUTPUTS, metadata)


def build_leaf_probe(ensemble: TreeEnsemble, *, scaling: StoredScaling | None) -> bytes:
    """The same trees with the leaves they reach as output, to compare paths: ``leaves`` int64 (N, n_trees)."""
    graph = GraphBuilder()
    scaled = add_scaling(graph, INPUT, scaling, ensemble.n_features)
    graph.node("Cast", [add_leaf_numbers(graph, scaled, ensemble)], LEAVES, to=INT64)
    inputs = [value_info(INPUT, FLOAT, ["N", ensemble.n_features])]
    return graph.to_bytes("leaf_probe", inputs, [value_info(LEAVES, INT64, ["N", ensemble.n_trees])], {})
