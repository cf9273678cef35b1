"""Which family of features helps on assets that were never seen: the family *history* is kept only where it does.

A family can make rows of known assets easier and unknown assets harder. So the choice is made on folds that hold out
whole assets of the training part, by small models with and without the family; no row of another part is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.errors import TooFewFailuresError
from ml.learning.estimators.lightgbm import LightGBM
from ml.learning.folds.splits import EventFolds
from ml.learning.search.cross_validation import CrossValidation
from ml.learning.search.feature_sets import FAMILIES_KEY, FeatureSets
from ml.options.features import SelectionConfig
from ml.options.learning import LgbParams, TrainingConfig
from ml.windows.catalogue import list_features

FAMILY = "history"
_FEWEST_ASSETS, _MOST_FOLDS = 3, 5
_MOST_ROWS = 10_000  # neighbours are near copies, so every n-th row tells what all of them would
_SMALL_MODEL = LgbParams(num_leaves=15, learning_rate=0.1, num_iterations=60)
_METRIC = "average_precision"


@dataclass(frozen=True)
class FamilyChoice:
    """Whether the family is on, and why.

    Attributes
    ----------
    without, with_family
        Average precision on the held-out assets of each fold; empty where no fold could be made.
    reason
        In words.
    """

    chosen: bool
    reason: str
    without: tuple[float, ...] = ()
    with_family: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The choice for JSON."""
        return {
            "family": FAMILY,
            "chosen": self.chosen,
            "reason": self.reason,
            "metric": _METRIC,
            "foldsWithout": list(self.without),
            "foldsWith": list(self.with_family),
        }


def with_chosen_family(
    config: OrganizationConfig, frame: pd.DataFrame, interval: int, rows: Bools
) -> tuple[OrganizationConfig, FamilyChoice | None]:
    """The configuration with the family on or off, and the choice; None where the configuration decides by itself.

    Parameters
    ----------
    frame
        Grid frame with its sensors, (n_rows, ...).
    interval
        Grid spacing in seconds.
    rows
        Rows of the training part, (n_rows,); the choice rests on these alone.
    """
    if config.feature_config.serving_profile is not None or config.feature_config.families.history.enabled is not None:
        return config, None
    choice = _choice(config, frame, interval, rows)
    return _switched(config, on=choice.chosen), choice


def _choice(config: OrganizationConfig, frame: pd.DataFrame, interval: int, rows: Bools) -> FamilyChoice:
    if not set(frame.columns).issuperset(config.schema_config.sensor_columns):
        return FamilyChoice(False, "off: this engine compares no families")
    assets = frame.loc[rows & (frame["label"] == 1).to_numpy(), "asset_id"].nunique()
    if assets < _FEWEST_ASSETS:
        return FamilyChoice(
            False, f"off: {assets} assets of the training part fail, and the comparison needs {_FEWEST_ASSETS}"
        )
    seed = config.training_config.random_state
    horizon = config.data_config.prediction_horizon_seconds
    folds = EventFolds(min(assets, _MOST_FOLDS), horizon, 1, interval, seed, whole_assets=True)
    known = np.flatnonzero(rows)
    used = np.zeros(len(rows), dtype=np.bool_)
    used[known[:: -(-len(known) // _MOST_ROWS)]] = True
    position = used.cumsum() - 1
    try:
        divided = [(position[train], position[held_out]) for train, held_out in folds.split(frame, used)]
    except TooFewFailuresError as error:
        return FamilyChoice(False, f"off: {error.message}")
    plain = config.feature_config.model_copy(update={"selection": SelectionConfig(method="none"), "scaling": "none"})
    tables = FeatureSets(config.model_copy(update={"feature_config": plain}), frame, interval, rows, used)
    label = frame["label"].to_numpy()[used]
    settings = TrainingConfig(
        lgb_params=_SMALL_MODEL, early_stopping_rounds=0, random_state=seed, threads=config.training_config.threads
    )
    table = tables.table({FAMILIES_KEY: [*tables.current()[FAMILIES_KEY], FAMILY]})
    every = list(range(len(table.names)))
    plain_names = {feature.name for feature in list_features(_switched(config, on=False), interval)}
    others = [column for column in every if table.names[column] in plain_names]
    scores = []
    with CrossValidation(label, divided, _METRIC, settings.threads) as validate:
        for columns in (others, every):
            outcome = validate(
                LightGBM.folds(table.X[:, columns], label, divided, names=[table.names[each] for each in columns]),
                settings,
                hopeless=lambda *_: False,
                deadline=np.inf,
                progress=lambda _: None,
            )
            scores.append(tuple(outcome.fold_scores))
    return _judged(*scores)


def _judged(without: tuple[float, ...], with_family: tuple[float, ...]) -> FamilyChoice:
    """On if the mean gain exceeds twice its standard error, and most folds gain: no single asset decides."""
    gains = np.subtract(with_family, without)
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    chosen = bool(gains.mean() > 2 * error and 4 * np.count_nonzero(gains > 0) >= 3 * len(gains))
    reason = (
        f"{'on' if chosen else 'off'}: average precision on unseen assets of the training part changes by "
        f"{gains.mean():+.3f} (standard error {error:.3f}, {np.count_nonzero(gains > 0)} of {len(gains)} folds gain)"
    )
    return FamilyChoice(chosen, reason, without, with_family)


def _switched(config: OrganizationConfig, *, on: bool) -> OrganizationConfig:
    families = config.feature_config.families
    history = families.history.model_copy(update={"enabled": on})
    features = config.feature_config.model_copy(update={"families": families.model_copy(update={FAMILY: history})})
    return config.model_copy(update={"feature_config": features})
