from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.config import MAX_CONFIG_BYTES, OrganizationConfig
from ml.errors import ConfigError, EagleError, IsolationError
from ml.options.base import field_path, nearest
from ml.options.forms.templates import TEMPLATES
from tests.unit.options.configurations import configurations, lgb_params

Json = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[3] / "ml" / "config"
SECRET = "correct horse battery"


def minimal(**sections: Any) -> Json:
    """The shortest configuration, with `sections` merged into it key by key."""
    data: Json = {"organizationId": "plant", "schemaConfig": {"continuousColumns": ["x", "y"]}}
    for key, value in sections.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) and isinstance(data.get(key), dict) else value
    return data


def refusal(data: Json, kind: type[EagleError] = ConfigError) -> EagleError:
    with pytest.raises(kind) as caught:
        OrganizationConfig.from_dict(data)
    return caught.value


class TestRoundTrip:
    @settings(max_examples=150, deadline=None)
    @given(configurations())
    def test_json_and_back_is_identity(self, data: Json) -> None:
        config = OrganizationConfig.from_dict(data)
        again = OrganizationConfig.from_json(config.to_json())
        assert again == config
        assert again.digest() == config.digest()
        assert again.settings_digest() == config.settings_digest()

    @settings(max_examples=50, deadline=None)
    @given(configurations())
    def test_reading_changes_nothing_in_what_was_given(self, data: Json) -> None:
        before = copy.deepcopy(data)
        OrganizationConfig.from_dict(data)
        assert data == before

    def test_a_requirement_that_was_switched_off_stays_off(self, tmp_path: Path) -> None:
        config = OrganizationConfig.from_dict(minimal(validationConfig={"minAccuracy": None, "maxLatencyMs": None}))
        config.save_to_file(tmp_path / "saved.json")
        again = OrganizationConfig.load_from_file(tmp_path / "saved.json").validation_config
        assert (again.min_accuracy, again.max_latency_ms) == (None, None)

    def test_a_byte_order_mark_is_no_obstacle(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps(minimal()), encoding="utf-8-sig")
        assert OrganizationConfig.load_from_file(tmp_path / "config.json").organization_id == "plant"

    def test_a_configuration_cannot_be_changed(self) -> None:
        config = OrganizationConfig.from_dict(minimal())
        with pytest.raises(ValueError, match="frozen"):
            config.version = "v2"  # type: ignore[misc]

    def test_digests_follow_what_matters(self) -> None:
        plain = OrganizationConfig.from_dict(minimal())
        other_model = OrganizationConfig.from_dict(minimal(trainingConfig={"modelType": "random_forest"}))
        other_horizon = OrganizationConfig.from_dict(minimal(dataConfig={"predictionHorizonSeconds": 60}))
        assert other_model.digest() != plain.digest()
        assert other_model.settings_digest() == plain.settings_digest()
        assert other_horizon.settings_digest() != plain.settings_digest()


