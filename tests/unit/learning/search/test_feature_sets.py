from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.features import FeatureEngineer
from ml.learning.search.feature_sets import FeatureSets, checked_choices, with_features
from ml.options.learning import SearchRange
from tests.unit.learning.grid_frames import regular_plant

INTERVAL = 60


def config(**schema: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "schemaConfig": {"continuousColumns": ["pressure", "load"], "rollingWindows": [4, 8], **schema},
            "featureConfig": {"families": {"anomaly": {"outlierThreshold": 2.5}}},
        }
    )


def plant() -> pd.DataFrame:
    frame = regular_plant(2, 150, 40, horizon=600)
    frame["segment"] = frame["asset_id"].factorize()[0].astype(np.int32)
    rng = np.random.default_rng(0)
    frame["load"] = rng.integers(0, 3, len(frame)).astype(np.float32) * 10
    frame["pressure"] = (frame["load"] + rng.normal(size=len(frame))).astype(np.float32)
    return frame


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ({}, {}),
        ({"rollingWindows": [12, 3]}, {"schemaConfig": {"rollingWindows": [12, 3]}}),
        ({"lagSeconds": (60, 300)}, {"schemaConfig": {"lagSeconds": [60, 300]}}),
        (
            {"rollingWindows": (5,), "families": ["raw", "anomaly"]},
            {
                "schemaConfig": {"rollingWindows": [5]},
                "featureConfig": {
                    "families": {
                        "anomaly": {"outlierThreshold": 2.5},
                        **dict.fromkeys(
                            ("lags", "rolling", "differences", "interactions", "domain", "boolean", "regime"), False
                        ),
                    }
                },
            },
        ),
    ],
    ids=["as configured", "windows", "lags", "windows and families"],
)
def test_a_table_is_what_the_feature_engineer_computes_under_that_configuration(
    values: dict[str, Any], written: dict[str, Any]
) -> None:
    frame = plant()
    fit_rows, rows = np.arange(len(frame)) % 5 != 0, (frame["label"] >= 0).to_numpy()
    start = config(operatingColumns=["load"])
    table = FeatureSets(start, frame, INTERVAL, fit_rows, rows).table(values)
    document: dict[str, Any] = start.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for section, keys in written.items():
        document[section] = document.get(section, {}) | keys
    by_hand = OrganizationConfig.from_dict(document)
    assert with_features(start, values).schema_config == by_hand.schema_config
    engineer = FeatureEngineer(by_hand, INTERVAL).fit(frame, rows=fit_rows)
    assert table.names == engineer.get_feature_names_out()
    assert table.X.tobytes() == engineer.matrix(frame, rows=rows).tobytes()


def test_the_longest_look_back_of_all_choices_purges_the_folds() -> None:
    space = {"rollingWindows": SearchRange(choices=((5,), (40, 7))), "numLeaves": SearchRange(low=3, high=9)}
    assert checked_choices(config(), INTERVAL, {}) == FeatureEngineer(config(), INTERVAL).look_back
    assert checked_choices(config(), INTERVAL, space) >= 40


@pytest.mark.parametrize(
    ("key", "choices", "words"),
    [
        ("families", [["raw"], ["roling"]], 'no family "roling"'),
        ("families", [[]], "switches every feature off"),
        ("rollingWindows", [[0]], "searchSpace.rollingWindows"),
        ("rollingWindows", [5, 10], 'needs "choices" that are lists'),
        ("lagSeconds", [[0]], "searchSpace.lagSeconds"),
    ],
)
def test_a_choice_that_is_not_allowed_is_refused_before_any_trial(key: str, choices: list[Any], words: str) -> None:
    space = {key: SearchRange.model_validate({"choices": choices})}
    with pytest.raises(ConfigError, match=words) as caught:
        checked_choices(config(), INTERVAL, space)
    assert caught.value.field == f"tuningConfig.searchSpace.{key}"


def test_families_are_not_searched_under_a_serving_profile() -> None:
    served = OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {"continuousColumns": ["x"]},
            "featureConfig": {"servingProfile": "backend"},
        }
    )
    space = {"families": SearchRange(choices=(("raw",), ("raw", "lags")))}
    with pytest.raises(ConfigError, match="families have no meaning") as caught:
        checked_choices(served, INTERVAL, space)
    assert caught.value.field == "tuningConfig.searchSpace.families"
    windows = {"rollingWindows": SearchRange(choices=((300,), (300, 7200)))}
    assert checked_choices(served, INTERVAL, windows) == 7200 // INTERVAL + 1
