"""The folds of a backtest: every failure is evaluated once, by a model that has not seen it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.errors import TooFewFailuresError
from ml.learning.events.failures import failure_numbers
from ml.learning.folds.splits import MORE_HISTORY, EventFolds, Parts
from ml.wording import plural

ENOUGH_FAILURES = 30
"""With so many failures in all, a part of them held out judges well enough."""
_FEWEST_FOLDS, _MOST_FOLDS = 3, 5


def scheme_of(config: OrganizationConfig, frame: pd.DataFrame) -> str:
    """``backtest`` or ``holdout``: as configured, else by the number of failures that the rows know of.

    Where the configuration leaves the choice, there is no backtest if it sets no test part aside, refits on less than
    all rows, or trains on a cluster.
    """
    scheme = config.validation_config.scheme
    if scheme is not None:
        return scheme
    training = config.training_config
    if config.data_config.test_split == 0 or training.refit not in (None, "all") or training.engine != "local":
        return "holdout"
    folds, failures = _most_folds(config, frame)
    return "backtest" if folds >= _FEWEST_FOLDS and failures < ENOUGH_FAILURES else "holdout"


def backtest_parts(
    config: OrganizationConfig, frame: pd.DataFrame, *, look_back: int, interval: int
) -> tuple[Parts, ...]:
    """Training, validation and test part of each fold; each labelled row is in the test part of one of them.

    Folds are whole assets with ``splitBy: asset``, else stretches of time around whole failures, purged of what they
    would show one another (`EventFolds.rotation`). There are five, or as many as there are failures (assets that fail).

    Raises
    ------
    TooFewFailuresError
        If there are fewer than three, or fewer failures than ``minFailureEvents``, or a part lacks a class.
    """
    folds, failures = _most_folds(config, frame)
    by_asset = config.data_config.split_by == "asset"
    if folds < _FEWEST_FOLDS or failures < config.data_config.min_failure_events:
        found = plural(folds, "asset") + " that fails" if by_asset and folds == 1 else f"{folds} assets that fail"
        raise TooFewFailuresError(
            f"the data has {found if by_asset else plural(failures, 'failure event')}, and a backtest needs at least "
            f"{_FEWEST_FOLDS if by_asset else max(_FEWEST_FOLDS, config.data_config.min_failure_events)}",
            field="validationConfig.scheme",
            hint=MORE_HISTORY,
        )
    rotation = EventFolds(
        min(folds, _MOST_FOLDS),
        config.data_config.prediction_horizon_seconds,
        look_back,
        interval,
        config.training_config.random_state,
        whole_assets=by_asset,
    ).rotation(frame, np.ones(len(frame), dtype=np.bool_))
    return tuple(_parts(len(frame), *positions) for positions in rotation)


def _most_folds(config: OrganizationConfig, frame: pd.DataFrame) -> tuple[int, int]:
    """How many folds could be made, and the failures with a row labelled 1."""
    numbers = failure_numbers(frame, config.data_config.prediction_horizon_seconds)
    failures = len(np.unique(numbers[numbers >= 0]))
    if config.data_config.split_by == "asset":
        return int(frame.loc[numbers >= 0, "asset_id"].nunique()), failures
    return failures, failures


def _parts(n_rows: int, *positions: Any) -> Parts:
    masks: list[Bools] = []
    for each in positions:
        mask = np.zeros(n_rows, dtype=np.bool_)
        mask[each] = True
        masks.append(mask)
    return Parts(masks[0], masks[1], masks[2], purged=0, description={})