class TestBesideTheConfiguration:
    def test_schema_is_the_schema_and_no_method_of_a_library(self) -> None:
        config = OrganizationConfig.from_dict(minimal())
        assert config.schema is config.schema_config

    @pytest.mark.parametrize("module", ["config", "features"])
    def test_a_module_that_is_started_says_what_it_is_for(self, module: str) -> None:
        started = [sys.executable, f"{module}.py"]
        done = subprocess.run(started, cwd=FOLDER.parent, capture_output=True, encoding="utf-8", check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"from {module} import" in done.stderr
        assert done.stderr.count("\n") == 1

    def test_what_was_noted_makes_no_other_configuration(self) -> None:
        noted = OrganizationConfig.from_dict(minimal(featureColumns=["x", "nowhere"]))
        assert {finding.code for finding in noted.findings} > {"FEATURE_COLUMNS_UNKNOWN", "COLUMNS_NOT_USED"}
        assert OrganizationConfig.from_json(noted.to_json()) == noted


class TestFlatForm:
    @settings(max_examples=60, deadline=None)
    @given(lgb_params, st.floats(0.05, 0.4), st.sets(st.sampled_from(["a", "b", "c"]), min_size=1))
    def test_it_equals_the_nested_form(self, parameters: Json, share: float, wanted: set[str]) -> None:
        columns = ["a", "b", "c"]
        flat = {
            "organizationId": "plant",
            "hyperparameters": parameters,
            "validationSplit": share,
            "targetColumn": "failed",
            "featureColumns": sorted(wanted),
            "schemaConfig": {"continuousColumns": columns},
        }
        nested = {
            "organizationId": "plant",
            "trainingConfig": {"lgbParams": parameters},
            "dataConfig": {"validationSplit": share},
            "schemaConfig": {"continuousColumns": sorted(wanted), "targetColumn": "failed"},
            "featureConfig": {"servingProfile": "backend"},
        }
        assert OrganizationConfig.from_dict(flat).to_dict() == OrganizationConfig.from_dict(nested).to_dict()

    def test_feature_columns_stand_in_for_missing_columns(self) -> None:
        data = {
            "organizationId": "plant",
            "featureColumns": ["a", "on"],
            "schemaConfig": {"booleanColumns": ["on"]},
        }
        schema = OrganizationConfig.from_dict(data).schema_config
        assert (schema.continuous_columns, schema.boolean_columns) == (("a",), ("on",))

    def test_feature_columns_limit_what_speaks_of_columns(self) -> None:
        data = minimal(
            featureColumns=["y"],
            featureConfig={"servingProfile": None},
            schemaConfig={
                "counterColumns": ["x"],
                "operatingColumns": ["y"],
                "columnRoles": {"x": "load", "y": "power"},
                "columnUnits": {"x": "%", "y": "kW"},
            },
        )
        schema = OrganizationConfig.from_dict(data).schema_config
        assert schema.continuous_columns == ("y",)
        assert (schema.counter_columns, schema.operating_columns) == ((), ("y",))
        assert schema.column_roles == {"y": "power"}
        assert schema.column_units == {"y": "kW"}

    def test_null_sections_mean_none(self) -> None:
        data = minimal(scadaDbConfig=None, dataRange=None, dataSource=None)
        assert OrganizationConfig.from_dict(data) == OrganizationConfig.from_dict(minimal())

    @pytest.mark.parametrize(
        ("sections", "words"),
        [
            (
                {"hyperparameters": {"numLeaves": 3}, "trainingConfig": {"lgbParams": {"numLeaves": 4}}},
                '"hyperparameters" and "trainingConfig.lgbParams" contradict each other',
            ),
            ({"validationSplit": 0.3, "dataConfig": {"validationSplit": 0.2}}, "(0.3 and 0.2)"),
            ({"featureColumns": "x"}, "featureColumns must be a list of column names"),
        ],
    )
    def test_contradictions_are_refused(self, sections: Json, words: str) -> None:
        error = refusal(minimal(**sections))
        assert words in error.message
        assert error.field in sections

    def test_saying_the_same_twice_is_no_contradiction(self) -> None:
        config = OrganizationConfig.from_dict(minimal(validationSplit=0.3, dataConfig={"validationSplit": 0.3}))
        assert config.data_config.validation_split == 0.3

    def test_a_table_of_the_schema_is_kept(self) -> None:
        assert OrganizationConfig.from_dict(minimal(schemaConfig={"table": "t"})).schema_config.table == "t"


class TestTemplates:
    @pytest.mark.parametrize("industry", sorted(TEMPLATES))
    def test_a_template_alone_is_a_configuration(self, industry: str) -> None:
        config = OrganizationConfig.from_dict({"organizationId": "plant", "industry": industry})
        template = TEMPLATES[industry]
        assert list(config.schema_config.continuous_columns) == template["schemaConfig"]["continuousColumns"]
        horizon = template["dataConfig"]["predictionHorizonSeconds"]
        assert config.data_config.prediction_horizon_seconds == horizon

    @pytest.mark.parametrize("industry", sorted(TEMPLATES))
    def test_reading_a_template_does_not_change_it(self, industry: str) -> None:
        before = copy.deepcopy(TEMPLATES[industry])
        OrganizationConfig.from_dict(
            {"organizationId": "plant", "industry": industry, "schemaConfig": {"continuousColumns": ["x"]}}
        )
        assert TEMPLATES[industry] == before

    def test_what_the_organisation_says_wins_and_strange_roles_go(self) -> None:
        config = OrganizationConfig.from_dict(
            minimal(
                industry="manufacturing",
                schemaConfig={"continuousColumns": ["x", "vibration"], "columnRoles": {"x": "ambient"}},
                dataConfig={"predictionHorizonSeconds": 60},
            )
        )
        assert config.schema_config.column_roles == {"vibration": "vibration", "x": "ambient"}
        assert config.data_config.prediction_horizon_seconds == 60

    @pytest.mark.parametrize("industry", ["bakery", 5, ["manufacturing"], {"name": "manufacturing"}])
    def test_an_unknown_industry_is_a_configuration_error(self, industry: Any) -> None:
        error = refusal(minimal(industry=industry))
        assert error.field == "industry"
        assert "power_generation" in error.message


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("sections", "field", "hint"),
        [
            ({"schemaConfg": {}}, "schemaConfg", 'did you mean "schemaConfig"?'),
            ({"schema_config": {}}, "schema_config", 'did you mean "schemaConfig"?'),
            ({"schemaConfig": {"lagSecond": []}}, "schemaConfig.lagSecond", 'did you mean "lagSeconds"?'),
            (
                {"trainingConfig": {"lgbParams": {"numleafs": 3}}},
                "trainingConfig.lgbParams.numleafs",
                'did you mean "numLeaves"?',
            ),
            (
                {"featureConfig": {"families": {"laggs": True}}},
                "featureConfig.families.laggs",
                'did you mean "lags"?',
            ),
            ({"dataSource": {"qqq": 1, "path": "p"}}, "dataSource.qqq", "allowed here: path"),
            ({"hyperparameters": {"leaves": 3}}, "trainingConfig.lgbParams.leaves", 'did you mean "numLeaves"?'),
        ],
    )
    def test_the_nearest_key_is_named(self, sections: Json, field: str, hint: str) -> None:
        data = {**minimal(), **sections}
        error = refusal(data)
        assert (error.field, error.hint) == (field, hint)
        assert f'unknown key "{field}"' in error.message

    def test_a_name_unlike_all_has_no_nearest(self) -> None:
        assert nearest("qqqq", ["lags", "raw"]) is None
        assert nearest("Rolling_Window", ["rollingWindows", "lagSeconds"]) == "rollingWindows"

    def test_paths_are_written_as_in_the_file(self) -> None:
        assert field_path(("schemaConfig", "lagSeconds", 1)) == "schemaConfig.lagSeconds[1]"


