"""Rows in alarm as alerts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.predict.alerts import alerts_of


def rows(*moments: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(moments, columns=["asset_id", "timestamp", "probability"])
    return frame.assign(timestamp=pd.to_datetime(frame["timestamp"], utc=True))


def test_rows_close_together_are_one_alert_of_one_asset():
    alarms = rows(
        ("a", "2024-01-01T00:00", 0.6),
        ("a", "2024-01-01T01:00", 0.9),
        ("a", "2024-01-01T03:00", 0.7),
        ("b", "2024-01-01T03:00", 0.8),
    )
    reasons = pd.DataFrame({"heat": [1.0, 2.0, 1.0, -1.0], "oil": [0.5, 3.0, 0.0, 0.2], "load": [0.1, -4.0, 0.0, 0.0]})
    first, second, third = alerts_of(alarms, reasons, gap_seconds=3600, version="v1")
    assert (first.asset, first.start.hour, first.end.hour, first.peak.hour, first.probability) == ("a", 0, 1, 1, 0.9)
    assert [each.sensor for each in first.reasons] == ["oil", "heat"], "what lowered the score is no reason"
    assert (second.start.hour, second.asset) == (3, "a")
    assert (third.asset, [each.sensor for each in third.reasons]) == ("b", ["oil"])
    assert third.to_json()["modelVersion"] == "v1"


@pytest.mark.parametrize(("gap", "expected"), [(3600, 2), (7200, 1)])
def test_the_cool_down_decides(gap, expected):
    alarms = rows(("a", "2024-01-01T00:00", 0.6), ("a", "2024-01-01T02:00", 0.9))
    assert len(alerts_of(alarms, None, gap_seconds=gap, version="v1")) == expected


def test_no_alarm_no_alert():
    assert alerts_of(rows(), None, gap_seconds=3600, version="v1") == []


def test_the_time_to_failure_is_that_of_the_newest_row():
    alarms = rows(("a", "2024-01-01T00:00", 0.9), ("a", "2024-01-01T01:00", 0.6), ("b", "2024-01-01T03:00", 0.8))
    times = pd.DataFrame({"p10": [9.0, 100.4, 1], "p50": [9.0, 200, 2], "p90": [9.0, np.inf, 3]})
    first, second = alerts_of(alarms, None, gap_seconds=3600, version="v1", times=times)
    assert first.to_json()["timeToFailure"] == {"p10": 100, "p50": 200, "p90": None}
    assert (second.time_to_failure.p10, second.time_to_failure.p90) == (1, 3)
    assert alerts_of(alarms, None, gap_seconds=3600, version="v1")[0].to_json()["timeToFailure"] is None
