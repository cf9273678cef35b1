import math

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.evaluation.checks.gates import GATES, MEASURES, champion_gate, check_gates
from ml.evaluation.comparison import Champion
from ml.options.delivery import ValidationConfig

NO_LIMITS = dict.fromkeys(GATES)


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
        ("maxHealthyTimeInAlarm", "healthyTimeInAlarm", 0.1, 0.1, 0.11),
        ("maxLatencyMs", "latencyP95Ms", 100, 3.0, 100.1),
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


def test_defaults_gate_events_rows_and_the_latency():
    gates = check_gates({}, ValidationConfig())

    events = ["minEventRecall", "maxFalseAlarmsPerAssetDay", "maxHealthyTimeInAlarm"]
    assert [gate.key for gate in gates] == [
        *events, "minAccuracy", "minPrecision", "minRecall", "minAuc", "maxLatencyMs",
    ]  # fmt: skip
    assert set(GATES.values()) <= set(MEASURES)


def test_every_limit_of_the_configuration_has_a_gate():
    fields = ValidationConfig.model_json_schema(by_alias=True)["properties"]
    every = {key: 0.5 for key in fields if key.startswith(("min", "max"))}

    assert {gate.key for gate in check_gates({}, limits(**every))} == set(every)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_metric_can_be_held_to_a_least_and_a_most(measure):
    config = limits(limits={measure: {"min": 2.0, "max": 3.0}})

    outcomes = {value: [gate.passed for gate in check_gates({measure: value}, config)] for value in (1.9, 2, 3, 3.1)}
    keys = [gate.key for gate in check_gates({measure: 2}, config)]

    assert outcomes == {1.9: [False, True], 2: [True, True], 3: [True, True], 3.1: [True, False]}
    assert keys == [f"limits.{measure}.min", f"limits.{measure}.max"]
    assert [gate.passed for gate in check_gates({}, config)] == [False, False]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"savedCosts": {"min": 0}}, "unknown key"),
        ({"savedCost": {}}, 'needs "min", "max" or both'),
        ({"savedCost": {"min": 2, "max": 1}}, "no value can meet"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(entry, words):
    plant = {"organizationId": "plant", "schemaConfig": {"continuousColumns": ["a"]}}
    with pytest.raises(ConfigError, match=words):
        OrganizationConfig.from_dict({**plant, "validationConfig": {"limits": entry}})


@pytest.mark.parametrize(("interval", "passed"), [((-0.3, -0.06), False), ((-0.3, -0.04), True), ((0.1, 0.2), True)])
def test_a_candidate_is_refused_only_if_it_is_worse_beyond_margin_and_chance(interval, passed):
    champion = Champion(
        version="v1",
        rows=100,
        margin=0.05,
        average_precision=0.8,
        candidate_average_precision=0.7,
        interval=interval,
    )

    gate = champion_gate(champion)

    assert (gate.passed, champion.worse) == (passed, not passed)
    assert (gate.key, gate.limit, gate.value) == ("championMargin", 0.05, max(-interval[1], 0))


def test_without_a_comparison_there_is_no_gate():
    assert champion_gate(Champion(version="v1", rows=0, margin=0.0, skipped="too few rows")) is None


def test_a_comparison_that_is_required_and_was_not_possible_fails():
    champion = Champion(version="v1", rows=0, margin=0.01, required=True, skipped="too few rows")

    gate = champion_gate(champion)

    assert (gate.key, gate.value, gate.passed) == ("champion", None, False)
    assert "too few rows" in gate.name
