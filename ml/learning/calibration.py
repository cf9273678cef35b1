"""Probabilities that mean what they say: a map from scores fitted on the validation part.

sigmoid
    Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with his targets ``(N+ + 1) / (N+ + 2)`` and
    ``1 / (N- + 2)`` instead of 1 and 0, by Newton steps (Lin, Lin and Weng, Machine Learning 68, 2007). On log-odds it
    is the identity for slope 1 and intercept 0, and undoes any weight of classes by the intercept.
isotonic
    Steps by pool-adjacent-violators (Zadrozny and Elkan, KDD 2002), kept within the same two targets, so that no
    probability is 0 or 1. Rows on one step are no longer ranked.
auto
    The method with the least log loss on groups of rows that its map was not fitted on; none unless another beats it
    by more than one standard error of the groups' differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ml.arrays import Bools, Float64s
from ml.errors import DataError
from ml.export.graph.calibration import Calibration
from ml.options.learning import CalibrationMethod

_FOLDS = 5
_NEWTON_STEPS = 100
_RIDGE = 1e-10
_TINY = 1e-15  # log loss of a probability of 0 or 1 is bounded as in scikit-learn
_METHODS: tuple[Literal["sigmoid", "isotonic"], ...] = ("sigmoid", "isotonic")


@dataclass(frozen=True)
class FittedCalibration:
    """The map, and the log loss per row that each method had on groups it was not fitted on (with auto only)."""

    map: Calibration
    log_loss: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The method and the losses that chose it, for JSON."""
        return {"method": self.map.method, "logLoss": self.log_loss}


def fit_calibration(
    method: CalibrationMethod, scores: Float64s, own: Float64s, label: npt.NDArray[Any], groups: npt.NDArray[Any]
) -> FittedCalibration:
    """Fit a calibration on rows that the model was not fitted on.

    Raises DataError if `method` is sigmoid and failures do not become likelier as scores rise.

    Parameters
    ----------
    scores, own
        Raw scores of the rows and the model's own probabilities, (n_rows,).
    label
        0 or 1, both among the rows, (n_rows,).
    groups
        Rows of one group go into one fold, (n_rows,).
    """
    positive = np.asarray(label) == 1
    if method == "none":
        return FittedCalibration(Calibration(), {})
    if method == "auto":
        return _chosen(scores, own, positive, groups)
    fitted = _fitted(method, scores, positive)
    if fitted is None:
        raise DataError(
            "failures do not become likelier as the model's scores rise on the validation part, so a sigmoid would "
            "turn its alarms around",
            field="trainingConfig.calibration",
            hint='look at the validation metrics; set it to "none" to train anyway',
        )
    return FittedCalibration(fitted, {})


def _chosen(scores: Float64s, own: Float64s, positive: Bools, groups: npt.NDArray[Any]) -> FittedCalibration:
    """The method of the least cross-validated log loss; maps that cannot be fitted on a fold are out."""
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    fold = code % _FOLDS
    losses = {"none": _log_loss(own, positive)}
    for method in _METHODS:
        held_out = np.full(len(scores), np.nan)
        for number in np.unique(fold):
            inside = fold == number
            fitted = _fitted(method, scores[~inside], positive[~inside])
            if fitted is not None:
                held_out[inside] = fitted.of_scores(scores[inside])
        if not np.isnan(held_out).any():
            losses[method] = _log_loss(held_out, positive)
    means = {name: float(loss.mean()) for name, loss in losses.items()}
    best = min(means, key=lambda name: means[name])
    gain = np.bincount(code, weights=losses["none"] - losses[best])
    error = float(gain.std(ddof=1) * np.sqrt(len(gain))) if len(gain) > 1 else np.inf
    fitted = _fitted(best, scores, positive) if best in _METHODS and gain.sum() > error else None
    return FittedCalibration(fitted or Calibration(), means)


def _fitted(method: str, scores: Float64s, positive: Bools) -> Calibration | None:
    """The map of a method; None where there is none that rises, as with one class only."""
    if not positive.any() or positive.all():
        return None
    lowest, highest = 1 / ((~positive).sum() + 2), (positive.sum() + 1) / (positive.sum() + 2)
    if method == "isotonic":
        return _steps(scores, positive, lowest, highest)
    return _sigmoid(scores, np.where(positive, highest, lowest))


def _sigmoid(scores: Float64s, target: Float64s) -> Calibration | None:
    spread = float(scores.std())
    if not spread > 0:
        return None
    centre = float(scores.mean())
    design = np.column_stack([(scores - centre) / spread, np.ones(len(scores))])
    weights = np.array([0.0, np.log(target.mean() / (1 - target.mean()))])
    loss = _cross_entropy(design @ weights, target)
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        curvature = design.T @ (design * (chance * (1 - chance))[:, None]) + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (target - chance))
        while _cross_entropy(design @ (weights + step), target) > loss and np.abs(step).max() > _RIDGE:
            step = step / 2
        weights = weights + step
        loss = _cross_entropy(design @ weights, target)
        if np.abs(step).max() <= _RIDGE:
            break
    slope = float(weights[0] / spread)
    if not slope > 0:
        return None
    return Calibration(method="sigmoid", slope=slope, intercept=float(weights[1] - slope * centre))


def _cross_entropy(log_odds: Float64s, target: Float64s) -> float:
    return float((np.logaddexp(0, log_odds) - target * log_odds).sum())


def _steps(scores: Float64s, positive: Bools, lowest: float, highest: float) -> Calibration:
    """Pool adjacent violators over distinct scores; a bound lies midway between two of them."""
    distinct, rank = np.unique(scores, return_inverse=True)
    hits, rows = np.bincount(rank, weights=positive), np.bincount(rank)
    blocks: list[tuple[float, float, int]] = []  # hits, rows, first distinct score
    for at, (hit, count) in enumerate(zip(hits.tolist(), rows.tolist(), strict=True)):
        first = at
        while blocks and blocks[-1][0] * count >= hit * blocks[-1][1]:
            hit, count, first = hit + blocks[-1][0], count + blocks[-1][1], blocks.pop()[2]
        blocks.append((hit, count, first))
    bounds, values = [], [_within(blocks[0][0] / blocks[0][1], lowest, highest)]
    for hit, count, first in blocks[1:]:
        value = _within(hit / count, lowest, highest)
        if value > values[-1]:
            middle = float(distinct[first - 1] + (distinct[first] - distinct[first - 1]) / 2)
            bounds.append(middle if middle > distinct[first - 1] else float(distinct[first]))
            values.append(value)
    return Calibration(method="isotonic", bounds=tuple(bounds), values=tuple(values))


def _within(value: float, lowest: float, highest: float) -> float:
    return float(min(max(value, lowest), highest))


def _log_loss(chance: Float64s, positive: Bools) -> Float64s:
    """The loss of each row."""
    return np.asarray(-np.log(np.clip(np.where(positive, chance, 1 - chance), _TINY, 1)), dtype=np.float64)
