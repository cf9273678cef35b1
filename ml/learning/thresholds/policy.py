"""The alarm threshold by the rule of `trainingConfig.thresholdPolicy`, on rows that the model was not fitted on.

Every distinct probability is a candidate. Counts are those of `ml.learning.events.metrics`; the rules:

f1
    As `ml.learning.thresholds.f1.stable_f1_threshold`.
cost
    Least ``missed * missedFailure + falseAlarms * falseAlarm + alarms * inspection``: the empirical risk
    (Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001), counted in events instead of rows.
maxFalseAlarmsPerAssetDay
    Most failures detected with no more false alarms per asset-day than the limit.
maxHealthyTimeInAlarm
    Most failures detected with no more than this share of the rows labelled 0 in alarm.
minRecall
    Fewest alarm rows with at least this share of the rows labelled 1 among them.
minPrecision
    Most rows labelled 1 found with at least this share of alarm rows labelled 1.

Of candidates that are equal, the highest wins, which raises the fewest alarms. A candidate that puts more than half of
the healthy rows in alarm keeps no limit: an alarm that never ends tells nothing. If no candidate keeps a limit, the one
that comes nearest to it is taken, and the choice says so (`ThresholdChoice.met`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import Float64s
from ml.learning.events.alarm_curve import AlarmCurve
from ml.learning.thresholds.f1 import midway, stable_f1_threshold
from ml.options.costs import MaintenanceCosts
from ml.options.thresholds import MOST_HEALTHY_TIME, ThresholdPolicy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold, the rule it follows, and what it did on the rows it was chosen on.

    Attributes
    ----------
    threshold
        Exactly a float32.
    met
        Whether a limit, where the rule has one, is kept on these rows.
    figures
        Under JSON names: ``precision``, ``recall`` and ``f1`` of rows, ``failures``, ``detected``, ``alarms``,
        ``falseAlarms``, ``falseAlarmsPerAssetDay``, ``healthyTimeInAlarm``, and with the rule ``cost`` also ``cost``
        and ``costWithoutAlarms``.
    cooldown
        The alarm cooldown that these were counted with, in seconds.
    """

    threshold: float
    policy: ThresholdPolicy
    met: bool
    figures: dict[str, float]
    cooldown: int

    def to_json(self) -> dict[str, Any]:
        """The choice for JSON."""
        policy = self.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {
            "threshold": self.threshold,
            "policy": policy,
            "met": self.met,
            "figures": self.figures,
            "alarmCooldownSeconds": self.cooldown,
        }


def choose_threshold(
    policy: ThresholdPolicy,
    curve: AlarmCurve,
    label: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    groups: npt.NDArray[Any],
    *,
    seed: int,
) -> ThresholdChoice:
    """The threshold that the policy asks for.

    Parameters
    ----------
    curve
        Of the same rows as `label` and `probability`.
    label, probability, groups, seed
        As in `stable_f1_threshold`.
    """
    precision, recall = curve.hit_rows / curve.alarm_rows, curve.hit_rows / curve.positives
    per_day = curve.false_alarms / curve.asset_days
    met = True
    match policy.rule:
        case "f1":
            threshold = stable_f1_threshold(label, probability, groups, seed=seed)
        case "cost" if policy.costs is not None:
            threshold = midway(curve.thresholds, _highest(-_costs(policy.costs, curve)))
        case _:
            limit = float(policy.limit or 0.0)
            in_alarm = curve.healthy_time_in_alarm
            value, gain = {
                "maxFalseAlarmsPerAssetDay": (-per_day, curve.detected),
                "maxHealthyTimeInAlarm": (-in_alarm, curve.detected),
                "minPrecision": (precision, curve.hit_rows),
                "minRecall": (recall, -curve.alarm_rows),
            }[policy.rule]
            sane = in_alarm <= MOST_HEALTHY_TIME
            value = np.where(sane | ~sane.any(), value, -np.inf)
            kept = sane & (value >= (-limit if policy.rule.startswith("max") else limit))
            met = bool(kept.any())
            best = _highest(np.where(kept, gain, -np.inf)) if met else _highest(value)
            threshold = midway(curve.thresholds, best)
            if not met:
                _log.warning(
                    "no threshold keeps %s %g on the validation part; the nearest to it is %.4g",
                    policy.rule,
                    limit,
                    threshold,
                )
    return ThresholdChoice(threshold, policy, met, _figures(policy, curve, threshold), curve.cooldown)


def _highest(value: npt.NDArray[Any]) -> int:
    """The last position of the greatest value: the highest of equally good thresholds."""
    return len(value) - 1 - int(np.argmax(value[::-1]))


def _costs(costs: MaintenanceCosts, curve: AlarmCurve) -> Float64s:
    missed = (curve.failures - curve.detected) * costs.missed_failure
    return np.asarray(missed + curve.false_alarms * costs.false_alarm + curve.alarms * costs.inspection, np.float64)


def _figures(policy: ThresholdPolicy, curve: AlarmCurve, threshold: float) -> dict[str, float]:
    """What the rows that reach a threshold amount to; the next higher candidate has the same rows."""
    at = int(np.searchsorted(curve.thresholds, np.float32(threshold)))
    hits, alarm_rows = int(curve.hit_rows[at]), int(curve.alarm_rows[at])
    figures = {
        "precision": hits / alarm_rows,
        "recall": hits / curve.positives,
        "f1": 2 * hits / (alarm_rows + curve.positives),
        "failures": curve.failures,
        "detected": int(curve.detected[at]),
        "alarms": int(curve.alarms[at]),
        "falseAlarms": int(curve.false_alarms[at]),
        "falseAlarmsPerAssetDay": float(curve.false_alarms[at] / curve.asset_days),
        "healthyTimeInAlarm": float(curve.healthy_time_in_alarm[at]),
    }
    if policy.costs is not None:
        figures["cost"] = float(_costs(policy.costs, curve)[at])
        figures["costWithoutAlarms"] = curve.failures * policy.costs.missed_failure
    return figures
