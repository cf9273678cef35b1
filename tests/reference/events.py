"""Event metrics once more, by loops over rows, alarms and failures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def best_f1(label: list[int], probability: list[float]) -> tuple[float, float]:
    """The best F1 over every observed probability as threshold, and the highest threshold that reaches it."""
    best = (-1.0, 0.0)
    for threshold in np.float32(probability):
        alarm = [np.float32(p) >= threshold for p in probability]
        hits = sum(a and y == 1 for a, y in zip(alarm, label, strict=True))
        f1 = 2 * hits / (sum(alarm) + sum(y == 1 for y in label))
        best = max(best, (f1, float(threshold)))
    return best


def event_metrics(
    rows: list[tuple[str, int, int, float]],
    onsets: list[tuple[str, int]],
    *,
    threshold: float,
    horizon: int,
    cooldown: int,
    interval: int,
    prices: tuple[float, float, float],
) -> dict[str, Any]:
    """`rows` are (asset, seconds, label, probability); `prices` those of a miss, a false alarm and an inspection."""
    rows = sorted(row for row in rows if row[2] >= 0)
    spacing = max(cooldown, interval)
    alarm_rows = [row for row in rows if np.float32(row[3]) >= np.float32(threshold)]
    failures = _failures(rows, onsets, horizon)
    # an alarm begins anew at an onset, and after the last row of a run
    cuts = [(asset, onset) for asset, onset in onsets] if horizon else [(f[0], f[1][-1][1] + 1) for f in failures]

    alarms: list[list[list[tuple[str, int, int, float]]]] = []  # episodes of each alarm
    for row in alarm_rows:
        before = alarms[-1][-1][-1] if alarms else None
        if before is None or before[0] != row[0] or row[1] - before[1] > spacing:
            alarms.append([[row]])
        elif any(asset == row[0] and before[1] < cut <= row[1] for asset, cut in cuts):
            alarms[-1].append([row])
        else:
            alarms[-1][-1].append(row)

    notices, early, too_early = [], 0, 0
    detecting = []  # episodes that detect some failure
    for _, window, reference in failures:
        latest_lead = 2 * horizon if horizon else spacing
        found = []
        for alarm in alarms:
            for episode in alarm:
                inside = [row for row in episode if row in window]
                if inside and reference - episode[0][1] <= latest_lead:
                    detecting.append(episode)
                    found.append((inside[0][1], episode))
        if found:
            first, episode = min(found, key=lambda each: each[0])
            notices.append(abs(reference - first))
            early += reference - episode[0][1] > horizon
        elif any(row in window for alarm in alarms for episode in alarm for row in episode):
            too_early += 1

    false_alarms, false_of_alarm = 0, []
    for alarm in alarms:
        counted = 0
        for number, episode in enumerate(alarm):
            if episode in detecting:
                continue
            lasts, previous = 0, None
            for row in episode:
                if row[2] == 0:
                    lasts += interval if previous is None else row[1] - previous[1]
                previous = row
            calls = math.ceil(lasts / max(horizon if horizon else 86_400, interval))
            if not horizon and number > 0:
                calls = max(0, calls - 1)
            counted += calls
        false_alarms += counted
        false_of_alarm.append(counted)

    healthy = [row for row in rows if row[2] == 0]
    days = len(rows) * interval / 86_400
    missed, false_alarm, inspection = prices
    without_alarms = missed * len(failures)
    with_alarms = missed * (len(failures) - len(notices)) + inspection * len(alarms) + false_alarm * false_alarms
    return {
        "failures": len(failures),
        "detected": len(notices),
        "early": early,
        "tooEarly": too_early,
        "eventRecall": len(notices) / len(failures) if failures else None,
        "alarms": len(alarms),
        "falseAlarms": false_alarms,
        "falseAlarmsPerAssetDay": false_alarms / days if days else None,
        "healthyTimeInAlarm": sum(row in alarm_rows for row in healthy) / len(healthy) if healthy else None,
        "alarmPrecision": sum(not count for count in false_of_alarm) / len(alarms) if alarms else None,
        "savedCost": without_alarms - with_alarms,
        "notices": sorted(notices),
    }


def _failures(rows: list[Any], onsets: list[tuple[str, int]], horizon: int) -> list[tuple[str, list[Any], int]]:
    """Asset, scored rows and reference time of each failure that counts."""
    if horizon > 0:
        every = [
            (asset, [row for row in rows if row[0] == asset and onset - horizon <= row[1] < onset], onset)
            for asset, onset in onsets
        ]
        return [failure for failure in every if failure[1]]
    runs: list[list[Any]] = []
    previous = None
    for row in rows:
        if row[2] == 1:
            if previous is not None and previous[0] == row[0] and previous[2] == 1:
                runs[-1].append(row)
            else:
                runs.append([row])
        previous = row
    return [(run[0][0], run, run[0][1]) for run in runs]


def resample(assets: list[str], drawn: list[int], rows: list[Any], onsets: list[Any]) -> tuple[list[Any], list[Any]]:
    """Rows and onsets of a plant that has every asset as often as it was drawn, each copy under a name of its own."""
    copies = [(asset, f"{asset}#{copy}") for asset, times in zip(assets, drawn, strict=True) for copy in range(times)]
    return (
        [(name, *row[1:]) for asset, name in copies for row in rows if row[0] == asset],
        [(name, *onset[1:]) for asset, name in copies for onset in onsets if onset[0] == asset],
    )


def best_limit(sensors: dict[str, list[float]], label: list[int]) -> float | None:
    """The highest F1 of an alarm at any reading of any sensor, at or above it or at or below it."""
    best = None
    for readings in sensors.values():
        for limit in readings:
            if limit != limit:
                continue
            for alarm in ([value >= limit for value in readings], [value <= limit for value in readings]):
                hits = sum(a and y for a, y in zip(alarm, label, strict=True))
                f1 = 2 * hits / (sum(alarm) + sum(label))
                best = f1 if best is None else max(best, f1)
    return best
