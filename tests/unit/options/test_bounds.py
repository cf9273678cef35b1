"""Values that no computer could serve, and shapes that no section has, end as configuration errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.options.forms.templates import TEMPLATES

Json = dict[str, Any]

AT_MOST = [
    ("schemaConfig.rollingWindows[0]", 20_000),
    ("schemaConfig.lagSeconds[0]", 10**9),
    ("dataConfig.predictionHorizonSeconds", 10**9),
    ("dataConfig.recoverySeconds", 10**9),
    ("dataConfig.maxGapSeconds", 10**9),
    ("dataConfig.samplingIntervalSeconds", 10**9),
    ("dataConfig.minFailureEvents", 10**9),
    ("featureConfig.selection.k", 10**6),
    ("trainingConfig.threads", 1024),
    ("trainingConfig.earlyStoppingRounds", 10**6),
    ("trainingConfig.lgbParams.minDataInLeaf", 10**9),
    ("trainingConfig.lgbParams.maxDepth", 1000),
    ("trainingConfig.lgbParams.baggingFreq", 10**6),
    ("trainingConfig.lgbParams.numIterations", 100_000),
    ("trainingConfig.lgbParams.numLeaves", 131_072),
    ("trainingConfig.lgbParams.maxBin", 65_535),
    ("trainingConfig.lgbParams.verbosity", 100),
    ("trainingConfig.rfParams.nEstimators", 100_000),
    ("trainingConfig.rfParams.maxDepth", 1000),
    ("trainingConfig.rfParams.minSamplesLeaf", 10**9),
    ("trainingConfig.rfParams.minSamplesSplit", 10**9),
    ("tuningConfig.nTrials", 100_000),
    ("tuningConfig.timeoutSeconds", 10**9),
    ("tuningConfig.workers", 1024),
    ("validationConfig.latencyRuns", 100_000),
    ("validationConfig.robustnessRows", 10**8),
    ("validationConfig.alarmCooldownSeconds", 10**9),
    ("conversionConfig.parityRows", 10_000_000),
]
AT_LEAST = [
    ("trainingConfig.lgbParams.baggingFraction", 0.001),
    ("trainingConfig.lgbParams.featureFraction", 0.001),
    ("trainingConfig.rfParams.maxSamples", 0.001),
    ("trainingConfig.lgbParams.verbosity", -100),
    ("trainingConfig.threads", 1),
    ("conversionConfig.parityRows", 1),
]


def configured(path: str, value: Any) -> Json:
    """A configuration with `value` at `path`, written as in errors."""
    data: Json = {"organizationId": "plant", "schemaConfig": {"continuousColumns": ["x"]}}
    *sections, key = path.removesuffix("[0]").split(".")
    inner = data
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = [value] if path.endswith("[0]") else value
    return data


def refusal(data: Json) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        OrganizationConfig.from_dict(data)
    return caught.value


class TestBounds:
    @pytest.mark.parametrize(("path", "limit"), AT_MOST)
    def test_the_largest_value_is_accepted_and_no_more(self, path: str, limit: int) -> None:
        OrganizationConfig.from_dict(configured(path, limit))
        for value in (limit + 1, 10**30):
            error = refusal(configured(path, value))
            assert error.field == path
            assert f"less than or equal to {limit} (got {value})" in error.message

    @pytest.mark.parametrize(("path", "limit"), AT_LEAST)
    def test_the_smallest_value_is_accepted_and_no_less(self, path: str, limit: float) -> None:
        OrganizationConfig.from_dict(configured(path, limit))
        error = refusal(configured(path, limit - 1 if isinstance(limit, int) else limit / 2))
        assert error.field == path
        assert f"greater than or equal to {limit} (got" in error.message

    def test_there_is_at_least_one_window(self) -> None:
        error = refusal(configured("schemaConfig.rollingWindows", []))
        assert error.field == "schemaConfig.rollingWindows"
        assert "at least 1 item" in error.message

    def test_no_lags_is_a_choice(self) -> None:
        config = OrganizationConfig.from_dict(configured("schemaConfig.lagSeconds", []))
        assert config.schema_config.lag_seconds == ()


class TestNumbers:
    @pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000])
    def test_a_number_of_thousands_of_digits_is_refused(self, digits: str) -> None:
        text = json.dumps(configured("version", "DIGITS")).replace('"DIGITS"', digits)
        with pytest.raises(ConfigError, match="more than 4,300 digits") as caught:
            OrganizationConfig.from_json(text)
        assert "in quotes" in str(caught.value.hint)

    @pytest.mark.parametrize("value", [5, 1.5, 10**4000])
    @pytest.mark.parametrize("key", ["organizationId", "version"])
    def test_a_number_for_a_name_wants_quotes(self, key: str, value: float) -> None:
        error = refusal(configured(key, value))
        assert error.field == key
        assert "put it in quotes" in error.message
        assert len(error.message) < 200

    @pytest.mark.parametrize("value", [True, None, ["v1"]])
    def test_what_quotes_would_not_mend_is_not_told_to_want_them(self, value: Any) -> None:
        assert "quotes" not in refusal(configured("version", value)).message

    def test_a_password_of_digits_is_not_repeated(self) -> None:
        error = refusal(configured("scadaDbConfig", {"database": "d", "password": 271828}))
        assert "put it in quotes" in error.message
        assert "271828" not in f"{error} {error.hint}"

    @pytest.mark.parametrize("path", ["dataConfig.testSplit", "trainingConfig.lgbParams.learningRate"])
    def test_a_whole_number_beyond_every_float_is_refused(self, path: str) -> None:
        assert refusal(configured(path, 10**4000)).field == path


STRANGE = [5, "abc", True, {"a": 1}, [5], [["x"]], [None], [{"a": 1}]]


class TestStrangeColumns:
    @pytest.mark.parametrize("value", STRANGE, ids=json.dumps)
    @pytest.mark.parametrize("key", ["continuousColumns", "booleanColumns", "counterColumns", "operatingColumns"])
    def test_with_feature_columns(self, key: str, value: Any) -> None:
        data = configured("schemaConfig.continuousColumns", ["a"]) | {"featureColumns": ["a"]}
        data["schemaConfig"][key] = value
        assert str(refusal(data).field).startswith(f"schemaConfig.{key}")

    @pytest.mark.parametrize("value", STRANGE, ids=json.dumps)
    @pytest.mark.parametrize("industry", sorted(TEMPLATES))
    def test_with_a_template(self, industry: str, value: Any) -> None:
        data = configured("schemaConfig.continuousColumns", value) | {"industry": industry}
        assert str(refusal(data).field).startswith("schemaConfig.continuousColumns")
