from ml.config import OrganizationConfig
from ml.evaluation.attributions.contributions import by_sensor
from ml.export.reasons.exact import TIME
from ml.windows.catalogue import Feature, list_features
from ml.windows.operations import Cycle, Efficiency, Product, Regime, Value

FEATURES = [
    Feature("a", Value("flow")),
    Feature("b", Product("flow", "pressure")),
    Feature("c", Cycle("hour", "sin")),
    Feature("d", Value("idle")),
]


def test_weights_add_up_by_sensor_and_products_count_half_for_each():
    total = by_sensor(FEATURES, {"a": 1.0, "b": 4.0, "c": 0.5})

    assert total == {"flow": 3.0, "pressure": 2.0, TIME: 0.5, "idle": 0.0}
    assert list(total) == ["flow", "pressure", TIME, "idle"]


def test_features_of_several_sensors_are_shared_out_among_them_and_not_given_to_time():
    features = [
        Feature("efficiency", Efficiency("pressure", "flow", ("voltage", "current"))),
        Feature("operating_regime", Regime(("load", "speed"))),
    ]

    assert by_sensor(features, {"efficiency": 4.0, "operating_regime": 2.0}) == dict.fromkeys(
        ("pressure", "flow", "voltage", "current", "load", "speed"), 1.0
    )


def test_a_sensor_beside_itself_counts_once():
    assert by_sensor([Feature("square", Product("flow", "flow"))], {"square": 1.0}) == {"flow": 1.0}


def test_only_time_features_have_no_sensor_where_roles_and_operating_columns_are_named():
    roles = {"p": "pressure", "q": "flow", "u": "voltage", "i": "current", "t": "temperature", "v": "vibration"}
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "org",
            "schemaConfig": {
                "continuousColumns": [*roles, "load"],
                "booleanColumns": ["on"],
                "columnRoles": roles,
                "operatingColumns": ["load"],
                "rollingWindows": [3, 9],
            },
            "dataConfig": {"samplingIntervalSeconds": 60},
            "featureConfig": {"families": {"time": True}},
        }
    )

    sensors = {feature.name: set(feature.operation.sensors) for feature in list_features(config, 60)}

    assert sensors["p__flow_efficiency__q"] == {"p", "q", "u", "i"}
    assert sensors["operating_regime"] == {"load"}
    assert {name for name, each in sensors.items() if not each} == {
        f"time__{cycle}_{wave}" for cycle in ("hour", "weekday") for wave in ("sin", "cos")
    }
    assert {name for name, each in sensors.items() if not each <= {*roles, "load", "on"}} == set()


def test_every_feature_of_the_catalogue_names_sensors_of_the_schema():
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "org",
            "schemaConfig": {"continuousColumns": ["speed", "load"], "booleanColumns": ["on"], "rollingWindows": [3]},
            "dataConfig": {"samplingIntervalSeconds": 60},
        }
    )

    features = list_features(config, 60)

    assert {sensor for feature in features for sensor in feature.operation.sensors} == {"speed", "load", "on"}
