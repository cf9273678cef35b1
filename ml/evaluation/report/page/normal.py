"""The section about a model of normal behaviour, on the page."""

from __future__ import annotations

from dataclasses import dataclass

from ml import wording
from ml.evaluation.normal.section import CAN_FIND, NormalSection
from ml.evaluation.report.page.tables import Table

_SHOWN = 20


@dataclass(frozen=True)
class NormalPage:
    """What the page shows beside the numbers."""

    target: str
    interval: str
    can_find: tuple[str, ...]
    sensors: Table
    episodes: Table
    left_out: int
    """Episodes that only the table of episodes has."""


def normal_page(normal: NormalSection | None) -> NormalPage | None:
    """None of another model type."""
    if normal is None:
        return None
    low, high = normal.interval
    sensors = [
        (
            name,
            wording.percent(each["explained"]),
            f"{each['residualSpread']:.3g}",
            wording.count(each["alarmRowsFirst"]),
        )
        for name, each in sorted(normal.sensors.items(), key=lambda item: -item[1]["alarmRowsFirst"])
    ]
    shown = [
        (
            each["asset_id"],
            each["start"][:16].replace("T", " "),
            each["end"][:16].replace("T", " "),
            f"{each['score']:.3f}",
            each["sensors"],
            "known failure" if each["known_failure"] else "alarm" if each["alarm"] else "below the limit",
        )
        for each in normal.episodes[:_SHOWN]
    ]
    return NormalPage(
        target=f"{normal.target:.2g}",
        interval=f"{low:.2g} to {high:.2g}",
        can_find=CAN_FIND,
        sensors=Table(("Sensor", "Explained by the load", "Spread of the rest", "Alarm rows it led"), tuple(sensors)),
        episodes=Table(("Asset", "From (UTC)", "To", "Score", "Sensors", "What it was"), tuple(shown)),
        left_out=len(normal.episodes) - len(shown),
    )
