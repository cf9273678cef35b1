"""Row metrics and calibration, written as loops over rows and pairs of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def confusion(label: Sequence[int], probability: Sequence[float], threshold: float) -> list[list[int]]:
    """[[tn, fp], [fn, tp]]."""
    table = [[0, 0], [0, 0]]
    for truth, value in zip(label, probability, strict=True):
        table[truth][int(np.float32(value) >= np.float32(threshold))] += 1
    return table


def ratio_metrics(label: Sequence[int], probability: Sequence[float], threshold: float) -> dict[str, float | None]:
    """Metrics of the confusion matrix by their textbook formulas."""
    (tn, fp), (fn, tp) = confusion(label, probability, threshold)
    precision = tp / (tp + fp) if tp + fp else None
    recall = tp / (tp + fn) if tp + fn else None
    if precision and recall:
        f1: float | None = 2 / (1 / precision + 1 / recall)
    else:
        f1 = 0.0 if tp + fp + fn else None
    under = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "accuracy": (tp + tn) / len(label) if len(label) else None,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "mcc": (tp * tn - fp * fn) / math.sqrt(under) if under else None,
    }


def auc(label: Sequence[int], score: Sequence[float]) -> float:
    """Share of pairs of a positive and a negative row that the score puts in order; a tie counts half."""
    positive = [value for truth, value in zip(label, score, strict=True) if truth]
    negative = [value for truth, value in zip(label, score, strict=True) if not truth]
    points = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative)
    return points / (len(positive) * len(negative))


def average_precision(label: Sequence[int], score: Sequence[float]) -> float:
    """Sum over falling thresholds of precision times the gain in recall."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        found = [truth for truth, value in zip(label, score, strict=True) if value >= threshold]
        recall = sum(found) / sum(label)
        total += (recall - recall_before) * sum(found) / len(found)
        recall_before = recall
    return total


def brier(label: Sequence[int], probability: Sequence[float]) -> float:
    """Mean squared error of the probabilities."""
    return sum((value - truth) ** 2 for truth, value in zip(label, probability, strict=True)) / len(label)


def calibration(label: Sequence[int], probability: Sequence[float], bins: int) -> list[tuple[float, float, int]]:
    """(mean probability, share of positive rows, rows) of every bin that is not empty."""
    result = []
    for i in range(bins):
        inside = [
            (truth, value)
            for truth, value in zip(label, probability, strict=True)
            if i <= value * bins < i + 1 or (i == bins - 1 and value == 1)
        ]
        if inside:
            size = len(inside)
            result.append((sum(v for _, v in inside) / size, sum(t for t, _ in inside) / size, size))
    return result
