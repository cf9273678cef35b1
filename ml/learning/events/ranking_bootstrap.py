"""Average precision of bootstrap samples, from counts per group and score rather than from rows.

A sample of whole groups only changes how often each group's rows count. Scores are therefore sorted once into bins, and
a thousand samples of millions of rows take seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import Bools, Float32s, Float64s, Int64s

_QUANTILES = 2048  # of all scores, and as many of the positive rows' scores
_SAMPLES_AT_ONCE = 100


def resampled_average_precision(label: npt.NDArray[Any], score: Float32s, groups: Int64s, drawn: Int64s) -> Float64s:
    """Average precision of every bootstrap sample, (n_samples,); NaN without a positive row.

    It is scikit-learn's. Up to 4,096 distinct scores are told apart exactly; more are told apart by as many quantiles,
    half of them those of positive rows, where alone the precision counts, and scores between two of them are tied.

    Parameters
    ----------
    label, score, groups
        1 or 0, score without NaN, and group of each row, (n_rows,) each.
    drawn
        As from `ml.learning.events.resampling.draw`, (n_samples, n_groups).
    """
    positive = np.asarray(label) == 1
    code, n_bins = _falling_bins(score, positive)
    n_groups = drawn.shape[1]
    cell = groups * n_bins + code
    rows = np.bincount(cell, minlength=n_groups * n_bins).reshape(n_groups, n_bins).astype(np.float64)
    hits = np.bincount(cell[positive], minlength=n_groups * n_bins).reshape(n_groups, n_bins).astype(np.float64)
    parts = (drawn[at : at + _SAMPLES_AT_ONCE].astype(np.float64) for at in range(0, len(drawn), _SAMPLES_AT_ONCE))
    return np.concatenate([_average_precisions(part @ hits, part @ rows) for part in parts])


def _falling_bins(score: Float32s, positive: Bools) -> tuple[Int64s, int]:
    """Bin of each row, from 0 for the highest scores, and the number of bins."""
    edges = np.unique(score)
    if len(edges) > 2 * _QUANTILES:
        levels = np.linspace(0, 1, _QUANTILES)
        chosen = [np.quantile(each, levels, method="nearest") for each in (score, score[positive]) if len(each)]
        edges = np.unique(np.concatenate(chosen))
    return len(edges) - np.searchsorted(edges, score, side="right"), len(edges)


def _average_precisions(hits: Float64s, rows: Float64s) -> Float64s:
    """Sum over falling scores of precision times the recall gained; (n_samples, n_bins) -> (n_samples,)."""
    precision = np.cumsum(hits, axis=1) / np.maximum(np.cumsum(rows, axis=1), 1)
    positives = hits.sum(axis=1)
    found = (precision * hits).sum(axis=1)
    values: Float64s = np.divide(found, positives, out=np.full(len(hits), np.nan), where=positives > 0)
    return values
