import math

import pytest

from ml.options.delivery import ValidationConfig
from ml.validation.gates import MEASURES, check_gates

NO_LIMITS = {
    "minAccuracy": None,
    "minPrecision": None,
    "minRecall": None,
    "minAuc": None,
    "maxLatencyMs": None,
}


def limits(**wanted):
    return ValidationConfig.model_validate({**NO_LIMITS, **wanted})


@pytest.mark.parametrize(
    ("key", "measure", "limit", "good", "bad"),
    [
        ("minAccuracy", "accuracy", 0.8, 0.8, 0.7999999),
        ("minPrecision", "precision", 0.75, 0.76, 0.74),
        ("minRecall", "recall", 0.7, 1.0, 0.0),
        ("minAuc", "auc", 0.8, 0.9, 0.5),
        ("minF1", "f1", 0.5, 0.5, 0.4),
        ("minAveragePrecision", "averagePrecision", 0.5, 0.6, 0.4),
        ("minEventRecall", "eventRecall", 0.9, 0.95, 0.875),
        ("maxFalseAlarmsPerAssetDay", "falseAlarmsPerAssetDay", 0.1, 0.1, 0.11),
        ("maxLatencyMs", "latencyMs", 100, 3.0, 100.1),
    ],
)
def test_each_limit_lets_the_good_pass_and_stops_the_bad(key, measure, limit, good, bad):
    config = limits(**{key: limit})

    (passed,) = check_gates({measure: good}, config)
    (failed,) = check_gates({measure: bad}, config)

    assert (passed.key, passed.limit, passed.value, passed.passed) == (key, limit, good, True)
    assert (failed.value, failed.passed) == (bad, False)


@pytest.mark.parametrize("measured", [{}, {"recall": None}, {"recall": math.nan}])
def test_a_limit_on_an_undefined_value_fails(measured):
    (gate,) = check_gates(measured, limits(minRecall=0.0))

    assert gate.value is None
    assert not gate.passed


def test_without_limits_there_are_no_gates():
    assert check_gates(dict.fromkeys(MEASURES, 0.0), limits()) == []


def test_defaults_gate_four_metrics_and_the_latency():
    gates = check_gates({}, ValidationConfig())

    assert [gate.key for gate in gates] == ["minAccuracy", "minPrecision", "minRecall", "minAuc", "maxLatencyMs"]


def test_every_limit_of_the_configuration_has_a_gate():
    fields = ValidationConfig.model_json_schema(by_alias=True)["properties"]
    every = {key: 0.5 for key in fields if key.startswith(("min", "max"))}

    assert {gate.key for gate in check_gates({}, limits(**every))} == set(every)
