"""Features in the words of people: every feature of the catalogue has some."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import pytest

from ml.config import OrganizationConfig
from ml.windows import feature_words
from ml.windows.catalogue import FAMILIES, Feature, Request
from ml.windows.channels import Constants
from ml.windows.feature_words import feature_in_words, value_teller
from ml.windows.operations import Rolling, Value

REPOSITORY = Path(__file__).resolve().parents[3]
INTERVAL = 900


def test_the_examples_hold() -> None:
    result = doctest.testmod(feature_words)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_feature_of_the_catalogue_has_words() -> None:
    config = OrganizationConfig.load_from_file(REPOSITORY / "ml/config/manufacturing_org.json")
    request = Request.of(config, INTERVAL)
    names = [feature.name for family in FAMILIES for feature in family.features(request)]
    assert len(names) > 200
    assert [name for name in names if "__" in feature_in_words(name, INTERVAL)] == []


@pytest.mark.parametrize("name", ["flow", "flow_rolling_300s_mean", "a__b", "flow__mean__w=x", "flow__mean", "__"])
def test_what_is_no_feature_of_the_catalogue_keeps_its_name(name: str) -> None:
    assert feature_in_words(name, INTERVAL) == name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("flow__median__w=24", 12.8, "flow, median of 6 h: 0.4 σ above normal"),  # noqa: RUF001
        ("flow__value", 4.0, "flow, now: 4.0 σ below normal"),  # noqa: RUF001
        ("flow__value", 12.01, "flow, now: as normal"),
        ("flow__zscore", -2.25, "flow, distance from normal: 2.2 σ below normal"),  # noqa: RUF001
        ("flow__std__w=4", 3.25, "flow, spread over 1 h: 3.25"),
        ("other__value", 3.25, "other, now: 3.25"),
        ("flow__value", math.nan, "flow, now: missing"),
    ],
)
def test_a_value_is_told_by_its_distance_from_normal(name: str, value: float, words: str) -> None:
    tell = value_teller(INTERVAL, {"flow": Constants(mean=12.0, std=2.0)})
    operation = Rolling("flow", "median", 24) if "median" in name else Value("flow")
    assert tell(Feature(name, operation), value) == words