HOSTILE_IDS = [
    "", ".", "..", "../x", "a/b", "a\\b", "/etc", "C:", "a:b", "-rf", "_x", ".hidden", "a..b", "a.", "a ", " a", "a\n",
    "a\0b", "a\tb", "con", "NUL", "com1.txt", "lpt9", "aux.v1", "x" * 129, "\u0430dmin", "caf\u00e9", "a\u202eb",
    "\uff0e\uff0e/x", "a\u2044b", "%2e%2e", "$(id)", "a;b", "a|b", "*", "~root", "a\u0301",
]  # fmt: skip


class TestIdentifiers:
    @pytest.mark.parametrize("key", ["organizationId", "version"])
    @pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=ascii)
    def test_hostile_ids_are_refused(self, key: str, hostile: str) -> None:
        error = refusal(minimal(**{key: hostile}), IsolationError)
        assert error.field == key
        assert "is not a safe identifier" in error.message

    @pytest.mark.parametrize("value", [None, 5, True, ["a"], {"a": 1}])
    def test_an_id_is_text(self, value: Any) -> None:
        assert refusal(minimal(organizationId=value)).field == "organizationId"

    @pytest.mark.parametrize("name", ["a", "A-1", "power_gen_org_1", "v1.2.3", "x" * 128, "0", "console", "com10"])
    def test_plain_ids_are_accepted(self, name: str) -> None:
        assert OrganizationConfig.from_dict(minimal(organizationId=name)).organization_id == name

    def test_a_hostile_id_is_named_first_whatever_else_is_wrong(self) -> None:
        data = minimal(organizationId="../x", dataConfig={"testSplit": 7}, unknown=1)
        assert refusal(data, IsolationError).field == "organizationId"


