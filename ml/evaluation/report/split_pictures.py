"""Pictures of how a version's rows were divided: into parts by training, and into folds by tuning."""

from __future__ import annotations

import numpy as np

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.errors import TooFewFailuresError
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.report.split_picture import split_picture
from ml.evaluation.rows import EvaluatedData
from ml.learning.folds.splits import EventFolds


def split_pictures(config: OrganizationConfig, trained: TrainedVersion, rows: EvaluatedData) -> dict[str, bytes]:
    """PNG pictures ``split`` and ``folds``; none where the version is evaluated on a file of other rows.

    The folds are the blocks that hyperparameter_tuning.py holds out one after the other; where there are too few
    failures for them, their picture is left out.
    """
    parts = rows.parts
    if parts is None:
        return {}
    labelled = (rows.frame["label"] >= 0).to_numpy()
    interval = trained.engineer.interval
    used = parts.train | parts.validation | parts.test
    named = {
        "training": parts.train,
        "validation": parts.validation,
        "test": parts.test,
        "purged": labelled & ~used,
    }
    pictures = {"split": split_picture(rows.frame, named, interval)}
    folds = _held_out(config, trained, rows, parts.train | parts.validation)
    return pictures | ({"folds": split_picture(rows.frame, folds, interval)} if folds else {})


def _held_out(
    config: OrganizationConfig, trained: TrainedVersion, rows: EvaluatedData, seen: Bools
) -> dict[str, Bools]:
    """Held-out rows of each fold; empty where the folds cannot be made."""
    folds = EventFolds(
        config.tuning_config.cv_folds,
        trained.metadata.horizon_seconds,
        trained.engineer.look_back,
        trained.engineer.interval,
        config.tuning_config.random_state,
        whole_assets=trained.config.data_config.split_by == "asset",
    )
    held_out: dict[str, Bools] = {}
    try:
        for number, (_, positions) in enumerate(folds.split(rows.frame, seen), start=1):
            held_out[f"fold {number}"] = mask = np.zeros(len(seen), dtype=np.bool_)
            mask[positions] = True
    except TooFewFailuresError:
        return {}
    return held_out
