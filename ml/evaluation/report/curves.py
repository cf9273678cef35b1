"""Points of the ROC, precision-recall and calibration curves, few enough to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from ml.arrays import Float64s, Int64s
from ml.evaluation.metrics import CALIBRATION_BINS, as_labels_and_scores

MAX_POINTS = 500  # more cannot be told apart in a picture of the report's width

Values = Float64s


@dataclass(frozen=True)
class Curve:
    """Points of a curve in drawing order; ``x`` and ``y`` have shape ``(n_points,)``."""

    x: Values
    y: Values


@dataclass(frozen=True)
class Calibration:
    """Rows grouped by probability: what was predicted, what happened, and how many rows; shape ``(n_bins,)`` each."""

    predicted: Values
    observed: Values
    rows: Int64s


def roc_points(truth: ArrayLike, score: ArrayLike) -> Curve | None:
    """False positive rate against true positive rate; None unless both classes are there."""
    classes = np.asarray(truth) == 1
    if classes.all() or not classes.any():
        return None
    false_rate, true_rate, _ = roc_curve(classes, np.asarray(score))
    return _thin(false_rate, true_rate)


def precision_recall_points(truth: ArrayLike, score: ArrayLike) -> Curve | None:
    """Recall against precision, from the highest threshold down; None without a positive row."""
    classes = np.asarray(truth) == 1
    if not classes.any():
        return None
    precision, recall, _ = precision_recall_curve(classes, np.asarray(score), drop_intermediate=True)
    return _thin(recall[::-1], precision[::-1])


def calibration_points(label: ArrayLike, probability: ArrayLike, bins: int = CALIBRATION_BINS) -> Calibration:
    """Mean probability and share of positive rows in ``bins`` equally wide bins of probability.

    Empty bins are left out. A probability on an inner edge belongs to the upper bin; 1 belongs to the last.
    """
    truth, score = as_labels_and_scores(label, probability)
    bin_of_row = np.clip((score.astype(np.float64) * bins).astype(np.int64), 0, bins - 1)
    rows = np.bincount(bin_of_row, minlength=bins)
    predicted = np.bincount(bin_of_row, weights=score.astype(np.float64), minlength=bins)
    observed = np.bincount(bin_of_row, weights=truth.astype(np.float64), minlength=bins)
    filled = rows > 0
    return Calibration(predicted[filled] / rows[filled], observed[filled] / rows[filled], rows[filled].astype(np.int64))


def _thin(x: NDArray[Any], y: NDArray[Any]) -> Curve:
    """Keep at most `MAX_POINTS` points, evenly spaced along the curve, the first and the last among them.

    Spacing along the curve rather than by index keeps the steep start, which holds few of the points.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.size <= MAX_POINTS:
        return Curve(x, y)
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0.0, way[-1], MAX_POINTS - 1)
    kept = np.unique(np.concatenate([np.minimum(np.searchsorted(way, wanted), x.size - 1), [x.size - 1]]))
    return Curve(x[kept], y[kept])