VALIDATORS = [
    ({"schemaConfig": {"continuousColumns": []}}, "names no continuousColumns and no booleanColumns"),
    ({"schemaConfig": {"continuousColumns": ["x", "x"]}}, "names x more than once"),
    ({"schemaConfig": {"continuousColumns": [""]}}, "must be 1 to 128 printable characters"),
    ({"schemaConfig": {"continuousColumns": ["a\nb"]}}, "must be 1 to 128 printable characters"),
    ({"schemaConfig": {"booleanColumns": ["x"]}}, "x cannot be both continuous and boolean"),
    ({"schemaConfig": {"continuousColumns": ["label"]}}, "label: reserved for the prepared grid"),
    ({"schemaConfig": {"targetColumn": "x"}}, "x cannot be a sensor: it is the target, asset or timestamp column"),
    ({"schemaConfig": {"assetColumn": "y"}}, "y cannot be a sensor"),
    ({"schemaConfig": {"timestampColumn": "y"}}, "y cannot be a sensor"),
    ({"schemaConfig": {"counterColumns": ["z"]}}, "counterColumns names z, which is not in continuousColumns"),
    ({"schemaConfig": {"operatingColumns": ["xx"]}}, "operatingColumns names xx"),
    ({"schemaConfig": {"columnRoles": {"xx": "load"}}}, "(did you mean x?)"),
    ({"schemaConfig": {"columnRoles": {"x": "heat"}}}, "'temperature', 'pressure'"),
    ({"schemaConfig": {"columnUnits": {"z": "bar"}}}, "columnUnits names z, which is not in continuousColumns"),
    ({"schemaConfig": {"columnUnits": {"x": " bar"}}}, "schemaConfig.columnUnits.x"),
    (
        {"schemaConfig": {"counterColumns": ["x"], "operatingColumns": ["x"]}},
        "x cannot be both a counter and an operating column",
    ),
    ({"schemaConfig": {"columnMapping": {"a": "x", "b": "x"}}}, "columnMapping gives the name x to more than one"),
    ({"schemaConfig": {"lagSeconds": [60, 0]}}, "schemaConfig.lagSeconds[1]: Input should be greater than 0 (got 0)"),
    ({"schemaConfig": {"lagSeconds": [5, 5]}}, "names 5 more than once"),
    ({"schemaConfig": {"rollingWindows": [1]}}, "greater than or equal to 2 (got 1)"),
    ({"dataConfig": {"labelColumn": "x"}}, "dataConfig.labelColumn must not be one of the sensors"),
    ({"dataConfig": {"validationSplit": 0.5, "testSplit": 0.4}}, "must stay below 0.9"),
    ({"dataConfig": {"samplingIntervalSeconds": 60, "maxGapSeconds": 59}}, "must be at least samplingIntervalSeconds"),
    ({"dataConfig": {"timezone": "Mars/Base"}}, "is not a time zone of the IANA database"),
    ({"dataConfig": {"timezone": "../../etc/passwd"}}, "is not a time zone of the IANA database"),
    ({"dataRange": {"startDate": "2024-01-02", "endDate": "2024-01-01"}}, "startDate must lie before endDate"),
    ({"dataRange": {"startDate": "2024-01-02", "endDate": "2024-01-02"}}, "startDate must lie before endDate"),
    ({"dataRange": {"startDate": "2024-01-02", "endDate": "2024-02-01T00:00Z"}}, "both have a time zone, or neither"),
    ({"scadaDbConfig": {"database": "d"}, "dataSource": {"path": "p"}}, "scadaDbConfig and dataSource exclude each"),
    (
        {"scadaDbConfig": {"database": "d", "password": "p", "passwordEnv": "E"}},
        "password, passwordEnv and passwordFile exclude each other",
    ),
    (
        {"scadaDbConfig": {"database": "d", "passwordFile": "f", "passwordEnv": "E"}},
        "password, passwordEnv and passwordFile exclude each other",
    ),
    ({"scadaDbConfig": {"driver": "sqlite"}}, '"scadaDbConfig.database" is required'),
    ({"tuningConfig": {"searchSpace": {"a": {"low": 1}}}}, 'give either "choices", or "low" and "high"'),
    ({"tuningConfig": {"searchSpace": {"a": {"choices": [1], "low": 1, "high": 2}}}}, 'give either "choices"'),
    ({"tuningConfig": {"searchSpace": {"a": {"choices": []}}}}, "choices must not be empty"),
    ({"tuningConfig": {"searchSpace": {"a": {"low": 2, "high": 1}}}}, "low must not exceed high"),
    ({"tuningConfig": {"searchSpace": {"a": {"low": 0, "high": 1, "log": True}}}}, "positive on a log scale"),
    ({"trainingConfig": {"modelType": "../x"}}, "trainingConfig.modelType: String should match pattern"),
    ({"trainingConfig": {"lgbParams": {"linearTree": True}}}, "trainingConfig.lgbParams.linearTree"),
    ({"trainingConfig": {"lgbParams": {"learningRate": float("nan")}}}, "should be a finite number"),
    ({"featureConfig": {"families": {"raw": 5}}}, "featureConfig.families.raw"),
]


