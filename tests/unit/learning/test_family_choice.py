from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.learning.family_choice import with_chosen_families
from tests.unit.learning.grid_frames import grid_frame

INTERVAL, HORIZON = 60, 600


def plant(levels: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Machines that run at levels of their own, and leave them by two before a failure; and their labelled rows."""
    rng = np.random.default_rng(1)
    onsets = {f"m{number}": rng.choice(np.arange(30, 600, 20), 6, replace=False).tolist() for number in range(8)}
    frame = grid_frame(
        {name: list(range(600)) for name in onsets},
        failures={name: [(first, first) for first in steps] for name, steps in onsets.items()},
        horizon=HORIZON,
    )
    asset = frame["asset_id"].factorize()[0]
    frame["segment"] = asset.astype(np.int32)
    level = rng.normal(0, levels, asset.max() + 1)[asset] if levels else 0.0
    frame["x"] = (level + 2.0 * (frame["label"] == 1) + rng.normal(size=len(frame))).astype(np.float32)
    return frame, (frame["label"] >= 0).to_numpy()


def config(**history: Any) -> OrganizationConfig:
    families = {"rolling": {"statistics": ["mean"]}, "lags": False, "differences": False, "history": history}
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "schemaConfig": {"continuousColumns": ["x"], "rollingWindows": [4]},
            "dataConfig": {"predictionHorizonSeconds": HORIZON},
            "featureConfig": {"families": families},
            "trainingConfig": {"threads": 1},
        }
    )


def test_machines_with_levels_of_their_own_are_compared_with_their_past() -> None:
    chosen, (choice,) = with_chosen_families(config(), *_of(plant(levels=8.0)))
    assert chosen.feature_config.families.history.enabled is True
    assert choice.chosen
    assert "5 of 5 folds gain" in choice.reason


def test_machines_that_are_alike_are_not() -> None:
    chosen, (choice,) = with_chosen_families(config(), *_of(plant(levels=0.0)))
    assert chosen.feature_config.families.history.enabled is False
    assert not choice.chosen


def test_only_rows_of_the_training_part_decide() -> None:
    frame, _ = plant(levels=8.0)
    rows = (frame["label"] >= 0).to_numpy() & (frame["asset_id"].factorize()[0] < 5)
    before = with_chosen_families(config(), frame, INTERVAL, rows)[1]
    frame.loc[~rows, "label"] = 1 - frame.loc[~rows, "label"].clip(0)
    frame.loc[frame["asset_id"].factorize()[0] >= 5, "x"] = np.float32(1e6)
    assert with_chosen_families(config(), frame, INTERVAL, rows)[1] == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_configuration_comes_first(enabled: bool) -> None:
    given = config(enabled=enabled)
    assert with_chosen_families(given, *_of(plant(levels=8.0))) == (given, ())


def test_two_assets_are_too_few_to_compare_on() -> None:
    frame, rows = plant(levels=8.0)
    _, (choice,) = with_chosen_families(config(), frame, INTERVAL, rows & (frame["asset_id"].factorize()[0] < 2))
    assert choice.reason == "off: 2 assets of the training part fail, and the comparison needs 3"


def _of(made: tuple[pd.DataFrame, np.ndarray]) -> tuple[pd.DataFrame, int, np.ndarray]:
    return made[0], INTERVAL, made[1]
