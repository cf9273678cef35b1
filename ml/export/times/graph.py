"""``time_to_failure.onnx``: features in, three quantiles of the time to failure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ml.arrays import Float64s
from ml.export.builder import FLOAT, GraphBuilder, value_info
from ml.export.graph.model import INPUT
from ml.export.graph.parts import add_scaling, add_score
from ml.export.graph.scaling import StoredScaling
from ml.export.times.curve import LEVELS, add_quantiles
from ml.export.trees.ensemble import TreeEnsemble

TIMES = "time_to_failure"


def with_one_horizon(ensemble: TreeEnsemble, n_features: int) -> TreeEnsemble:
    """The trees for rows of the features and one horizon, where they were grown on several copies of it."""
    place = np.minimum(np.arange(ensemble.n_features), n_features)
    return ensemble.with_columns(place, n_features + 1)


def build_times(
    ensemble: TreeEnsemble,
    asked: Float64s,
    horizons: Sequence[int],
    *,
    scaling: StoredScaling | None,
    metadata: Mapping[str, str],
) -> bytes:
    """The ONNX model that asks every row at every horizon and interpolates.

    Input as of ``model.onnx``: ``input`` float32 (N, n_features), not scaled. Output: ``time_to_failure`` float32
    (N, 3), see `ml.export.times.curve`.

    Parameters
    ----------
    ensemble
        As from `with_one_horizon`.
    asked, horizons
        The horizons as the trees take them and in seconds, (n_horizons,).
    """
    graph, n_features, n_horizons = GraphBuilder(), ensemble.n_features - 1, len(horizons)
    constant, node = graph.shared_constant, graph.shared_node
    scaled = add_scaling(graph, INPUT, scaling, n_features)
    # Only what the trees ask for is repeated: that is most of the memory.
    used = np.setdiff1d(ensemble.used_features(), [n_features])
    used = used if len(used) else np.array([0])
    place = np.zeros(n_features + 1, dtype=np.int64)
    place[[*used, n_features]] = np.arange(len(used) + 1)
    ensemble = ensemble.with_columns(place, len(used) + 1)
    (kept,) = node("Gather", [scaled, constant(used)], axis=1)
    (single,) = node("Unsqueeze", [kept, constant(np.array([1]))])
    (repeated,) = node("Tile", [single, constant(np.array([1, n_horizons, 1]))])
    # Every cell of one column of them is replaced: the number of rows is known to no constant.
    (column,) = node("Gather", [repeated, constant(np.array([0]))], axis=2)
    chosen = constant(np.ones((1, n_horizons, 1), dtype=np.bool_))
    (horizon,) = node("Where", [chosen, constant(np.asarray(asked, dtype=np.float32)[None, :, None]), column])
    (joined,) = node("Concat", [repeated, horizon], axis=2)
    (rows,) = node("Reshape", [joined, constant(np.array([-1, len(used) + 1]))])
    score = add_score(graph, rows, ensemble)
    (scores,) = node("Reshape", [score, constant(np.array([-1, n_horizons]))])
    add_quantiles(graph, scores, horizons, TIMES)
    inputs = [value_info(INPUT, FLOAT, ["N", n_features])]
    return graph.to_bytes(TIMES, inputs, [value_info(TIMES, FLOAT, ["N", len(LEVELS)])], metadata)
