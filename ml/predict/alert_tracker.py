"""The life of alerts: begun, risen, over. One rule for rows as they come and for a table of all of them.

Rows in alarm of one asset that name one component are one alert, as long as each is at most the cool-down after the one
before. An alert is over once a row of its asset, or the clock, is further from its last row. Another component of the
same asset is another alert.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import pandas as pd

from ml.errors import DataError
from ml.predict.alerts import Alert, ScoredRow, as_text, from_text

FORMAT_VERSION = 1


@dataclass(frozen=True)
class AlertEvent:
    """Something that happened to an alert.

    Attributes
    ----------
    kind
        start: it began. update: its probability rose above all before. end: it is over.
    time
        The instant at which this became known.
    """

    kind: Literal["start", "update", "end"]
    time: pd.Timestamp
    alert: Alert

    def to_json(self) -> dict[str, Any]:
        """The event under its JSON names."""
        return {"kind": self.kind, "time": as_text(self.time), "alert": self.alert.to_json()}


class AlertTracker:
    """Alerts that are open, and what happens to them as rows come.

    Parameters
    ----------
    cooldown_seconds
        Rows of one alert are at most so far apart; at least the model's sampling interval.
    """

    def __init__(self, cooldown_seconds: int) -> None:
        self.cooldown_seconds = cooldown_seconds
        self._open: dict[str, dict[str | None, Alert]] = {}
        self._seen: dict[str, pd.Timestamp] = {}

    @property
    def open(self) -> list[Alert]:
        """Alerts that are not over."""
        return [alert for of_asset in self._open.values() for alert in of_asset.values()]

    def take(self, rows: Iterable[ScoredRow]) -> list[AlertEvent]:
        """What some rows change, those of one asset in order of time.

        A row at or before the last one of its asset changes nothing, so that rows may be given again after a restart.
        """
        return [event for row in rows for event in self._take(row)]

    def advance(self, now: pd.Timestamp) -> list[AlertEvent]:
        """The alerts that are over by a time, also of assets that send nothing any more."""
        return [event for asset in list(self._open) for event in self._ended(asset, now)]

    def close(self) -> list[Alert]:
        """End all alerts, however young."""
        alerts, self._open = self.open, {}
        return alerts

    def to_json(self) -> dict[str, Any]:
        """The state, to go on with in another process, or in another language."""
        return {
            "formatVersion": FORMAT_VERSION,
            "cooldownSeconds": self.cooldown_seconds,
            "open": [alert.to_json() for alert in self.open],
            "seen": {asset: as_text(time) for asset, time in self._seen.items()},
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """The tracker whose state `to_json` gave; raises DataError for anything else."""
        try:
            if state["formatVersion"] != FORMAT_VERSION:
                raise ValueError(f"format {state['formatVersion']}; this release reads {FORMAT_VERSION}")
            tracker = cls(int(state["cooldownSeconds"]))
            for alert in map(Alert.from_json, state["open"]):
                tracker._open.setdefault(alert.asset, {})[alert.component] = alert
            tracker._seen = {asset: from_text(time) for asset, time in state["seen"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"this is no state of an alert tracker: {error}", hint="give what AlertTracker.to_json gave"
            ) from error
        return tracker

    def _take(self, row: ScoredRow) -> list[AlertEvent]:
        if row.asset in self._seen and row.time <= self._seen[row.asset]:
            return []
        self._seen[row.asset] = row.time
        events = self._ended(row.asset, row.time)
        if not row.alarm:
            return events
        of_asset = self._open.setdefault(row.asset, {})
        before, now = of_asset.get(row.component), row.as_alert()
        if before is None:
            of_asset[row.component] = now
            return [*events, AlertEvent("start", row.time, now)]
        if row.probability > before.probability:
            of_asset[row.component] = replace(now, start=before.start)
            return [*events, AlertEvent("update", row.time, of_asset[row.component])]
        of_asset[row.component] = replace(before, end=row.time, time_to_failure=row.time_to_failure)
        return events

    def _ended(self, asset: str, now: pd.Timestamp) -> list[AlertEvent]:
        of_asset = self._open.get(asset, {})
        limit = pd.Timedelta(seconds=self.cooldown_seconds)
        over = [component for component, alert in of_asset.items() if now - alert.end > limit]
        events = [AlertEvent("end", now, of_asset.pop(component)) for component in over]
        if not of_asset:
            self._open.pop(asset, None)
        return events
