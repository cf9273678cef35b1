import numpy as np
import pytest

from ml.evaluation.attributions.contributions import PER_CASE, Case, Explanation, explained, mean_contributions
from ml.evaluation.report.page.attributions import attribution_summary
from ml.windows.catalogue import Feature
from ml.windows.operations import Lag, Value

FEATURES = [Feature("flow now", Value("flow")), Feature("flow before", Lag("flow", 2)), Feature("heat", Value("heat"))]
CONTRIBUTIONS = np.array([[1.0, -1.0, 0.5, -3.0], [2.0, 0.0, -1.5, -3.0]])


def tell(feature, value):
    return f"{feature.name} (missing)" if np.isnan(value) else f"{feature.name} = {value:.4g}"


def case(kind="falseAlarm", time="2025-01-02T03:00:00+00:00"):
    return Case(kind, "pump", time, row=7, probability=0.9)


def in_words(kind, contributions, values=(1.5, np.nan, 20_000)):
    return explained(case(kind), FEATURES, np.float32(values), np.array([*contributions, -3.0]), tell).sentence


def explanation(**changes):
    sensors, features = mean_contributions(FEATURES, CONTRIBUTIONS)
    cases = (explained(case(), FEATURES, np.float32([1, 2, 3]), CONTRIBUTIONS[0], tell),)
    everything = {
        "alarm_rows": 5000, "explained_rows": 2, "sensors": sensors, "features": features, "missed": 0, "false": 3,
        "cases": cases,
    }  # fmt: skip
    return Explanation(**{**everything, **changes})


def test_means_are_of_absolute_contributions_without_the_expected_value():
    sensors, features = mean_contributions(FEATURES, CONTRIBUTIONS)

    assert features == {"flow now": 1.5, "heat": 1.0, "flow before": 0.5}
    assert list(features) == ["flow now", "heat", "flow before"]
    assert sensors == {"flow": 2.0, "heat": 1.0}
    assert mean_contributions(FEATURES, CONTRIBUTIONS[:0])[0] == {"flow": 0.0, "heat": 0.0}


@pytest.mark.parametrize(
    ("kind", "contributions", "sentence"),
    [
        ("falseAlarm", (2.0, 0.0, 0.0), "flow now = 1.5 raised the risk most."),
        ("falseAlarm", (2.0, 3.0, -1.0),
         "flow before (missing) and flow now = 1.5 raised the risk most; heat = 2e+04 kept the risk down most."),
        ("falseAlarm", (2.0, 3.0, 1.0), "flow before (missing), flow now = 1.5 and heat = 2e+04 raised the risk most."),
        ("missedFailure", (-2.0, 3.0, -1.0),
         "flow now = 1.5 and heat = 2e+04 kept the risk down most; flow before (missing) raised the risk most."),
        ("missedFailure", (0.0, 0.0, 0.0), "No feature moved the risk."),
    ],
)  # fmt: skip
def test_a_case_is_told_in_plain_words(kind, contributions, sentence):
    assert in_words(kind, contributions) == sentence


def test_a_case_keeps_the_strongest_drivers_of_both_directions():
    many = [Feature(f"f{number}", Value("flow")) for number in range(40)]
    own = np.append(np.arange(-20, 20, dtype=np.float64), 0.0)

    found = explained(case(), many, np.zeros(40, np.float32), own, tell)

    strengths = [driver.contribution for driver in found.drivers]
    assert sorted(strengths) == [*range(-20, -20 + PER_CASE), *range(20 - PER_CASE, 20)]
    assert strengths == sorted(strengths, key=lambda each: -abs(each))
    assert found.to_json()["drivers"][0] == {
        "feature": "f0", "value": 0.0, "contribution": -20.0, "words": "f0 = 0",
    }  # fmt: skip


def test_the_json_tells_shares_counts_and_cases():
    content = explanation().to_json()

    assert content["sensors"][0] == {"sensor": "flow", "meanContribution": 2.0, "share": pytest.approx(2 / 3)}
    assert (content["alarmRows"], content["explainedAlarmRows"], content["falseAlarms"]) == (5000, 2, 3)
    assert content["missedFailureList"] == []
    assert content["falseAlarmList"][0]["asset"] == "pump"


def test_the_page_says_what_is_a_sample_and_how_many_cases_it_leaves_out():
    summary = attribution_summary(explanation(), None)

    assert "5,000 alarm rows (2 evenly drawn)" in summary.sentence
    assert [name for name, _ in summary.bars] == ["Sensors", "Features"]
    assert [(bar.name, bar.length) for bar in summary.bars[0][1]] == [("flow", "100.0"), ("heat", "50.0")]
    ((heading, content),) = summary.cases
    assert heading == "1 of 3 false alarms, and why"
    assert content.rows[0][:2] == ("pump, 2025-01-02 03:00", "0.900")


def test_without_alarms_the_page_says_so():
    nothing = dict.fromkeys(("flow", "heat"), 0.0)

    summary = attribution_summary(
        explanation(alarm_rows=0, explained_rows=0, sensors=nothing, features=nothing, cases=()),
        None,
    )

    assert "no alarm" in summary.sentence
    assert summary.bars == ()
    assert attribution_summary(None, None) is None
