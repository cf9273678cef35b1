"""What weights of classes do to a model: each way fitted and scored on the validation part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy.typing as npt

from ml.arrays import Float64s
from ml.learning.estimators.base import Estimator
from ml.options.learning import TrainingConfig

_WAYS: tuple[Literal["none", "balanced"], ...] = ("none", "balanced")


def compare_imbalance(
    settings: TrainingConfig,
    fitted: Callable[[TrainingConfig], Estimator],
    probability_of: Callable[[Estimator], Float64s],
    label: npt.NDArray[Any],
) -> dict[str, dict[str, float]]:
    """Average precision and log loss of each way on the rows of `label`, without calibration; nothing is chosen by it.

    The ways are ``none`` and ``balanced``, and ``scalePosWeight`` where ``lgbParams`` of a lightgbm model give one,
    which is left out of the other two.

    Parameters
    ----------
    fitted
        Fits a configuration on the training part.
    probability_of
        The probabilities, (n_rows,), that a model gives the validation part.
    label
        Labels of that part, 0 or 1, (n_rows,).
    """
    from sklearn.metrics import average_precision_score, log_loss

    unweighted = settings.lgb_params.model_copy(update={"scale_pos_weight": None})
    ways: dict[str, TrainingConfig] = {
        way: settings.model_copy(update={"imbalance": way, "lgb_params": unweighted}) for way in _WAYS
    }
    if settings.model_type == "lightgbm" and settings.lgb_params.scale_pos_weight is not None:
        ways |= {"scalePosWeight": settings}
    scores: dict[str, dict[str, float]] = {}
    for name, way in ways.items():
        probability = probability_of(fitted(way))
        scores[name] = {
            "averagePrecision": float(average_precision_score(label, probability)),
            "logLoss": float(log_loss(label, probability)),
        }
    return scores
