"""Row metrics: how well probabilities and alarms match the labels, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from ml.arrays import Bools, Float32s, Float64s
from ml.evaluation.records import Record

Scores = Float32s

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class RowMetrics(Record):
    """Metrics of one set of rows at one alarm threshold; a metric that is not defined is None, never NaN."""

    rows: int
    positives: int
    base_rate: float | None
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    average_precision: float | None
    brier: float | None
    mcc: float | None
    calibration_error: float | None
    confusion: tuple[tuple[int, int], tuple[int, int]]
    """``((tn, fp), (fn, tp))``: first the true class, then the predicted one."""

    def without_probabilities(self) -> RowMetrics:
        """Those of a score that is no probability."""
        return replace(self, brier=None, calibration_error=None)


@dataclass(frozen=True)
class ReferenceResult(Record):
    """How a score that is not the model's ranks the same rows."""

    name: str
    average_precision: float | None
    auc: float | None


def row_metrics(label: ArrayLike, probability: ArrayLike, threshold: ArrayLike) -> RowMetrics:
    """Compare probabilities with labels.

    Everything is computed on the float32 probabilities that the exported model answers with; a row is an alarm if
    ``float32(probability) >= float32(threshold)``.

    Raises ValueError if the shapes differ, a label is neither 0 nor 1, or a probability is not finite.

    Parameters
    ----------
    label
        0 or 1, shape ``(n_rows,)``.
    probability
        Probability of class 1, shape ``(n_rows,)``, without NaN.
    threshold
        Alarm threshold, or one for each row.
    """
    truth, score = as_labels_and_scores(label, probability)
    alarm = score >= np.asarray(threshold, dtype=np.float32)
    tp = int(np.count_nonzero(truth & alarm))
    fp = int(np.count_nonzero(~truth & alarm))
    fn = int(np.count_nonzero(truth & ~alarm))
    tn = truth.size - tp - fp - fn
    return RowMetrics(
        rows=truth.size,
        positives=tp + fn,
        base_rate=_ratio(tp + fn, truth.size),
        accuracy=_ratio(tp + tn, truth.size),
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        auc=roc_auc(truth, score),
        average_precision=average_precision(truth, score),
        brier=_brier(truth, score),
        mcc=_matthews(tn, fp, fn, tp),
        calibration_error=_calibration_error(truth, score),
        confusion=((tn, fp), (fn, tp)),
    )


def reference_results(label: ArrayLike, scores: Mapping[str, ArrayLike]) -> tuple[ReferenceResult, ...]:
    """Rank metrics of other scores on the model's rows.

    A score is any number that rises towards a failure. Where it is missing (NaN) it says nothing, and counts as the
    lowest score, so that every reference is evaluated on all rows, as the model is.
    """
    return tuple(_reference(name, label, score) for name, score in scores.items())


def complete_score(score: ArrayLike) -> Float64s:
    """The score with NaN replaced by its lowest value (by 0 if it has none); infinities become the largest floats."""
    values = np.asarray(score, dtype=np.float64)
    known = values[~np.isnan(values)]
    lowest = float(known.min()) if known.size else 0.0
    return np.nan_to_num(values, nan=np.nan_to_num(lowest))


def as_labels_and_scores(label: ArrayLike, probability: ArrayLike) -> tuple[Bools, Scores]:
    """Check and convert the two columns that every metric compares; raises as `row_metrics`."""
    values = np.asarray(label)
    score = np.asarray(probability, dtype=np.float32)
    if values.ndim != 1 or values.shape != score.shape:
        raise ValueError(f"label {values.shape} and probability {score.shape} must be columns of one length")
    truth = values == 1
    if not np.all(truth | (values == 0)):
        raise ValueError("labels must be 0 or 1; leave rows without a label out")
    if not np.isfinite(score).all():
        raise ValueError("probabilities must be finite")
    return truth, score


def roc_auc(truth: Bools, score: NDArray[np.floating[Any]]) -> float | None:
    """Area under the ROC curve; None unless both classes are there."""
    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth, score))


def average_precision(truth: Bools, score: NDArray[np.floating[Any]]) -> float | None:
    """Average precision, the step-wise area under the precision-recall curve; None without a positive row."""
    if not truth.any():
        return None
    return float(average_precision_score(truth, score))


def _reference(name: str, label: ArrayLike, score: ArrayLike) -> ReferenceResult:
    truth = np.asarray(label) == 1
    complete = complete_score(score)
    return ReferenceResult(name, average_precision(truth, complete), roc_auc(truth, complete))


def _brier(truth: Bools, score: Scores) -> float | None:
    """Mean squared distance of probability and label (Brier, 1950)."""
    if not truth.size:
        return None
    return float(np.mean((score.astype(np.float64) - truth) ** 2))


def _calibration_error(truth: Bools, score: Scores) -> float | None:
    """Mean distance of probability and share of positive rows over ten equally wide bins, weighted by their rows.

    This is the expected calibration error of Naeini, Cooper and Hauskrecht (AAAI 2015).
    """
    if not truth.size:
        return None
    probability = score.astype(np.float64)
    bins = np.clip((probability * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=probability - truth)).sum() / truth.size)


def _matthews(tn: int, fp: int, fn: int, tp: int) -> float | None:
    """Matthews correlation (1975); None where a class never occurs or is never predicted."""
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)  # Python integers: cannot overflow
    return (tp * tn - fp * fn) / math.sqrt(product) if product else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
