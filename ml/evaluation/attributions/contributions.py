"""What drove alarms: exact contributions of features, over all alarms and for each missed failure and false alarm.

A contribution is a SHAP value (Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017):
how far a feature's value moved the row's raw score (log-odds) from that of an average training row. They add up to the
score, so none is left unexplained; but features that tell the same share what they add, and nothing here says that one
*causes* a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ml import wording
from ml.arrays import Float32s, Float64s
from ml.export.reasons.exact import TIME
from ml.windows.catalogue import Feature

PER_CASE = 5
NAMED = 3

CaseKind = Literal["missedFailure", "falseAlarm"]


@dataclass(frozen=True)
class Attribution:
    """A feature's value in one row and what it did to the raw score."""

    feature: str
    value: float
    """In the feature's own unit; NaN where it was missing."""
    contribution: float
    words: str
    """The feature and its value, as people say it."""


@dataclass(frozen=True)
class Case:
    """A missed failure or a false alarm, and its most alarming row."""

    kind: CaseKind
    asset: str
    time: str
    """Of the failure, or of the alarm's first row; ISO 8601."""
    row: int
    """Position of the most alarming row among the scored rows."""
    probability: float


@dataclass(frozen=True)
class ExplainedCase:
    """A case with the features that moved its score most, largest first."""

    case: Case
    drivers: tuple[Attribution, ...]

    @property
    def sentence(self) -> str:
        """What raised the risk most, for a false alarm; what kept it down, for a missed failure."""
        false = self.case.kind == "falseAlarm"
        acting = [driver for driver in self.drivers if driver.contribution != 0]
        wanted = [driver.words for driver in acting if (driver.contribution > 0) == false][:NAMED]
        others = [driver.words for driver in acting if (driver.contribution > 0) != false][:1]
        up, down = "raised the risk most", "kept the risk down most"
        parts = [f"{wording.listed(wanted)} {up if false else down}"] if wanted else []
        parts += [f"{others[0]} {down if false else up}"] if others else []
        return f"{'; '.join(parts)}." if parts else "No feature moved the risk."

    def to_json(self) -> dict[str, Any]:
        """The case under its JSON names."""
        return {
            "asset": self.case.asset,
            "time": self.case.time,
            "probability": self.case.probability,
            "sentence": self.sentence,
            "drivers": [asdict(each) for each in self.drivers],
        }


@dataclass(frozen=True)
class Explanation:
    """What drove the model's alarms.

    Attributes
    ----------
    alarm_rows, explained_rows
        Alarm rows, and how many of them the means are over.
    sensors, features
        Mean absolute contribution over the explained alarm rows, largest first.
    missed, false
        Missed failures and false alarms in all; `cases` may be fewer.
    """

    alarm_rows: int
    explained_rows: int
    sensors: dict[str, float]
    features: dict[str, float]
    missed: int
    false: int
    cases: tuple[ExplainedCase, ...]

    def of(self, kind: CaseKind) -> list[ExplainedCase]:
        """The explained cases of one kind, in order of time and asset."""
        return [each for each in self.cases if each.case.kind == kind]

    def to_json(self) -> dict[str, Any]:
        """The findings under their JSON names; contributions are in log-odds."""
        return {
            "alarmRows": self.alarm_rows,
            "explainedAlarmRows": self.explained_rows,
            "sensors": _with_shares("sensor", self.sensors),
            "features": _with_shares("feature", self.features),
            "missedFailures": self.missed,
            "falseAlarms": self.false,
            "missedFailureList": [each.to_json() for each in self.of("missedFailure")],
            "falseAlarmList": [each.to_json() for each in self.of("falseAlarm")],
        }


def mean_contributions(
    features: Sequence[Feature], contributions: Float64s
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean absolute contribution by sensor and by feature, largest first.

    Parameters
    ----------
    features
        In the order of the columns.
    contributions
        Shape ``(n_rows, n_features + 1)``, the expected value last; without rows, everything is 0.
    """
    mean = np.abs(contributions[:, :-1]).sum(axis=0) / max(len(contributions), 1)
    by_feature = dict(zip((feature.name for feature in features), mean.tolist(), strict=True))
    return by_sensor(features, by_feature), dict(sorted(by_feature.items(), key=lambda item: -item[1]))


def explained(
    case: Case,
    features: Sequence[Feature],
    values: Float32s,
    contributions: Float64s,
    tell: Callable[[Feature, float], str],
) -> ExplainedCase:
    """A case with the `PER_CASE` features of largest absolute contribution in each direction.

    Parameters
    ----------
    values, contributions
        The case's row: unscaled features ``(n_features,)`` and contributions ``(n_features + 1,)``.
    tell
        A feature and its value in words.
    """
    own = contributions[:-1]
    order = np.argsort(-np.abs(own), kind="stable")
    chosen = [*order[own[order] > 0][:PER_CASE], *order[own[order] < 0][:PER_CASE]]
    drivers = [
        Attribution(features[at].name, float(values[at]), float(own[at]), tell(features[at], float(values[at])))
        for at in chosen
    ]
    return ExplainedCase(case, tuple(sorted(drivers, key=lambda driver: -abs(driver.contribution))))


def _with_shares(kind: str, weights: dict[str, float]) -> list[dict[str, Any]]:
    total = sum(weights.values())
    return [
        {kind: name, "meanContribution": weight, "share": weight / total if total else 0.0}
        for name, weight in weights.items()
    ]


def by_sensor(features: Sequence[Feature], weight: Mapping[str, float]) -> dict[str, float]:
    """The weights of features, by name, summed over the features of each sensor; largest first.

    A feature of two sensors counts half for each, one of neither as `TIME`. A feature without a weight counts as 0.
    """
    total: dict[str, float] = {}
    for feature in features:
        sensors = feature.operation.sensors or (TIME,)
        for sensor in sensors:
            total[sensor] = total.get(sensor, 0.0) + weight.get(feature.name, 0.0) / len(sensors)
    return dict(sorted(total.items(), key=lambda item: -item[1]))
