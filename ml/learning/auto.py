"""`modelType: "auto"`: the model type by the failures that are known, chosen again at every training.

None or one: normal behaviour. Two to seven: normal behaviour or the classifier, whichever ranks the same rows better,
each out of fold. From eight on: the classifier. Where one of them cannot be fitted, the other is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from ml import wording
from ml.arrays import Int64s
from ml.config import OrganizationConfig
from ml.errors import NoRowsError, TooFewFailuresError
from ml.findings import Finding
from ml.learning.events.failures import failure_numbers
from ml.learning.trained_model import TrainedModel

CLASSIFIER, NORMAL = "lightgbm", "normal_behaviour"
ENOUGH = 8
"""Known failures from which on the classifier is taken."""
_COMPARED = 2


def known_failures(config: OrganizationConfig, frame: pd.DataFrame) -> int:
    """Failures with a labelled row before them."""
    numbers = failure_numbers(frame, config.data_config.prediction_horizon_seconds)
    return len(np.unique(numbers[numbers >= 0]))


def with_model_type(config: OrganizationConfig, model_type: str) -> OrganizationConfig:
    """The configuration for another model type."""
    training = config.training_config.model_copy(update={"model_type": model_type})
    return config.model_copy(update={"training_config": training})


def train_auto(
    config: OrganizationConfig, frame: pd.DataFrame, train: Callable[[OrganizationConfig], TrainedModel]
) -> TrainedModel:
    """The model of the type that the known failures call for; its findings say which, and why.

    Raises as `train` where neither type can be fitted.
    """
    failures = known_failures(config, frame)
    known = f"{wording.plural(failures, 'failure')} {'is' if failures == 1 else 'are'} known"
    if failures < _COMPARED:
        return _told(train(with_model_type(config, NORMAL)), f"{known}, which is too few for a classifier")
    try:
        classifier = train(with_model_type(config, CLASSIFIER))
    except (TooFewFailuresError, NoRowsError) as error:
        normal = train(with_model_type(config, NORMAL))
        return _told(normal, f"{known}, and no classifier can be fitted: {error.message}")
    if failures >= ENOUGH:
        return _told(classifier, f"{known}, which is enough for a classifier")
    try:
        normal = train(with_model_type(config, NORMAL))
    except NoRowsError as error:
        return _told(classifier, f"{known}, and what is normal cannot be learned: {error.message}")
    scores = _on_common_rows(classifier, normal)
    if scores is None:
        return _told(normal, f"{known}, and the two model types cannot be compared on the same rows")
    chosen = classifier if scores[0] > scores[1] else normal
    judged = (
        f"out of fold, {CLASSIFIER} has an average precision of {scores[0]:.3f} and {NORMAL} one of {scores[1]:.3f}"
    )
    return _told(chosen, f"{known}; {judged}")


def _told(model: TrainedModel, why: str) -> TrainedModel:
    kind = type(model.estimator).model_type
    finding = Finding("MODEL_TYPE_CHOSEN", f"{kind} was chosen: {why}", "trainingConfig.modelType")
    return replace(model, findings=(finding, *model.findings))


def _on_common_rows(classifier: TrainedModel, normal: TrainedModel) -> tuple[float, float] | None:
    """Average precision of both on the rows that both answered without having seen them; None without such rows."""
    if classifier.judged is None or normal.judged is None:
        return None
    rows: Int64s = np.intersect1d(classifier.judged.row, normal.judged.row)
    positive = classifier.engine.frame["label"].to_numpy()[rows] == 1
    if not positive.any() or positive.all():
        return None
    first, second = (
        float(average_precision_score(positive, judged.probability[np.searchsorted(judged.row, rows)]))
        for judged in (classifier.judged, normal.judged)
    )
    return first, second
