"""The rows that a search is about: features, labels and folds of the training and validation parts."""

from __future__ import annotations

import pandas as pd

from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.learning.folds.shuffled import ShuffledRowFolds
from ml.learning.folds.splits import EventFolds, split_of
from ml.learning.search.feature_sets import FeatureSets, SearchRows, checked_choices
from ml.options.features import SelectionConfig


def search_rows(config: OrganizationConfig, frame: pd.DataFrame, interval: int) -> SearchRows:
    """The rows of a grid frame with labels and a spacing of `interval` seconds; the test part is not looked at.

    Features are not selected: selection ranks them by the labels of rows that folds hold out.

    Raises ConfigError if the search space names windows, lags or families that are not allowed, and NoRowsError or
    TooFewFailuresError if the parts or the folds cannot be made.
    """
    features = config.feature_config.model_copy(update={"selection": SelectionConfig(method="none")})
    config = config.model_copy(update={"feature_config": features})
    engineer = FeatureEngineer(config, interval)
    look_back = checked_choices(config, engineer.interval, config.tuning_config.search_space or {})
    parts = split_of(config, frame, engineer)
    seen = parts.train | parts.validation
    folds = _folds(config, look_back, engineer.interval)
    position = seen.cumsum() - 1  # of a frame row among the rows that have features
    return SearchRows(
        FeatureSets(config, frame, engineer.interval, parts.train, seen),
        frame["label"].to_numpy()[seen],
        [(position[train], position[held_out]) for train, held_out in folds.split(frame, seen)],
    )


def _folds(config: OrganizationConfig, look_back: int, interval: int) -> EventFolds | ShuffledRowFolds:
    """The folds; `look_back` is the longest that is searched, so that all trials are scored on the same rows."""
    tuning = config.tuning_config
    if tuning.shuffled_folds == "leaks":
        return ShuffledRowFolds(tuning.cv_folds, tuning.random_state)
    return EventFolds(
        tuning.cv_folds,
        config.data_config.prediction_horizon_seconds,
        look_back,
        interval,
        tuning.random_state,
        whole_assets=config.data_config.split_by == "asset",
    )
