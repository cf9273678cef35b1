"""Shapes that others write: each row of the table is read as ours, left out and told, or refused with the right key."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError, EagleError
from ml.options.forms.feature_names import sensors_of
from ml.options.forms.keys import KEYS, SECTIONS, VALUES, KeyForm
from ml.windows.catalogue import list_features

Json = dict[str, Any]
SCHEMA = {"continuousColumns": ["x", "y"]}


def read(**sections: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict({"organizationId": "plant", "schemaConfig": SCHEMA, **sections})


def codes(config: OrganizationConfig) -> list[str]:
    return [finding.code for finding in config.findings]


def message(config: OrganizationConfig, code: str) -> str:
    return next(finding.message for finding in config.findings if finding.code == code)


def nested(path: str, value: Any) -> Json:
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def value_at(config: OrganizationConfig, path: str) -> Any:
    found: Any = config
    for key in path.split("."):
        found = getattr(found, next(name for name, field in type(found).model_fields.items() if field.alias == key))
    return found


# What each key of ours is tried with, where another of its kind would not be allowed there.
SAMPLES: Json = {
    "dataRange.startDate": "2025-01-01T00:00:00Z",
    "dataRange.endDate": "2025-01-01T00:00:00Z",
    "schemaConfig.targetColumn": "failed",
    "schemaConfig.timestampColumn": "at",
    "schemaConfig.assetColumn": "pump",
    "schemaConfig.table": "readings",
    "trainingConfig.modelType": "random_forest",
    "trainingConfig.imbalance": "balanced",
    "tuningConfig.searchMethod": "grid",
    "tuningConfig.scoringMetric": "recall",
    "tuningConfig.searchSpace": {"numLeaves": {"choices": [3, 4]}},
    "version": "v7",
    "scadaDbConfig.sslmode": "require",
    "scadaDbConfig.password": "secret",
    "scadaDbConfig.database": "plant",
    "scadaDbConfig.user": "reader",
    "scadaDbConfig.host": "historian",
    "scadaDbConfig.driver": "sqlite",
    "scadaDbConfig.table": "readings",
    "trainingConfig.lgbParams.boosting": "goss",
    "trainingConfig.lgbParams.objective": "binary",
    "trainingConfig.lgbParams.metric": "auc",
    "trainingConfig.lgbParams.extraTrees": True,
    "trainingConfig.lgbParams": {"numLeaves": 7},
}
FACTORS = {"Minutes": 60, "Hours": 3600, "Days": 86_400}
SHARES = ("Split", "Fraction", "minAccuracy", "minPrecision", "minRecall", "minAuc", "minF1", "TimeInAlarm")


def sample(path: str) -> Any:
    share = path.endswith(SHARES) or ("min" in path and path.startswith("validationConfig"))
    return SAMPLES.get(path, 0.25 if share else 3)


def request(form: KeyForm, value: Any, *, snake: bool = False) -> Json:
    section, _, key = form.path.rpartition(".")
    if snake:
        key = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
    data = nested(f"{section}.{key}" if section else key, value)
    if section == "scadaDbConfig" and "scadaDbConfig.database" not in form.to:
        data["scadaDbConfig"]["database"] = "plant"
    if section == "schemaConfig":
        data["schemaConfig"] |= SCHEMA
    return data


READ = [form for form in KEYS if form.to]


@pytest.mark.parametrize("snake", [False, True], ids=["camelCase", "snake_case"])
@pytest.mark.parametrize("form", READ, ids=lambda form: form.path)
def test_a_key_of_others_is_read_as_ours(form: KeyForm, snake: bool) -> None:
    converted = {"connectionTimeoutMillis": 3000, "statementTimeout": 3000, "isUnbalance": True, "unbalance": True}
    key = form.path.rpartition(".")[2]
    config = read(**request(form, converted.get(key, sample(form.to[0])), snake=snake))
    factor = next((factor for unit, factor in FACTORS.items() if key.endswith(unit)), 1)
    for path in form.to:
        found = value_at(config, path)
        ours = sample(path) if factor == 1 else 3 * factor
        assert found == value_at(read(**_with_database(nested(path, ours))), path)
    if not form.silent:
        assert form.to[0] in message(config, "KEY_MAPPED")
        assert "secret" not in str(config.findings)


def _with_database(data: Json) -> Json:
    if "scadaDbConfig" in data:
        data["scadaDbConfig"] = {"database": "plant", **data["scadaDbConfig"]}
    if "schemaConfig" in data:
        data["schemaConfig"] |= SCHEMA
    return data


@pytest.mark.parametrize(
    "form", [form for form in KEYS if not form.to and not form.refused], ids=lambda form: form.path
)
def test_a_key_that_nothing_depends_on_is_left_out_and_told(form: KeyForm) -> None:
    config = read(**request(form, 5))
    assert f"{form.path} is not used: {form.told}" in message(config, "KEY_LEFT_OUT")
    assert config == read(**({"scadaDbConfig": {"database": "plant"}} if "scadaDb" in form.path else {}))


@pytest.mark.parametrize("form", [form for form in KEYS if form.refused], ids=lambda form: form.path)
def test_a_refused_key_is_told_with_the_right_one(form: KeyForm) -> None:
    with pytest.raises(ConfigError) as failure:
        read(**request(form, 0.5))
    assert (failure.value.field, failure.value.hint) == (form.path, form.told)


@pytest.mark.parametrize(("path", "theirs", "ours"), [(p, t, o) for p, each in VALUES.items() for t, o in each.items()])
def test_values_of_others(path: str, theirs: str, ours: str) -> None:
    config = read(**_with_database(nested(path, theirs.upper())))
    assert value_at(config, path) == ours
    assert codes(config)[-1] == "VALUE_MAPPED"


def test_two_keys_that_mean_the_same_must_agree() -> None:
    read(dataConfig={"samplingIntervalMinutes": 5, "samplingIntervalSeconds": 300})
    with pytest.raises(ConfigError, match="contradict each other") as failure:
        read(scadaDbConfig={"database": "a", "password": "hidden-one", "pass": "hidden-two"})
    assert "hidden" not in str(failure.value)


def test_the_flat_requests_of_search_and_validation() -> None:
    search = {"searchMethod": "bayesian", "nTrials": 7, "cvFolds": 4, "scoringMetric": "precision", "randomState": 1}
    config = read(modelType="RF", **search)
    assert (config.training_config.model_type, config.training_config.random_state) == ("random_forest", 1)
    assert (config.tuning_config.n_trials, config.tuning_config.random_state) == (7, 1)
    config = read(modelPath="models/plant/model_v3.onnx", minAuc=None, minAccuracy=0.5, maxLatencyMs=20)
    assert config.version == "v3"
    assert (config.validation_config.min_auc, config.validation_config.min_accuracy) == (None, 0.5)


@pytest.mark.parametrize(
    ("path", "version"),
    [("/elsewhere/model.pkl", None), ("models/plant/model_v2.onnx", "v3"), ("models/plant/current/model.onnx", "v1")],
)
def test_a_model_of_another_version_is_refused(path: str, version: str | None) -> None:
    with pytest.raises(ConfigError) as failure:
        read(modelPath=path, **({} if version is None else {"version": version}))
    assert failure.value.field == "modelPath"


def test_null_and_empty_texts_are_absent() -> None:
    assert read(trainingConfig={"lgbParams": {"subsample": None}}) == read()
    database = {"database": "plant", "port": "5433", "password": "", "sslmode": " ", "host": ""}
    config = read(outputPath="", industry="", scadaDbConfig=database, dataRange={"startDate": "", "endDate": ""})
    assert config == read(scadaDbConfig={"database": "plant", "port": 5433})


@pytest.mark.parametrize("section", [name for name in SECTIONS if name not in ("hyperparameters", "modelConfig")])
def test_a_section_may_be_json_text(section: str) -> None:
    text = {"schemaConfig": '{"continuousColumns": ["x", "y"]}', "scadaDbConfig": '{"database": "d", "ssl": true}'}
    text["dataSource"] = '{"path": "p.csv"}'
    read(**{section: text.get(section, "{}")})
    with pytest.raises(ConfigError, match=f"{section} is not valid JSON at line 1") as failure:
        read(**{section: '{"password": "hidden'})
    assert "hidden" not in str(failure.value)


@pytest.mark.parametrize("text", ['{"rejectUnauthorized": false}', ' {"rejectUnauthorized":false} '])
def test_ssl_may_be_json_text(text: str) -> None:
    found = read(scadaDbConfig={"database": "d", "ssl": text}).scada_db_config
    assert found is not None
    assert found.ssl == {"rejectUnauthorized": False}
    assert read(scadaDbConfig={"database": "d", "ssl": "False"}).scada_db_config.ssl is False  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["require", "{", "[]", "[" * 5000, "3", "null"])
def test_other_text_as_ssl_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a mode of libpq goes to sslmode") as failure:
        read(scadaDbConfig={"database": "d", "ssl": text})
    assert failure.value.field == "scadaDbConfig.ssl"


def test_the_form_of_columns() -> None:
    schema = {
        "columns": ["id", "created_timestamp", "temp", "alarm", "note", "unit_name", "failure_indicator"],
        "columnConfigs": {
            "temp": {"type": "analog", "unit": "°C"},
            "alarm": {"type": "digital"},
            "note": {"type": "text"},
        },
        "assetColumn": "unit_name",
        "table": "",
    }
    config = read(schemaConfig=schema, featureColumns=["temperature", "pressure"], scadaDbConfig={"database": "d"})
    assert config.schema_config.continuous_columns == ("temp",)
    assert config.schema_config.boolean_columns == ("alarm",)
    assert config.schema_config.column_units == {"temp": "°C"}
    assert config.schema_config.table == "jk2"
    assert config.optional_columns == {"temp", "alarm"}
    assert codes(config) == [
        "COLUMNS_GUESSED",
        "FEATURE_COLUMNS_UNKNOWN",
        "SERVING_PROFILE_CHOSEN",
        "TABLE_GUESSED",
    ]
    assert "all columns of schemaConfig are used" in message(config, "FEATURE_COLUMNS_UNKNOWN")


def test_columns_in_either_naming() -> None:
    schema = {
        "columnMapping": {"T1": "temperature", "gone": "pressure"},
        "continuousColumns": ["T1", "pressure", "rpm"],
        "columnUnits": {"T1": "°C"},
        "targetColumn": "broken",
    }
    config = read(schemaConfig=schema, targetColumn="failure_indicator", featureColumns=["T1", "pressure", "rpm"])
    assert config.schema_config.continuous_columns == ("temperature", "pressure", "rpm")
    assert config.schema_config.column_units == {"temperature": "°C"}
    assert config.schema_config.target_column == "broken"
    assert config.optional_columns == {"temperature", "pressure"}
    assert codes(config) == ["COLUMNS_RENAMED", "TARGET_COLUMN_OF_SCHEMA", "SERVING_PROFILE_CHOSEN"]


class TestFeatureColumns:
    def test_features_lead_back_to_their_sensors(self) -> None:
        wanted = ["x__mean__w=5", "x_lag_60s", "x_rolling_300s_range", "z", "time__hour_sin"]
        config = read(featureColumns=wanted)
        assert config.schema_config.continuous_columns == ("x",)
        assert codes(config) == [
            "FEATURE_NAMES_MAPPED",
            "FEATURE_COLUMNS_UNKNOWN",
            "COLUMNS_NOT_USED",
            "SERVING_PROFILE_CHOSEN",
        ]
        assert '"z"' in message(config, "FEATURE_COLUMNS_UNKNOWN")

    def test_only_the_columns_that_the_backend_always_sends_may_all_be_unknown(self) -> None:
        assert read(featureColumns=["temperature", "voltage"]).schema_config.continuous_columns == ("x", "y")
        with pytest.raises(ConfigError, match="names nothing that schemaConfig has") as failure:
            read(featureColumns=["temperature", "nonsense"])
        assert failure.value.field == "featureColumns"
        assert failure.value.hint == 'the columns are "x", "y"'

    def test_without_columns_in_the_schema_they_are_all_that_is_known(self) -> None:
        wanted = ["a__value", "a__product__b", "on__share_on__w=5", "c"]
        config = read(schemaConfig={"booleanColumns": ["on"]}, featureColumns=wanted)
        assert config.schema_config.continuous_columns == ("a", "b", "c")
        assert config.optional_columns == {"a", "b", "c"}

    def test_what_is_left_out_is_not_spoken_of_any_more(self) -> None:
        families = {"lags": {"columns": ["x", "y"]}, "interactions": {"pairs": [["x", "y"]]}}
        config = read(featureColumns=["y"], featureConfig={"families": families})
        assert config.feature_config.families.lags.columns == ("y",)
        assert config.feature_config.families.interactions.pairs == ()

    def test_every_feature_of_the_catalogue_leads_back(self) -> None:
        columns = ["p", "f", "t", "v", "e", "c", "odd__value", "load"]
        roles = dict(zip(columns, ["pressure", "flow", "temperature", "vibration", "voltage", "current"], strict=False))
        schema = {
            "continuousColumns": columns,
            "booleanColumns": ["on"],
            "columnRoles": roles,
            "operatingColumns": ["load"],
        }
        config = read(schemaConfig=schema, featureConfig={"families": {"time": True}})
        for feature in list_features(config, 60):
            made_of = sensors_of(feature.name, [*columns, "on"])
            assert made_of is not None, feature.name
            assert set(made_of) <= {*columns, "on"}
            assert all(name in feature.name for name in made_of)
            assert made_of or feature.name.startswith(("time__", "operating_regime"))


class TestHints:
    @pytest.mark.parametrize(
        ("sections", "hint"),
        [
            ({"trainingConfig": {"calibrations": 0.2}}, "allowed here: engine, modelType"),
            ({"dataConfig": {"timezon": 5}}, "allowed here: samplingIntervalSeconds"),
            ({"dataConfig": {"timezon": "UTC"}}, 'did you mean "timezone"?'),
            ({"modelConfig": {"layers": 3}}, "of modelConfig these are understood: confidenceThreshold"),
            ({"trainingConfig": {"lgbParams": {"feature_fraction_seed": 3}}}, "allowed here: numLeaves"),
            ({"validationConfig": {"maxLatencySeconds": 1}}, "allowed here: minEventRecall"),
            ({"validationConfig": {"maxFalseAlarmsPerAssetYear": 1}}, "allowed here: minEventRecall"),
            ({"validationConfig": {"maxLatency": 1}}, 'did you mean "maxLatencyMs"?'),
            ({"industry": "water_treatment"}, "a template only fills what is left out"),
        ],
    )
    def test_a_hint_is_near_in_spelling_and_fits_the_value(self, sections: Json, hint: str) -> None:
        with pytest.raises(ConfigError) as failure:
            read(**sections)
        assert (failure.value.hint or "").startswith(hint)

    def test_the_working_directory_is_no_wish_for_a_folder(self) -> None:
        config = read(outputPath=".")
        assert (config.output_path, codes(config)) == (None, ["OUTPUT_PATH_LEFT_OUT"])


STRANGE = [None, 5, "{", [], [None], [["x"]], {"a": 1}, {"x": None}]
STRANGE_KEYS = [
    *(form.path for form in KEYS if form.convert or not form.to or "." not in form.path),
    *SECTIONS,
    *("featureColumns", "targetColumn", "modelPath", "outputPath", "industry", "featureConfig.families.lags"),
    *(f"schemaConfig.{key}" for key in ("columns", "columnConfigs", "columnMapping", "continuousColumns")),
    *(f"schemaConfig.{key}" for key in ("booleanColumns", "columnUnits", "targetColumn", "organizationColumn")),
]


@pytest.mark.parametrize("base", [{"schemaConfig": SCHEMA}, {"featureColumns": ["x", "y__value", "a__product__b"]}])
def test_a_strange_value_is_an_error_of_the_configuration(base: Json) -> None:
    for path in dict.fromkeys(STRANGE_KEYS):
        for value in STRANGE:
            section, _, key = path.partition(".")
            part = {**base.get(section, {}), **nested(key, value)} if key else value
            with suppress(EagleError):
                OrganizationConfig.from_dict({"organizationId": "plant", **base, section: part})


@pytest.mark.parametrize("name", ["SVC", "CatBoostClassifier", "sklearn.svm.SVC", "MLPClassifier"])
def test_a_model_of_another_library_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(trainingConfig={"modelType": name})
    assert refused.value.hint == "there are lightgbm, logistic_regression, random_forest and xgboost"


def test_names_of_classes_are_read() -> None:
    config = read(trainingConfig={"modelType": "RandomForestClassifier"}, featureConfig={"scaling": "StandardScaler"})
    assert config.training_config.model_type == "random_forest"
    assert config.feature_config.scaling == "standard"
    assert "RandomForestClassifier was read as random_forest" in " ".join(each.message for each in config.findings)


@pytest.mark.parametrize("flat", ["searchMethod", "search_method"])
@pytest.mark.parametrize("nested", ["searchMethod", "search_method"])
def test_a_flat_key_and_its_twin_may_not_differ_however_they_are_spelled(flat: str, nested: str) -> None:
    request: Json = {"organizationId": "plant", "schemaConfig": SCHEMA, flat: "grid"}
    with pytest.raises(ConfigError, match="contradict each other"):
        OrganizationConfig.from_dict(request | {"tuningConfig": {nested: "random"}})
    assert (
        OrganizationConfig.from_dict(request | {"tuningConfig": {nested: "grid"}}).tuning_config.search_method == "grid"
    )


def test_parameters_and_their_twins_are_the_same_in_either_spelling() -> None:
    request: Json = {"organizationId": "plant", "schemaConfig": SCHEMA, "hyperparameters": {"num_leaves": 7}}
    config = OrganizationConfig.from_dict(request | {"trainingConfig": {"lgbParams": {"numLeaves": 7}}})
    assert config.training_config.lgb_params.num_leaves == 7
