"""From the scores of a row at some horizons to three quantiles of its time to failure, in numpy and as a graph.

Scores (log-odds of a failure within the horizon) are taken to rise linearly between two horizons. Below the first one
the probability is taken to rise linearly from 0, and the 10 % quantile is 0: nothing finer was asked. A quantile beyond
the last horizon is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ml.arrays import Float64s
from ml.export.builder import FLOAT, INT64, GraphBuilder
from ml.export.graph.calibration import add_logistic
from ml.export.graph.forms import logistic

LEVELS = (0.1, 0.5, 0.9)
_ODDS = np.array([math.log(level / (1 - level)) for level in LEVELS])
_NEAR = np.array([0.0, *LEVELS[1:]])
"""Level by which a quantile below the first horizon is a share of it; the lowest starts at 0."""


def quantiles(scores: Float64s, horizons: Sequence[int]) -> Float64s:
    """Seconds within which the row's machine fails with 10, 50 and 90 %: (n_rows, 3), rising along a row.

    Parameters
    ----------
    scores
        (n_rows, n_horizons), finite, rising along a row.
    horizons
        In seconds, rising, two or more.
    """
    grid, last = np.array(horizons, dtype=np.float64), len(horizons) - 1
    below = (scores[:, None, :] < _ODDS[None, :, None]).sum(axis=2)
    after = np.clip(below, 1, last)
    low, high = (np.take_along_axis(scores, place, axis=1) for place in (after - 1, after))
    start = grid[after - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = start + (grid[after] - start) * ((_ODDS - low) / (high - low))
        first = (grid[0] * _NEAR) / logistic(scores[:, 0])[:, None]
    return np.where(below == 0, first, np.where(below > last, np.inf, between))


def add_quantiles(graph: GraphBuilder, scores: str, horizons: Sequence[int], output: str) -> None:
    """Add the same of float64 `scores` (N, n_horizons): float32 `output` (N, 3)."""
    constant, node = graph.shared_constant, graph.shared_node
    grid, last = np.array(horizons, dtype=np.float64), len(horizons) - 1
    (each,) = node("Unsqueeze", [scores, constant(np.array([1]))])
    (less,) = node("Less", [each, constant(_ODDS[None, :, None])])
    (counted,) = node("Cast", [less], to=INT64)
    (below,) = node("ReduceSum", [counted, constant(np.array([2]))], keepdims=0)
    (at_least,) = node("Max", [below, constant(np.array([1]))])
    (after,) = node("Min", [at_least, constant(np.array([last]))])
    (before,) = node("Sub", [after, constant(np.array([1]))])
    (low,), (high,) = (node("GatherElements", [scores, place], axis=1) for place in (before, after))
    (start,), (end,) = (node("Gather", [constant(grid), place]) for place in (before, after))
    (share,) = node("Div", [node("Sub", [constant(_ODDS), low])[0], node("Sub", [high, low])[0]])
    (way,) = node("Mul", [node("Sub", [end, start])[0], share])
    (between,) = node("Add", [start, way])
    (nearest,) = node("Gather", [scores, constant(np.array([0]))], axis=1)
    (first,) = node("Div", [constant(grid[0] * _NEAR), add_logistic(graph, nearest)])
    (beyond,) = node("Greater", [below, constant(np.array([last]))])
    (within,) = node("Where", [beyond, constant(np.float64(np.inf)), between])
    (none_below,) = node("Less", [below, constant(np.array([1]))])
    (seconds,) = node("Where", [none_below, first, within])
    graph.node("Cast", [seconds], output, to=FLOAT)
