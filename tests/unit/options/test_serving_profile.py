"""Which configurations get the serving profile, what it leaves out, and what does not go with it."""

from __future__ import annotations

from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError

Json = dict[str, Any]


def config_of(**sections: Any) -> OrganizationConfig:
    schema = {"continuousColumns": ["x", "y"], "booleanColumns": ["on"]} | sections.pop("schemaConfig", {})
    return OrganizationConfig.from_dict({"organizationId": "plant", "schemaConfig": schema} | sections)


def codes(config: OrganizationConfig) -> list[str]:
    return [finding.code for finding in config.findings if finding.code.startswith("SERVING")]


@pytest.mark.parametrize(
    "flat",
    [
        {"hyperparameters": {"numLeaves": 31}},
        {"featureColumns": ["x"]},
        {"targetColumn": "failure_indicator"},
        {"validationSplit": 0.2},
        {"featureColumns": ["x"], "featureConfig": {"scaling": "standard"}},
    ],
)
def test_the_flat_form_chooses_it_and_says_so(flat: Json) -> None:
    config = config_of(**flat)
    assert config.feature_config.serving_profile == "backend"
    assert codes(config) == ["SERVING_PROFILE_CHOSEN"]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, []),
        ({"trainingConfig": {"lgbParams": {"numLeaves": 31}}}, []),
        ({"featureColumns": ["x"], "featureConfig": {"servingProfile": None}}, []),
        ({"featureColumns": ["x"], "featureConfig": {"families": {"time": True}}}, ["SERVING_PROFILE_NOT_CHOSEN"]),
    ],
)
def test_the_nested_form_and_one_that_says_otherwise_do_not(sections: Json, expected: list[str]) -> None:
    config = config_of(**sections)
    assert config.feature_config.serving_profile is None
    assert codes(config) == expected


def test_a_configuration_written_out_is_read_as_it_was() -> None:
    config = config_of(featureColumns=["x"], schemaConfig={"rollingWindows": [5, 86_400]})
    again = OrganizationConfig.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict()
    assert codes(again) == []


@pytest.mark.parametrize("key", ["counterColumns", "operatingColumns"])
@pytest.mark.parametrize("form", [{"hyperparameters": {}}, {"featureConfig": {"servingProfile": "backend"}}])
def test_what_the_server_knows_nothing_of_is_left_out_and_told(key: str, form: Json) -> None:
    config = config_of(schemaConfig={key: ["x"]}, **form)
    assert config.schema_config.counter_columns == config.schema_config.operating_columns == ()
    assert "x" in config.schema_config.continuous_columns
    finding = config.findings[-1]
    assert (finding.code, finding.field) == ("SERVING_PROFILE_IGNORES", f"schemaConfig.{key}")


@pytest.mark.parametrize("seconds", [1, 300, 20_001, 86_400, 31_622_400])
def test_windows_are_seconds_there(seconds: int) -> None:
    config = config_of(featureColumns=["x"], schemaConfig={"rollingWindows": [seconds]})
    assert config.schema_config.rolling_windows == (seconds,)


@pytest.mark.parametrize(
    ("sections", "field", "words"),
    [
        ({"schemaConfig": {"rollingWindows": [5, 1]}}, "schemaConfig.rollingWindows[1]", "or equal to 2 (got 1)"),
        ({"schemaConfig": {"rollingWindows": [86_400]}}, "schemaConfig.rollingWindows[0]", "to 20000 (got 86400)"),
        (
            {"featureColumns": ["x"], "schemaConfig": {"rollingWindows": [31_622_401]}},
            "schemaConfig.rollingWindows[0]",
            "to 31622400 (got 31622401)",
        ),
        ({"featureColumns": ["x"], "schemaConfig": {"rollingWindows": [0]}}, "schemaConfig.rollingWindows[0]", "to 1"),
        (
            {"featureConfig": {"servingProfile": "backend", "families": {"time": True}}},
            "featureConfig.families",
            "has no meaning under",
        ),
        ({"featureConfig": {"servingProfile": "server"}}, "featureConfig.servingProfile", "'backend'"),
    ],
)
def test_what_does_not_go_together_is_refused(sections: Json, field: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(**sections)
    assert caught.value.field == field
    assert words in caught.value.message
