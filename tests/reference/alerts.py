"""Alerts by their definition: every row compared with every other of its asset and component."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ml.predict.alerts import ScoredRow

Life = tuple[str, str | None, pd.Timestamp, pd.Timestamp, pd.Timestamp, float]


def lives(rows: Sequence[ScoredRow], cooldown: int) -> list[Life]:
    """Asset, component, start, end, peak and its probability of each alert, in order; rows of an asset are in order."""
    found = []
    alarms = [row for row in rows if row.alarm]
    for key in {(row.asset, row.component) for row in alarms}:
        own = [row for row in alarms if (row.asset, row.component) == key]
        limit = pd.Timedelta(seconds=cooldown)
        for row in own:
            if any(other.time < row.time <= other.time + limit for other in own):
                continue  # it goes on with an alert
            members = [row]
            while following := [other for other in own if members[-1].time < other.time <= members[-1].time + limit]:
                members.append(following[0])
            peak = max(members, key=lambda each: each.probability)  # of equal ones the first
            found.append((*key, row.time, members[-1].time, peak.time, peak.probability))
    return sorted(found, key=lambda life: (life[0], life[2], life[1] or ""))
