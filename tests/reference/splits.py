"""Splits and failure numbers once more, row by row."""

from __future__ import annotations

import pandas as pd


def failure_numbers(frame: pd.DataFrame, horizon: int) -> list[object]:
    """For each row None, or what makes it positive: ("event", number) or ("run", number of the run)."""
    rows = frame.to_dict("records")
    onset_of: dict[int, tuple[str, pd.Timestamp]] = {}
    for row in rows:
        if row["event"] >= 0 and row["event"] not in onset_of:
            onset_of[row["event"]] = (row["asset_id"], row["timestamp"])
    found: list[object] = []
    run, previous = -1, None
    for row in rows:
        if row["label"] >= 0:
            if row["label"] == 1 and not (
                previous is not None and previous["label"] == 1 and previous["asset_id"] == row["asset_id"]
            ):
                run += 1
            previous = row
        if row["label"] != 1:
            found.append(None)
            continue
        if row["event"] >= 0:
            found.append(("event", row["event"]))
            continue
        ahead = [
            (time, event)
            for event, (asset, time) in onset_of.items()
            if asset == row["asset_id"] and row["timestamp"] < time <= row["timestamp"] + pd.Timedelta(seconds=horizon)
        ]
        found.append(("event", min(ahead)[1]) if ahead else ("run", run))
    return found


def sees_held_out(
    times: list[int], assets: list[str], train: list[int], held_out: list[int], window: int, horizon: int
) -> list[int]:
    """Training rows whose [t - window, t + horizon] meets the [t, t + horizon] of a held-out row of their asset."""
    guilty = []
    for row in train:
        for other in held_out:
            if assets[row] != assets[other]:
                continue
            if times[row] + horizon >= times[other] and times[row] - window <= times[other] + horizon:
                guilty.append(row)
                break
    return guilty
