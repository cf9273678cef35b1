"""Trained models as fixtures."""

from __future__ import annotations

import lightgbm
import pytest

from tests.unit.export.trained_models import KINDS, Trained, model_of_kind, plant_rows, train_booster


@pytest.fixture(params=list(KINDS))
def trained(request: pytest.FixtureRequest) -> Trained:
    """Every kind of model in turn."""
    return model_of_kind(request.param)


@pytest.fixture
def booster() -> lightgbm.Booster:
    return train_booster(*plant_rows())


@pytest.fixture
def gbdt() -> Trained:
    return model_of_kind("gbdt")


@pytest.fixture
def forest() -> Trained:
    return model_of_kind("forest")
