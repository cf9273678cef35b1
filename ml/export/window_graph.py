"""``window.onnx``: raw readings of the last samples in, probabilities and label out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from ml.errors import ParityError
from ml.export.graph_builder import DOUBLE, FLOAT, INT64, GraphBuilder, value_info
from ml.export.graph_parts import HEAD_OUTPUTS, add_head, add_scaling, add_score, check_width
from ml.export.scaling import Scaling, scaling_constants
from ml.export.tensors import Tensor, concat
from ml.export.trees import TreeEnsemble
from ml.export.window_readings import TIMESTAMP, WINDOW, add_readings
from ml.export.window_rules import columns
from ml.features import FeatureEngineer

FEATURES = "features"


def build_window_model(
    engineer: FeatureEngineer, ensemble: TreeEnsemble, *, threshold: float, metadata: Mapping[str, str]
) -> bytes:
    """The ONNX model that computes the features of `engineer` itself, byte for byte the same for the same arguments.

    Inputs: ``window`` float64 (N, W, C), readings on the grid as they were measured, oldest first, NaN where missing
    or before the segment's start, counters as totals; W is `engineer.look_back`, the columns are `engineer.channels`.
    ``timestamp`` int64 (N,), epoch seconds of the last row, UTC. Outputs as `build_model` gives them for those rows.

    Raises
    ------
    ParityError
        The threshold is not a finite number, or the scaling constants are unusable.
    """
    check_width(ensemble, len(engineer.features))
    if not math.isfinite(threshold):
        raise ParityError(f"the alarm threshold is {threshold}; allowed are finite numbers")
    graph = GraphBuilder()
    features, order, width = _add_columns(graph, engineer)
    scaled = add_scaling(graph, features.name, _at(order, width, engineer.scaling.to_dict()), width)
    add_head(graph, add_score(graph, scaled, ensemble.with_columns(order, width)), ensemble, threshold)
    return graph.to_bytes("window_model", _inputs(engineer), HEAD_OUTPUTS, metadata)


def build_feature_probe(engineer: FeatureEngineer) -> bytes:
    """The same features as output, to compare cells: ``features`` float32 (N, n_features), not scaled.

    In the engineer's order: the `matrix` of the engineer in every cell.
    """
    graph = GraphBuilder()
    features, order, _ = _add_columns(graph, engineer)
    graph.node("Identity", [features.take(order, axis=1).name], FEATURES)
    outputs = [value_info(FEATURES, FLOAT, ["N", len(engineer.features)])]
    return graph.to_bytes("feature_probe", _inputs(engineer), outputs, {})


def _add_columns(graph: GraphBuilder, engineer: FeatureEngineer) -> tuple[Tensor, NDArray[np.int64], int]:
    """Features in the order in which they are made, float32 (N, width), and the place of each of the engineer's.

    The trees are told the places, which costs nothing; to put the features in order would cost as much as the trees.
    """
    operations = [feature.operation for feature in engineer.features]
    parts = columns(add_readings(graph, engineer), operations)
    made = [operation for _, kinds in parts for operation in kinds]
    order = np.array([made.index(operation) for operation in operations], dtype=np.int64)
    return concat([part for part, _ in parts], axis=1).cast(FLOAT).finite(), order, len(made)


def _at(order: NDArray[np.int64], width: int, scaling: Scaling) -> Scaling:
    """The same scaling of features in other places; columns that are no feature stay as they are."""
    constants = scaling_constants(scaling, len(order))
    if constants is None:
        return scaling
    center, scale = np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32)
    center[order], scale[order] = constants
    return {**scaling, "center": center, "scale": scale}


def _inputs(engineer: FeatureEngineer) -> list[onnx.ValueInfoProto]:
    shape: list[str | int] = ["N", engineer.look_back, len(engineer.channels)]
    return [value_info(WINDOW, DOUBLE, shape), value_info(TIMESTAMP, INT64, ["N"])]
