"""``window.onnx``: raw readings of the last samples in, probabilities, label and the features they came from out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ml.arrays import Int64s
from ml.errors import ParityError
from ml.export.builder import DOUBLE, FLOAT, INT64, GraphBuilder, value_info
from ml.export.graph.calibration import AS_IT_IS, Calibration
from ml.export.graph.forms import ModelForm
from ml.export.graph.parts import HEAD_OUTPUTS, add_head, add_scaling, add_score, check_width
from ml.export.graph.scaling import StoredScaling, scaling_constants
from ml.export.window.readings import TIMESTAMP, WINDOW, add_readings
from ml.export.window.rules import columns
from ml.export.window.tensors import Tensor, concat
from ml.features import FeatureEngineer
from ml.windows.catalogue import Feature

FEATURES = "features"


def build_window_model(
    engineer: FeatureEngineer,
    form: ModelForm,
    *,
    threshold: float,
    metadata: Mapping[str, str],
    calibration: Calibration = AS_IT_IS,
    also: Sequence[int] = (),
) -> bytes:
    """The ONNX model that computes the features of `engineer` itself, byte for byte the same for the same arguments.

    Inputs: ``window`` float64 (N, W, C), readings on the grid as they were measured, oldest first, NaN where missing
    or before the segment's start, counters as totals; W is `engineer.look_back`, the columns are `engineer.channels`.
    ``timestamp`` int64 (N,), epoch seconds of the last row, UTC. Outputs as `build_model` gives them for those rows,
    then ``features`` float32 (N, n_features), the input that ``model.onnx`` and others of the version take. Features
    that neither the model nor `also` ask for are not computed, and NaN.

    Raises ParityError if the threshold is not a finite number, or the scaling constants are unusable.

    Parameters
    ----------
    also
        Numbers of features that other graphs of the version ask for.
    """
    check_width(form, len(engineer.features))
    if not math.isfinite(threshold):
        raise ParityError(f"the alarm threshold is {threshold}; allowed are finite numbers")
    used = np.union1d(form.used_features(), np.array(also, dtype=np.int64))
    graph = GraphBuilder()
    values, column, width = _add_columns(graph, engineer, [engineer.features[index] for index in used])
    scaling = _moved(engineer.scaling.to_dict(), len(engineer.features), used, column, width)
    place = np.zeros(len(engineer.features), dtype=np.int64)
    place[used] = column
    score = add_score(graph, add_scaling(graph, values.name, scaling, width), form.with_columns(place, width))
    add_head(graph, score, form, threshold, calibration)
    outputs = [*HEAD_OUTPUTS, _add_features(graph, values, used, column, len(engineer.features))]
    return graph.to_bytes("window_model", _inputs(engineer), outputs, metadata)


def build_feature_probe(engineer: FeatureEngineer) -> bytes:
    """All features as output, to compare cells: ``features`` float32 (N, n_features), not scaled.

    They are the `matrix` of the engineer in every cell.
    """
    graph = GraphBuilder()
    values, column, _ = _add_columns(graph, engineer, engineer.features)
    graph.node("Identity", [values.take(column, axis=1).name], FEATURES)
    outputs = [value_info(FEATURES, FLOAT, ["N", len(engineer.features)])]
    return graph.to_bytes("feature_probe", _inputs(engineer), outputs, {})


def _add_columns(
    graph: GraphBuilder, engineer: FeatureEngineer, features: Sequence[Feature]
) -> tuple[Tensor, Int64s, int]:
    """Some features in the order in which they are made, float32 (N, width), and the column of each of them.

    The trees are told the columns. That costs nothing at run time; putting the features in order would.
    """
    operations = [feature.operation for feature in features]
    parts = columns(add_readings(graph, engineer), operations)
    made = [operation for _, kinds in parts for operation in kinds]
    column = np.array([made.index(operation) for operation in operations], dtype=np.int64)
    return concat([part for part, _ in parts], axis=1).cast(FLOAT).finite(), column, len(made)


def _add_features(
    graph: GraphBuilder, values: Tensor, used: Int64s, column: Int64s, n_features: int
) -> onnx.ValueInfoProto:
    """The features in the order of the model's input; a column of NaN stands for those that were not computed."""
    source = np.zeros(n_features, dtype=np.int64)
    source[used] = column + 1
    none = graph.node(
        "Mul",
        [values.take(np.zeros(1, dtype=np.int64), axis=1).name, graph.constant("nan", np.float32(np.nan))],
        "not_computed",
    )
    beside = graph.node("Concat", [none, values.name], "with_none", axis=1)
    graph.node("Gather", [beside, graph.constant("feature_columns", source)], FEATURES, axis=1)
    return value_info(FEATURES, FLOAT, ["N", n_features])


def _moved(scaling: StoredScaling, n_features: int, used: Int64s, column: Int64s, width: int) -> StoredScaling:
    """The scaling of the used features in their columns; what is in no such column stays as it is."""
    constants = scaling_constants(scaling, n_features)
    if constants is None:
        return scaling
    center, scale = np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32)
    center[column], scale[column] = (each[used] for each in constants)
    return {**scaling, "center": center, "scale": scale}


def _inputs(engineer: FeatureEngineer) -> list[onnx.ValueInfoProto]:
    shape: list[str | int] = ["N", engineer.look_back, len(engineer.channels)]
    return [value_info(WINDOW, DOUBLE, shape), value_info(TIMESTAMP, INT64, ["N"])]
