"""Gates: the thresholds of `validationConfig` against what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml.options.delivery import ValidationConfig


@dataclass(frozen=True)
class Gate:
    """One threshold and how the model stands to it."""

    name: str
    key: str
    """Key of ``validationConfig`` that sets the limit."""
    limit: float
    value: float | None
    """What was measured; None where it is not defined, which fails."""
    passed: bool

    @property
    def is_minimum(self) -> bool:
        """Whether the value must reach the limit, rather than stay below it."""
        return self.key.startswith("min")

    def to_json(self) -> dict[str, Any]:
        """The gate under its JSON names."""
        return {
            "name": self.name,
            "key": self.key,
            "limit": self.limit,
            "value": self.value,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class _Rule:
    key: str
    measure: str
    name: str


_RULES = (
    _Rule("minEventRecall", "eventRecall", "Share of failures announced"),
    _Rule("maxFalseAlarmsPerAssetDay", "falseAlarmsPerAssetDay", "False alarms per asset and day"),
    _Rule("minAccuracy", "accuracy", "Accuracy"),
    _Rule("minPrecision", "precision", "Precision"),
    _Rule("minRecall", "recall", "Recall"),
    _Rule("minF1", "f1", "F1"),
    _Rule("minAuc", "auc", "ROC AUC"),
    _Rule("minAveragePrecision", "averagePrecision", "Average precision"),
    _Rule("maxLatencyMs", "latencyMs", "Latency of one row, 95th percentile"),
)

MEASURES: tuple[str, ...] = tuple(rule.measure for rule in _RULES)
"""Names under which `check_gates` looks for measured values."""


def check_gates(measured: Mapping[str, Any], config: ValidationConfig) -> list[Gate]:
    """Hold what was measured to the configured limits, in the order in which the report shows them.

    Parameters
    ----------
    measured
        Values under the names of `MEASURES`; others are ignored. ``latencyMs`` is the 95th percentile in milliseconds.
        A value that is missing, None or NaN is not defined.
    config
        Limits. A limit of None makes no gate; a limit on a value that is not defined fails.
    """
    limits = config.model_dump(by_alias=True)
    return [
        _gate(rule, measured.get(rule.measure), limits[rule.key]) for rule in _RULES if limits[rule.key] is not None
    ]


def _gate(rule: _Rule, measured: float | None, limit: float) -> Gate:
    value = None if measured is None or math.isnan(measured) else float(measured)
    passed = value is not None and (value >= limit if rule.key.startswith("min") else value <= limit)
    return Gate(name=rule.name, key=rule.key, limit=limit, value=value, passed=passed)
