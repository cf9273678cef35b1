"""LightGBM's metrics for early stopping, in parts that can be added up over members.

Log loss and error are means, so their sums are exact. Area under the ROC curve and average precision need the order of
all scores; rows are counted in 65,536 equal steps of log-odds instead, and rows of one step count as ties. That moves
either by less than 1e-4 and stops at the same round but for such ties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np

from ml.arrays import Bools, Float64s

_EPSILON = 1e-15  # LightGBM's kEpsilon: the smallest chance whose logarithm it takes
_STEPS = 1 << 16
_MOST = 16.0  # log-odds; beyond, a chance of 1e-7 is not told from a smaller one


def summed_metric(
    name: str, total: Callable[[Float64s], Float64s]
) -> Callable[[Float64s, lgb.Dataset], tuple[str, float, bool]]:
    """A metric for `lightgbm.train`: its name, its value over all members' rows, and whether more is better.

    Parameters
    ----------
    name
        As in ``lgbParams.metric``.
    total
        Sums float64 arrays of equal shape over the members.
    """
    parts, value, more_is_better = _METRICS[name]

    def evaluate(chance: Float64s, rows: lgb.Dataset) -> tuple[str, float, bool]:
        positive = np.asarray(rows.get_label()) > 0
        return name, float(value(total(parts(np.asarray(chance, dtype=np.float64), positive)))), more_is_better

    return evaluate


def _losses(chance: Float64s, positive: Bools) -> Float64s:
    right = np.where(positive, chance, 1 - chance)
    return np.array([-np.log(np.maximum(right, _EPSILON)).sum(), len(chance)])


def _errors(chance: Float64s, positive: Bools) -> Float64s:
    return np.array([((chance > 0.5) != positive).sum(), len(chance)], dtype=np.float64)


def _mean(parts: Float64s) -> Any:
    return parts[0] / parts[1]


def _counts(chance: Float64s, positive: Bools) -> Float64s:
    """Positive and negative rows at each step of the log-odds, from the highest down: (2, n_steps)."""
    with np.errstate(divide="ignore"):
        log_odds = np.clip(np.log(chance) - np.log1p(-chance), -_MOST, _MOST)
    step = np.rint((_MOST - log_odds) / (2 * _MOST) * (_STEPS - 1)).astype(np.int64)
    return np.stack([np.bincount(step[rows], minlength=_STEPS) for rows in (positive, ~positive)]).astype(np.float64)


def _roc_area(counts: Float64s) -> Any:
    positive, negative = counts
    above = np.cumsum(positive) - positive / 2
    return (negative * above).sum() / (positive.sum() * negative.sum())


def _average_precision(counts: Float64s) -> Any:
    positive, negative = counts
    found, alarms = np.cumsum(positive), np.cumsum(positive + negative)
    some = alarms > 0
    return (positive[some] * found[some] / alarms[some]).sum() / positive.sum()


_METRICS: dict[str, tuple[Callable[[Float64s, Bools], Float64s], Callable[[Float64s], Any], bool]] = {
    "binary_logloss": (_losses, _mean, False),
    "binary_error": (_errors, _mean, False),
    "auc": (_counts, _roc_area, True),
    "average_precision": (_counts, _average_precision, True),
}