class TestValidators:
    @pytest.mark.parametrize(("sections", "words"), VALIDATORS, ids=[words[:40] for _, words in VALIDATORS])
    def test_each_says_what_is_wrong(self, sections: Json, words: str) -> None:
        error = refusal(minimal(**sections))
        assert words in error.message
        assert error.exit_code == 2

    def test_the_others_are_counted(self) -> None:
        error = refusal(minimal(dataConfig={"testSplit": 7, "validationSplit": -1, "recoverySeconds": -1}))
        assert error.message.endswith("(2 more problems after this one)")

    def test_a_long_value_is_cut(self) -> None:
        assert len(refusal(minimal(industry="x" * 5000)).message) < 400


class TestWhatCannotBeExported:
    """Refused when the configuration is read, with the reason."""

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("objective", "regression", "gives the probability of a failure"),
            ("objective", "multiclass", 'must be "binary"'),
            ("linearTree", True, "ONNX has no trees with linear functions"),
            ("linearTree", 0, "must be false"),
            ("boosting", "linear", "'gbdt', 'dart', 'goss' or 'rf'"),
        ],
    )
    def test_parameters_of_lightgbm(self, key: str, value: Any, words: str) -> None:
        error = refusal(minimal(trainingConfig={"lgbParams": {key: value}}))
        assert words in error.message
        assert error.field == f"trainingConfig.lgbParams.{key}"

    def test_the_flat_form(self) -> None:
        error = refusal(minimal(hyperparameters={"objective": "regression"}))
        assert "gives the probability of a failure" in error.message

    @pytest.mark.parametrize("given", [{"baggingFreq": 0}, {"baggingFraction": 1.0}])
    def test_averaged_trees_without_bagging(self, given: Json) -> None:
        error = refusal(minimal(trainingConfig={"lgbParams": {"boosting": "rf", **given}}))
        assert "baggingFreq of at least 1" in error.message

    def test_scaled_categories(self) -> None:
        training = {"lgbParams": {"categoricalFeatures": ["operating_regime"]}}
        OrganizationConfig.from_dict(minimal(trainingConfig=training))
        error = refusal(minimal(trainingConfig=training, featureConfig={"scaling": "robust"}))
        assert 'needs featureConfig.scaling "none"' in error.message


