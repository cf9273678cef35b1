"""Event metrics once more, by loops over rows, alarms and failures."""

from __future__ import annotations

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
    alarm_rows = [row for row in rows if np.float32(row[3]) >= np.float32(threshold)]

    alarms: list[list[tuple[str, int, int, float]]] = []
    for row in alarm_rows:
        joins = alarms and alarms[-1][-1][0] == row[0] and row[1] - alarms[-1][-1][1] <= max(cooldown, interval)
        if joins:
            alarms[-1].append(row)
        else:
            alarms.append([row])
    false_alarms = [alarm for alarm in alarms if all(row[2] == 0 for row in alarm)]

    windows = _windows(rows, onsets, horizon)
    notices = []
    for window, reference in windows:
        hits = [row for row in window if row in alarm_rows]
        if hits:
            notices.append(abs(reference - hits[0][1]))
    days = len(rows) * interval / 86_400
    missed, false_alarm, inspection = prices
    without_alarms = sum(missed for _ in windows)
    with_alarms = sum(missed for _ in range(len(windows) - len(notices)))
    for alarm in alarms:
        with_alarms += inspection + (false_alarm if alarm in false_alarms else 0)
    return {
        "failures": len(windows),
        "announced": len(notices),
        "eventRecall": len(notices) / len(windows) if windows else None,
        "alarms": len(alarms),
        "falseAlarms": len(false_alarms),
        "falseAlarmsPerAssetDay": len(false_alarms) / days if days else None,
        "timeInAlarm": len(alarm_rows) / len(rows) if rows else None,
        "alarmPrecision": 1 - len(false_alarms) / len(alarms) if alarms else None,
        "savedCost": without_alarms - with_alarms,
        "notices": sorted(notices),
    }


def _windows(rows: list[Any], onsets: list[tuple[str, int]], horizon: int) -> list[tuple[list[Any], int]]:
    """Scored rows of each failure that counts, and the time that notice is measured from."""
    if horizon > 0:
        all_windows = [
            ([row for row in rows if row[0] == asset and onset - horizon <= row[1] < onset], onset)
            for asset, onset in onsets
        ]
        return [(window, onset) for window, onset in all_windows if window]
    runs: list[list[Any]] = []
    previous = None
    for row in rows:
        if row[2] == 1:
            if previous is not None and previous[0] == row[0] and previous[2] == 1:
                runs[-1].append(row)
            else:
                runs.append([row])
        previous = row
    return [(run, run[0][1]) for run in runs]


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
