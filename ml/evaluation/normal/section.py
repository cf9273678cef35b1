"""What the report tells of a model of normal behaviour, and the requirements that it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ml import wording
from ml.arrays import Float32s
from ml.config import OrganizationConfig
from ml.evaluation.checks.gates import Gate
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.normal.episodes import COLUMNS, strongest_episodes
from ml.evaluation.rows import EvaluatedData
from ml.learning.estimators.normal_behaviour import NormalBehaviour
from ml.learning.events.intervals import rate_interval
from ml.options.delivery import ValidationConfig
from ml.workspace.files import read_json
from ml.workspace.paths import OrganizationPaths

ALWAYS = ("maxFalseAlarmsPerAssetDay", "maxHealthyTimeInAlarm", "maxLatencyMs")
"""Requirements that mean something without a known failure; others count where they are not at their default."""
RATE_KEY = "normalBehaviour.max"
CAN_FIND = (
    "It finds what makes a watched sensor leave the value that its operating columns let expect, for about as long as "
    "the persistence: wear, leaks, fouling, drifting instruments.",
    "It cannot find a fault that no watched sensor shows, one that is over within a fraction of the persistence, one "
    "that looks like another load where no operating column tells the load, and one that was there through the whole "
    "history, which it takes for normal.",
    "It does not know which deviation ends in a failure, nor when: its score is a distance, not a chance.",
    "After a repair that shifts a sensor, or in a season that the history does not have, train it again.",
)


@dataclass(frozen=True)
class NormalSection:
    """Figures of a model of normal behaviour on the evaluated rows.

    Attributes
    ----------
    target
        False alarms per asset-day that the limits were set for.
    achieved, interval
        The same on the evaluated rows, with the exact 95 % interval for alarms that come singly.
    sensors
        Name -> share of the variance that the expectation explains, spread of residuals, and how many alarm rows it
        deviated most in.
    episodes
        As from `strongest_episodes`.
    failures, detected
        Known failures among the evaluated rows, and how many of these were detected.
    """

    target: float
    achieved: float
    interval: tuple[float, float]
    healthy_time_in_alarm: float
    healthy_days: float
    history_is_clean: bool
    failures: int
    detected: int
    sensors: Mapping[str, Mapping[str, Any]]
    episodes: list[dict[str, Any]] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """For ``validation_report.json``."""
        return {
            "targetFalseAlarmsPerAssetDay": self.target,
            "falseAlarmsPerAssetDay": self.achieved,
            "interval": list(self.interval),
            "healthyTimeInAlarm": self.healthy_time_in_alarm,
            "healthyDays": self.healthy_days,
            "historyIsClean": self.history_is_clean,
            "knownFailures": self.failures,
            "detected": self.detected if self.failures else None,
            "sensors": self.sensors,
            "canFind": list(CAN_FIND),
            "episodes": self.episodes,
        }

    def episodes_csv(self) -> str:
        """The episodes as a table that can become failureConfig.events once its column ``confirmed`` is filled."""
        return str(pd.DataFrame(self.episodes, columns=list(COLUMNS)).to_csv(index=False))

    @property
    def gate(self) -> Gate | None:
        """Whether the rate that was aimed at lies within, or above, what the evaluated rows leave open.

        None of a history that nobody has checked: its alarms may be right.
        """
        low = self.interval[0]
        return (
            None
            if not self.history_is_clean
            else Gate(
                name="Alarms per asset-day of history taken for healthy, beyond chance",
                key=RATE_KEY,
                limit=self.target,
                value=low,
                passed=low <= self.target,
            )
        )


def normal_section(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    rows: EvaluatedData,
    value: Float32s,
    threshold: float,
    events: Mapping[str, Any],
) -> NormalSection | None:
    """The section; None for another model type."""
    model = trained.estimator
    if not isinstance(model, NormalBehaviour):
        return None
    told: dict[str, Any] = read_json(paths.metrics(config.version), "metrics.json").get("normalBehaviour") or {}
    sensors: dict[str, Any] = told.get("sensors", {})
    target = trained.config.training_config.normal_behaviour.rate(trained.metadata.horizon_seconds)
    places = rows.scored.nonzero()[0]

    def shares_of(wanted: Any) -> Any:
        mask = rows.scored.copy()
        mask[places[~wanted]] = False
        features = trained.engineer.matrix(rows.frame, rows=mask)
        return model.normal_form.shares(trained.engineer.scaling.apply(features))

    spacing = max(config.validation_config.alarm_cooldown_seconds, trained.engineer.interval)
    return NormalSection(
        target=target,
        achieved=events["falseAlarmsPerAssetDay"] or 0.0,
        interval=rate_interval(events["falseAlarms"], events["assetDays"]),
        healthy_time_in_alarm=events["healthyTimeInAlarm"] or 0.0,
        healthy_days=events["healthyDays"],
        history_is_clean=bool(told.get("historyIsClean")),
        failures=events["failures"],
        detected=events["detected"],
        sensors=sensors,
        episodes=strongest_episodes(rows.table, value, tuple(sensors), shares_of, threshold=threshold, spacing=spacing),
    )


def gates_that_apply(gates: list[Gate], config: ValidationConfig) -> list[Gate]:
    """Without those for classifiers that the configuration leaves at their default."""
    default = ValidationConfig().model_dump(by_alias=True)
    given = config.model_dump(by_alias=True)
    return [
        gate
        for gate in gates
        if gate.key in ALWAYS or gate.key.startswith("limits.") or given.get(gate.key) != default.get(gate.key)
    ]


def in_short(normal: NormalSection) -> str:
    """What the model did, in one sentence, and what nobody knows of it, in another."""
    low, high = normal.interval
    rate = (
        f"on history that it takes for healthy, and that its limits had not seen, it raised {normal.achieved:.2g} "
        f"alarms per asset-day ({low:.2g} to {high:.2g}; aimed at were {normal.target:.2g}) and was in alarm for "
        f"{wording.percent(normal.healthy_time_in_alarm)} of the time"
    )
    if normal.failures:
        return f"{rate}; it detected {normal.detected} of {wording.plural(normal.failures, 'known failure')}"
    return (
        f"{rate}. No failure is known, so nobody can say how many it finds: confirm or dismiss the "
        f"{wording.plural(len(normal.episodes), 'episode')} in episodes.csv"
    )
