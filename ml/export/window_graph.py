"""``window.onnx``: raw readings of the last samples in, probabilities and label out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx

from ml.errors import ParityError
from ml.export.graph_builder import DOUBLE, FLOAT, INT64, GraphBuilder, value_info
from ml.export.graph_parts import HEAD_OUTPUTS, add_head, add_scaling, add_score, check_width
from ml.export.tensors import concat
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
    features = add_features(graph, engineer)
    scaled = add_scaling(graph, features, engineer.scaling.to_dict(), len(engineer.features))
    add_head(graph, add_score(graph, scaled, ensemble), ensemble, threshold)
    return graph.to_bytes("window_model", _inputs(engineer), HEAD_OUTPUTS, metadata)


def build_feature_probe(engineer: FeatureEngineer) -> bytes:
    """The same features as output, to compare cells: ``features`` float32 (N, n_features), not scaled."""
    graph = GraphBuilder()
    add_features(graph, engineer)
    outputs = [value_info(FEATURES, FLOAT, ["N", len(engineer.features)])]
    return graph.to_bytes("feature_probe", _inputs(engineer), outputs, {})


def add_features(graph: GraphBuilder, engineer: FeatureEngineer) -> str:
    """The features in the engineer's order, float32 (N, n_features): its `matrix` in every cell."""
    operations = [feature.operation for feature in engineer.features]
    parts = columns(add_readings(graph, engineer), operations)
    made = [operation for _, kinds in parts for operation in kinds]
    order = np.array([made.index(operation) for operation in operations], dtype=np.int64)
    together = concat([part for part, _ in parts], axis=1).take(order, axis=1).cast(FLOAT)
    return graph.node("Identity", [together.finite().name], FEATURES)


def _inputs(engineer: FeatureEngineer) -> list[onnx.ValueInfoProto]:
    shape: list[str | int] = ["N", engineer.look_back, len(engineer.channels)]
    return [value_info(WINDOW, DOUBLE, shape), value_info(TIMESTAMP, INT64, ["N"])]
