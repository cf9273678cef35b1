from ml.config import OrganizationConfig
from ml.evaluation.attributions.sensor_importance import TIME, by_sensor
from ml.windows.catalogue import Feature, list_features
from ml.windows.operations import Cycle, Product, Value

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
