"""Which families of features help on assets that were never seen: *since* and *history* are kept only where they do.

A family can make rows of known assets easier and unknown assets harder. So each choice is made on folds that hold out
whole assets of the training part, by small models with and without the family, one family after the other; no row of
another part is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
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

FAMILIES = ("since", "history")
"""Families that are chosen where the configuration leaves them open, in this order."""
WITHOUT_LOOK_BACK = ("since",)
"""Those of them that make no window longer."""
_FEWEST_ASSETS, _MOST_FOLDS = 3, 5
_MOST_ROWS = 10_000  # neighbours are near copies, so every n-th row tells what all of them would
_SMALL_MODEL = LgbParams(num_leaves=15, learning_rate=0.1, num_iterations=60)
_METRIC = "average_precision"


@dataclass(frozen=True)
class FamilyChoice:
    """Whether a family is on, and why.

    Attributes
    ----------
    without, with_family
        Average precision on the held-out assets of each fold; empty where no fold could be made.
    reason
        In words.
    """

    family: str
    chosen: bool
    reason: str
    without: tuple[float, ...] = ()
    with_family: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The choice for JSON."""
        return {
            "family": self.family,
            "chosen": self.chosen,
            "reason": self.reason,
            "metric": _METRIC,
            "foldsWithout": list(self.without),
            "foldsWith": list(self.with_family),
        }


def with_chosen_families(
    config: OrganizationConfig, frame: pd.DataFrame, interval: int, rows: Bools, families: Sequence[str] = FAMILIES
) -> tuple[OrganizationConfig, tuple[FamilyChoice, ...]]:
    """The configuration with each of some families on or off, and the choices; none where it decides by itself.

    Parameters
    ----------
    frame
        Grid frame with its sensors and times since events, (n_rows, ...).
    interval
        Grid spacing in seconds.
    rows
        Rows of the training part, (n_rows,); the choices rest on these alone.
    """
    choices = []
    for family in families if config.feature_config.serving_profile is None else ():
        is_open = getattr(config.feature_config.families, family).enabled is None
        if is_open and (family != "since" or config.schema_config.event_inputs):
            choices.append(_choice(config, family, frame, interval, rows))
            config = _switched(config, family, on=choices[-1].chosen)
    return config, tuple(choices)


def _choice(config: OrganizationConfig, family: str, frame: pd.DataFrame, interval: int, rows: Bools) -> FamilyChoice:
    if not set(frame.columns).issuperset(config.schema_config.sensor_columns):
        return FamilyChoice(family, False, "off: this engine compares no families")
    assets = frame.loc[rows & (frame["label"] == 1).to_numpy(), "asset_id"].nunique()
    if assets < _FEWEST_ASSETS:
        return FamilyChoice(
            family, False, f"off: {assets} assets of the training part fail, and the comparison needs {_FEWEST_ASSETS}"
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
        return FamilyChoice(family, False, f"off: {error.message}")
    plain = config.feature_config.model_copy(update={"selection": SelectionConfig(method="none"), "scaling": "none"})
    tables = FeatureSets(config.model_copy(update={"feature_config": plain}), frame, interval, rows, used)
    label = frame["label"].to_numpy()[used]
    settings = TrainingConfig(
        lgb_params=_SMALL_MODEL, early_stopping_rounds=0, random_state=seed, threads=config.training_config.threads
    )
    table = tables.table({FAMILIES_KEY: [*tables.current()[FAMILIES_KEY], family]})
    every = list(range(len(table.names)))
    plain_names = {feature.name for feature in list_features(_switched(config, family, on=False), interval)}
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
    return _judged(family, *scores)


def _judged(family: str, without: tuple[float, ...], with_family: tuple[float, ...]) -> FamilyChoice:
    """On if the mean gain exceeds twice its standard error, and most folds gain: no single asset decides."""
    gains = np.subtract(with_family, without)
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    chosen = bool(gains.mean() > 2 * error and 4 * np.count_nonzero(gains > 0) >= 3 * len(gains))
    reason = (
        f"{'on' if chosen else 'off'}: average precision on unseen assets of the training part changes by "
        f"{gains.mean():+.3f} (standard error {error:.3f}, {np.count_nonzero(gains > 0)} of {len(gains)} folds gain)"
    )
    return FamilyChoice(family, chosen, reason, without, with_family)


def _switched(config: OrganizationConfig, family: str, *, on: bool) -> OrganizationConfig:
    families = config.feature_config.families
    switched = getattr(families, family).model_copy(update={"enabled": on})
    features = config.feature_config.model_copy(update={"families": families.model_copy(update={family: switched})})
    config = config.model_copy(update={"feature_config": features})
    # Windows need not hold what no feature reads.
    return config.with_event_inputs({}) if family == "since" and not on else config