class TestSecrets:
    @pytest.fixture
    def config(self) -> OrganizationConfig:
        return OrganizationConfig.from_dict(minimal(scadaDbConfig={"database": "d", "password": SECRET}))

    def test_the_password_is_there_for_who_asks(self, config: OrganizationConfig) -> None:
        assert config.scada_db_config is not None
        assert config.scada_db_config.secret("plant") == SECRET

    def test_the_password_is_nowhere_else(self, config: OrganizationConfig, tmp_path: Path) -> None:
        config.save_to_file(tmp_path / "saved.json")
        for text in (
            repr(config),
            str(config),
            config.to_json(),
            json.dumps(config.to_dict()),
            config.model_dump_json(),
            (tmp_path / "saved.json").read_text(encoding="utf-8"),
        ):
            assert SECRET not in text
            assert text

    def test_the_password_does_not_change_the_digest(self, config: OrganizationConfig) -> None:
        other = OrganizationConfig.from_dict(minimal(scadaDbConfig={"database": "d", "password": "other"}))
        assert other.digest() == config.digest()

    @pytest.mark.parametrize(
        "database",
        [
            {"database": "d", "password": [SECRET]},
            {"database": "d", "passwort": SECRET},
            {"database": "d", "Password": SECRET},
            {"password": SECRET},
            {"database": "d", "password": SECRET, "passwordEnv": "E"},
            {"database": "d", "password": SECRET, "port": 0},
            {"database": "d", "ssl": [SECRET]},
            f"postgresql://user:{SECRET}@host/database",
            [SECRET],
        ],
        ids=lambda database: str(database).replace(SECRET, "SECRET"),
    )
    def test_no_error_repeats_it(self, database: Any) -> None:
        error = refusal(minimal(scadaDbConfig=database))
        assert SECRET not in f"{error.to_json()} {error} {error.__cause__}"

    @pytest.mark.parametrize(
        "storage",
        [
            f"postgresql://searcher:{SECRET}@host/trials",
            f"postgresql://searcher:{SECRET}/@host/trials",
            f"postgresql://searcher:a/{SECRET}@host/trials",
            f"postgresql://host/trials?password={SECRET}",
            f"postgresql://host:{SECRET}/trials",
            f"mysql://host/{SECRET}",
            f"sqlite:///{SECRET}",
            SECRET,
            [SECRET],
        ],
        ids=lambda storage: str(storage).replace(SECRET, "SECRET"),
    )
    def test_no_storage_of_a_search_holds_it_and_no_error_repeats_it(self, storage: Any) -> None:
        error = refusal(minimal(tuningConfig={"storage": storage}))
        assert "storage" in error.message
        assert SECRET not in f"{error.to_json()} {error} {error.__cause__}"

    def test_without_a_password_there_is_none(self) -> None:
        config = OrganizationConfig.from_dict(minimal(scadaDbConfig={"database": "d"}))
        assert config.scada_db_config is not None
        assert config.scada_db_config.secret("plant") is None


