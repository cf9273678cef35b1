from __future__ import annotations

from typing import Any

import pytest

from ml.evaluation.checks.doubts import cooldown_differs, findings_about_events

DAY = 86_400
QUIET = {"healthyTimeInAlarm": 0.0, "healthyDays": 9.0, "assetDays": 10.0, "falseAlarms": 0}


def codes(events: dict[str, Any], *, horizon: int = 2 * DAY, interval: int = DAY, most: float = 0.1) -> list[str]:
    return [each.code for each in findings_about_events(events, horizon=horizon, interval=interval, most=most)]


@pytest.mark.parametrize(
    ("longest", "detected", "found"),
    [(DAY, 5, True), (1.5 * DAY, 5, True), (1.6 * DAY, 5, False), (2 * DAY, 5, False), (DAY, 2, False)],
)
def test_lead_times_tell_which_horizon_the_data_supports(longest: float, detected: int, found: bool) -> None:
    events = {"detected": detected, "leadTimeSeconds": {"max": longest}, "perAsset": {}}
    assert codes(events) == (["HORIZON_TOO_LONG"] if found else [])


def test_the_hint_names_a_horizon_of_whole_intervals() -> None:
    events = {"detected": 5, "leadTimeSeconds": {"max": 20 * 3600.0}}
    (finding,) = findings_about_events(events, horizon=2 * DAY, interval=DAY, most=0.1)
    assert "supports a horizon of 24 h" in finding.message
    assert "86400" in str(finding.hint)
    assert finding.field == "dataConfig.predictionHorizonSeconds"


def test_without_lead_times_there_is_no_hint() -> None:
    assert codes({"detected": 9, "detectionDelaySeconds": {"max": 5.0}}, horizon=0) == []
    assert codes({"detected": 0, "leadTimeSeconds": None}) == []


@pytest.mark.parametrize(
    ("too_early", "in_alarm", "horizon", "found"),
    [(2, 0.1, 2 * DAY, True), (0, 0.1, 2 * DAY, False), (2, 0.6, 2 * DAY, False), (2, 0.1, 0, False)],
)
def test_failures_that_stood_in_alarm_too_early_ask_for_a_longer_horizon(
    too_early: int, in_alarm: float, horizon: int, found: bool
) -> None:
    events = {"tooEarly": too_early, "healthyTimeInAlarm": in_alarm, "detected": 0}
    findings = findings_about_events(events, horizon=horizon, interval=DAY, most=0.1)
    assert [each.code for each in findings] == (["ALARMS_TOO_EARLY"] if found else [])
    assert not found or "such as 345600" in str(findings[0].hint)


def test_machines_with_positive_rows_only_and_with_many_alarms_are_named() -> None:
    machines = {
        "calm": QUIET,
        "slow": QUIET | {"healthyTimeInAlarm": None, "healthyDays": 0.0},
        "loud": QUIET | {"healthyTimeInAlarm": 0.3, "falseAlarms": 1},
    }
    one_class, alarms = findings_about_events(
        {"detected": 0, "leadTimeSeconds": None, "perAsset": machines}, horizon=DAY, interval=60, most=0.1
    )
    assert (one_class.code, alarms.code) == ("ASSETS_WITHOUT_HEALTHY_ROWS", "ALARMS_ON_FEW_ASSETS")
    assert one_class.message.startswith("slow: ")
    assert alarms.message == "in alarm during their healthy time: loud for 30\u00a0% (1 false alarm)"


@pytest.mark.parametrize(
    ("chosen", "counted", "differs"), [(300, 300, False), (300, 600, True), (300, 900, True), (None, 9, False)]
)
def test_another_cooldown_is_told(chosen: int | None, counted: int, differs: bool) -> None:
    assert (cooldown_differs(chosen, counted, 60) is not None) is differs


def test_cooldowns_below_the_sampling_interval_are_all_the_same() -> None:
    assert cooldown_differs(300, 600, 600) is None
