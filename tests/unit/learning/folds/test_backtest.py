from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.errors import ConfigError, TooFewFailuresError
from ml.learning.events.failures import epoch_seconds, failure_numbers
from ml.learning.folds.backtest import backtest_parts, scheme_of
from tests.reference.splits import sees_held_out
from tests.unit.learning.grid_frames import grid_frame, regular_plant
from tests.unit.learning.strategies import INTERVAL, labelled_frames

HORIZON = 300


def config_of(horizon: int = HORIZON, **sections: dict[str, Any]) -> OrganizationConfig:
    data = {"predictionHorizonSeconds": horizon, "minFailureEvents": 0} | sections.pop("dataConfig", {})
    return OrganizationConfig.from_dict(
        {"organizationId": "a", "schemaConfig": {"continuousColumns": ["x"]}, "dataConfig": data, **sections}
    )


@given(labelled_frames(), st.integers(1, 10), st.sampled_from(["time", "asset"]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_part_of_a_fold_sees_the_part_it_is_judged_on(
    case: tuple[pd.DataFrame, int], look_back: int, split_by: str
) -> None:
    frame, horizon = case
    times, assets = epoch_seconds(frame["timestamp"]).tolist(), frame["asset_id"].tolist()
    failures = failure_numbers(frame, horizon)
    try:
        folds = backtest_parts(
            config_of(horizon, dataConfig={"splitBy": split_by}), frame, look_back=look_back, interval=INTERVAL
        )
    except TooFewFailuresError:
        return
    tested = np.zeros(len(frame), dtype=int)
    for parts in folds:
        tested += parts.test
        masks = parts.train, parts.validation, parts.test
        train, validation, test = (np.flatnonzero(mask).tolist() for mask in masks)
        window = look_back * INTERVAL
        assert not sees_held_out(times, assets, train, test, window, horizon)
        assert not sees_held_out(times, assets, train, validation, window, horizon)
        assert not sees_held_out(times, assets, validation, test, window, horizon)
        assert not (set(failures[test]) & set(failures[[*train, *validation]])) - {-1}
    assert (tested == (frame["label"] >= 0)).all()


def test_five_failures_of_one_machine_are_left_out_one_by_one() -> None:
    frame = regular_plant(1, 500, 100, horizon=HORIZON)
    failures = failure_numbers(frame, HORIZON)
    folds = backtest_parts(config_of(), frame, look_back=5, interval=INTERVAL)
    assert len(np.unique(failures[failures >= 0])) == len(folds) == 5
    assert [len(np.unique(failures[parts.test & (failures >= 0)])) for parts in folds] == [1] * 5


def test_each_fold_is_once_the_validation() -> None:
    folds = backtest_parts(config_of(dataConfig={"splitBy": "asset"}), regular_plant(6, 300, 60, horizon=HORIZON),
                           look_back=5, interval=INTERVAL)  # fmt: skip
    assert sum(parts.validation for parts in folds).max() == 1


@pytest.mark.parametrize(
    ("assets", "options", "scheme"),
    [
        (2, {}, "backtest"),
        (8, {}, "holdout"),  # 32 failures
        (2, {"validationConfig": {"scheme": "holdout"}}, "holdout"),
        (8, {"validationConfig": {"scheme": "backtest"}}, "backtest"),
        (2, {"dataConfig": {"testSplit": 0}}, "holdout"),
        (2, {"trainingConfig": {"refit": "none"}}, "holdout"),
        (2, {"trainingConfig": {"refit": "all"}}, "backtest"),
        (2, {"dataConfig": {"splitBy": "asset"}}, "holdout"),  # two assets make no three folds
    ],
)
def test_few_failures_are_backtested_unless_the_configuration_asks_for_something_else(
    assets: int, options: dict[str, Any], scheme: str
) -> None:
    assert scheme_of(config_of(**options), regular_plant(assets, 300, 60, horizon=HORIZON)) == scheme


def test_two_failures_are_too_few() -> None:
    frame = grid_frame({"a": list(range(200))}, failures={"a": [(60, 62), (150, 152)]}, horizon=HORIZON)
    with pytest.raises(TooFewFailuresError, match="2 failure events, and a backtest needs at least 3"):
        backtest_parts(config_of(), frame, look_back=5, interval=INTERVAL)


@pytest.mark.parametrize(
    "training", [{"refit": "none"}, {"refit": "validation"}, {"engine": "dask"}], ids=["none", "validation", "dask"]
)
def test_a_backtest_ships_a_model_of_all_rows_fitted_in_this_process(training: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="backtest"):
        config_of(trainingConfig=training, validationConfig={"scheme": "backtest"})
