"""A verdict on the recipe: what the models of the folds did, each on the rows that it had not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ml import wording
from ml.evaluation.metrics import average_precision
from ml.evaluation.rows import EvaluatedData
from ml.findings import Finding
from ml.learning.events.detection import Events
from ml.learning.held_out import HeldOut


def judged_split(
    rows: EvaluatedData, judged: HeldOut, events: Events, probability: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """The parts of a hold-out, if there was one, and figures of each fold: what its model did on its test rows.

    Parameters
    ----------
    events, probability
        Of the scored rows, (n_scored,).
    """
    failures, episodes = events.failures, events.episodes
    found = judged.fold[failures.position[failures.detected]]
    folds = {}
    for number, (name, figures) in enumerate(judged.parts.items(), start=1):
        own = judged.fold == number
        folds[name] = figures | {
            "positives": int((rows.label[own] == 1).sum()),
            "assets": len(np.unique(judged.asset[own])),
            "failures": int((judged.fold[failures.position] == number).sum()),
            "detected": int((found == number).sum()),
            "falseAlarms": int(episodes.false_alarms[judged.fold[episodes.position] == number].sum()),
            "averagePrecision": average_precision(rows.label[own] == 1, probability[own]),
        }
    return (rows.split or {}) | {"judged": "recipe", "folds": len(folds)} | folds


def recipe_judged(judged: HeldOut, *, is_anomaly: bool = False) -> Finding:
    """That the numbers are not those of the shipped model itself."""
    if is_anomaly:
        return Finding(
            "RECIPE_JUDGED",
            "the shipped model was fitted on all healthy rows; every number is of rows that neither what was expected "
            "there nor the limits had seen",
        )
    models = wording.plural(len(judged.parts), "model")
    return Finding(
        "RECIPE_JUDGED",
        f"the shipped model was fitted on all rows, so its recipe was judged: every number is from {models} made by "
        "the same recipe, on rows that they had not seen; what worse sensors, drift and single alarms would show needs "
        "a model with unseen rows and is left out",
        "validationConfig.scheme",
        'set it to "holdout", and trainingConfig.refit to "none", to judge the shipped model itself',
    )
