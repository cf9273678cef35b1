"""A stored state of features that is not what was written: refused where it is read."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import IntegrityError
from ml.features import FeatureEngineer

CONFIG = {
    "organizationId": "plant_a",
    "schemaConfig": {"continuousColumns": ["a", "load"], "operatingColumns": ["load"], "rollingWindows": [3]},
    "featureConfig": {"scaling": "robust", "families": {"regime": {"count": 2}}},
}


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    load = np.repeat([0.0, 10.0], 100)
    times = pd.date_range("2024-01-01", periods=200, freq="60s", tz="UTC")
    frame = pd.DataFrame(
        {"asset_id": "x", "timestamp": times, "segment": 0, "a": load + rng.normal(size=200), "load": load}
    )
    frame = frame.astype({"a": "float32", "load": "float32"})
    return FeatureEngineer(OrganizationConfig.from_dict(CONFIG), 60).fit(frame).to_dict()


def test_what_was_written_is_read(state: dict[str, Any]) -> None:
    assert FeatureEngineer.from_dict(state).to_dict() == state


PLACES = [
    ("config",), ("config", "schemaConfig"), ("config", "schemaConfig", "continuousColumns"),
    ("config", "schemaConfig", "operatingColumns"), ("interval",), ("constants",), ("constants", "a"), ("sensors",),
    ("sensors", "load"), ("regimes", "columns"), ("regimes", "scaling"), ("regimes", "centroids"),
    ("regimes", "centroids", 0), ("regimes", "centroids", 0, 0), ("regimes", "constants"),
    ("regimes", "constants", "a"), ("regimes", "constants", "a", 1), ("features",), ("features", 0), ("scaling",),
    ("scaling", "method"), ("scaling", "center"), ("scaling", "scale"), ("scaling", "scale", 0),
]  # fmt: skip
VALUES = [None, -1, 2**63, "x", "", [], {}, [[]], [1, 2, 3], {"a": 1}, float("inf"), float("nan"), [-1e9] * 50]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_changed_value(state: dict[str, Any], place: tuple[Any, ...]) -> None:
    refused = 0
    for value in VALUES:
        changed = copy.deepcopy(state)
        owner: Any = changed
        for part in place[:-1]:
            owner = owner[part]
        owner[place[-1]] = value
        try:
            FeatureEngineer.from_dict(changed)
        except IntegrityError:
            refused += 1
    possible = {("regimes", "centroids", 0, 0): 2, ("scaling", "scale", 0): 1}  # numbers that are allowed there
    assert refused == len(VALUES) - possible.get(place, 0)


def test_a_missing_value(state: dict[str, Any]) -> None:
    for key in state:
        with pytest.raises(IntegrityError):
            FeatureEngineer.from_dict({name: value for name, value in state.items() if name != key})


def test_an_interval_that_does_not_go_with_the_configuration(state: dict[str, Any]) -> None:
    changed = copy.deepcopy(state)
    changed["config"]["dataConfig"]["samplingIntervalSeconds"] = 30
    with pytest.raises(IntegrityError, match="the interval is 60 s, and 30 s"):
        FeatureEngineer.from_dict(changed)