class TestFiles:
    @pytest.mark.parametrize(
        "file",
        sorted(file for file in FOLDER.glob("*.json") if not file.name.endswith(".schema.json")),
        ids=lambda f: f.name,
    )
    def test_every_example_is_valid(self, file: Path) -> None:
        assert OrganizationConfig.load_from_file(file).organization_id

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "is not valid JSON at line 1, column 1"),
            ("{", "is not valid JSON at line 1, column 2"),
            ('{"a": 1,\n "b" 2}', "is not valid JSON at line 2, column 6"),
            ("[]", "must be a JSON object, not list"),
            ("null", "must be a JSON object, not NoneType"),
            ("[" * 200_000, "nested too deeply"),
            ('{"version": "a", "version": "b"}', 'the key "version" appears twice in one object'),
            ('{"dataConfig": {"testSplit": 0.1, "testSplit": 0.2}}', 'the key "testSplit" appears twice'),
            ('{"a": NaN}', "NaN is not valid JSON"),
            ('{"a": -Infinity}', "-Infinity is not valid JSON"),
            ("{}", '"organizationId" is required'),
        ],
        ids=lambda value: value[:30],
    )
    def test_broken_json_is_refused(self, text: str, words: str, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            OrganizationConfig.load_from_file(tmp_path / "config.json")
        assert words in caught.value.message

    def test_a_number_too_large_for_a_float_is_refused(self) -> None:
        text = json.dumps(minimal(dataConfig={"testSplit": 0.1})).replace("0.1", "1e999")
        with pytest.raises(ConfigError, match="testSplit"):
            OrganizationConfig.from_json(text)

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "huge.json").write_bytes(b" " * (MAX_CONFIG_BYTES + 1))
        with pytest.raises(ConfigError, match=r"huge\.json is larger than 1,000,000 bytes"):
            OrganizationConfig.load_from_file(tmp_path / "huge.json")

    def test_a_file_that_is_not_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "latin.json").write_bytes('{"organizationId": "caf\u00e9"}'.encode("latin-1"))
        with pytest.raises(ConfigError, match=r"latin\.json is not UTF-8 text"):
            OrganizationConfig.load_from_file(tmp_path / "latin.json")

    def test_a_file_that_is_not_there_is_told_by_its_name_only(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nothing\.json cannot be read: No such file") as caught:
            OrganizationConfig.load_from_file(tmp_path / "nothing.json")
        assert str(tmp_path) not in caught.value.message

    def test_a_folder_is_no_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            OrganizationConfig.load_from_file(tmp_path)


class TestSchema:
    def test_it_knows_both_forms(self) -> None:
        properties = OrganizationConfig.json_schema()["properties"]
        assert {"organizationId", "trainingConfig", "hyperparameters", "featureColumns"} <= properties.keys()

    def test_it_allows_the_short_form_of_a_family(self) -> None:
        families = OrganizationConfig.json_schema()["$defs"]["FamiliesConfig"]["properties"]
        without = [name for name, entry in families.items() if {"type": "boolean"} not in entry.get("anyOf", ())]
        assert without == []

    def test_it_refuses_unknown_keys_as_the_models_do(self) -> None:
        schema = OrganizationConfig.json_schema()
        parts = [schema, *(part for part in schema["$defs"].values() if part["type"] == "object")]
        assert [part["title"] for part in parts if part["additionalProperties"] is not False] == []


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("here.csv", "here.csv"),  # in the working directory, although the other folder has it, too
        ("beside.csv", "{folder}/beside.csv"),
        ("data/*.csv", "{folder}/data/*.csv"),
        ("nowhere.csv", "nowhere.csv"),
        ("no\\u0000thing.csv", "no\0thing.csv"),
        ("/beside.csv", "/beside.csv"),
    ],
)
def test_a_path_is_looked_for_beside_the_configuration_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, found: str
) -> None:
    folder, elsewhere = tmp_path / "plant", tmp_path / "elsewhere"
    (folder / "data").mkdir(parents=True)
    elsewhere.mkdir()
    for file in (folder / "beside.csv", folder / "here.csv", folder / "data/a.csv", elsewhere / "here.csv"):
        file.touch()
    (folder / "config.json").write_text(
        f'{{"organizationId": "a", "schemaConfig": {{"continuousColumns": ["t"]}}, "dataSource": {{"path": "{path}"}}}}'
    )
    monkeypatch.chdir(elsewhere)
    config = OrganizationConfig.load_from_file(folder / "config.json")
    assert config.data_source is not None
    assert config.data_source.path == found.format(folder=folder)
    monkeypatch.chdir(folder)
    if "{folder}" in found:  # the same from there, so that nothing is done again
        assert OrganizationConfig.load_from_file("config.json") == config
