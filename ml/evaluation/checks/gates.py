"""Gates: the thresholds of `validationConfig` against what was measured, each under the name of its limit.

A gate metric is one entry in `ml.options.limits.MetricLimits`: whatever was measured under its name can be held to a
least and a most. A key ``minX`` or ``maxX`` of `ValidationConfig` is a short form of such a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ml.evaluation.comparison import Champion
from ml.evaluation.latency import Latency
from ml.evaluation.metrics import RowMetrics
from ml.evaluation.records import Record
from ml.options.delivery import ValidationConfig
from ml.options.limits import MetricLimits


@dataclass(frozen=True)
class Gate(Record):
    """One threshold and how the model stands to it."""

    name: str
    key: str
    """Key of ``validationConfig`` that sets the limit, such as ``minRecall`` or ``limits.savedCost.min``."""
    limit: float
    value: float | None
    """What was measured; None where it is not defined, which fails."""
    passed: bool

    @property
    def is_minimum(self) -> bool:
        """Whether the value must reach the limit, rather than stay below it."""
        return self.key.startswith("min") or self.key.endswith(".min")


_NAMES = {str(field.alias): str(field.description) for field in MetricLimits.model_fields.values()}
_OF_ANOTHER_NAME = {"maxLatencyMs": "latencyP95Ms"}

MEASURES: tuple[str, ...] = tuple(_NAMES)
"""Names under which `check_gates` looks for measured values."""

GATES: dict[str, str] = {
    key: _OF_ANOTHER_NAME.get(key, key[3].lower() + key[4:])
    for key in (str(field.alias) for field in ValidationConfig.model_fields.values())
    if key.startswith(("min", "max"))
}
"""Keys of ``validationConfig`` that set one limit each, in the order of the report, and the metric that they limit."""


def check_gates(measured: Mapping[str, Any], config: ValidationConfig) -> list[Gate]:
    """Hold what was measured to the configured limits, in the order in which the report shows them.

    Parameters
    ----------
    measured
        Values under the names of `MEASURES`; others are ignored. A value that is missing, None or NaN is not defined.
    config
        Limits. A limit of None makes no gate; a limit on a value that is not defined fails.
    """
    keys = config.model_dump(by_alias=True)
    limits = [(_NAMES[measure], key, keys[key], measured.get(measure)) for key, measure in GATES.items()]
    for measure, name in _NAMES.items():
        bounds = keys["limits"][measure] or {}
        limits += [(name, f"limits.{measure}.{end}", bound, measured.get(measure)) for end, bound in bounds.items()]
    return [_gate(name, key, limit, value) for name, key, limit, value in limits if limit is not None]


def champion_gate(champion: Champion) -> Gate | None:
    """Whether the candidate loses no more to the published version than allowed.

    None if they were not compared, and need not be.
    """
    loss = champion.certain_loss
    name = f"Average precision lost to the published version {champion.version}, beyond chance"
    if loss is not None:
        return _gate(name, "championMargin", champion.margin, max(loss, 0.0))
    if champion.required:
        return _gate(f"{name} (not compared: {champion.skipped})", "champion", champion.margin, None)
    return None


def _gate(name: str, key: str, limit: float, measured: float | None) -> Gate:
    value = None if measured is None or math.isnan(measured) else float(measured)
    gate = Gate(name=name, key=key, limit=limit, value=value, passed=False)
    return replace(gate, passed=value is not None and (value >= limit if gate.is_minimum else value <= limit))


def measured_values(
    metrics: RowMetrics, events: Mapping[str, Any], latency: Latency, window: Latency | None
) -> dict[str, float | None]:
    """What was measured, under the names of `ml.evaluation.checks.gates.MEASURES`; None where it is not defined.

    Parameters
    ----------
    events
        As from `ml.learning.events.metrics.event_metrics`.
    latency, window
        Of ``model.onnx`` and of ``window.onnx``.
    """
    notice = {
        f"{name}{quantile.capitalize()}Seconds": value
        for name in ("leadTime", "detectionDelay")
        for quantile, value in (events.get(f"{name}Seconds") or {}).items()
    }
    latencies = {
        f"{name}{level.capitalize()}Ms": value
        for name, measured in (("latency", latency), ("windowLatency", window))
        if measured is not None
        for level, value in measured.to_json().items()
    }
    missed = {"missedFailures": events["failures"] - events["detected"]}
    everything = {**metrics.to_json(), **events, **missed, **notice, **latencies}
    return {name: everything.get(name) for name in MEASURES}
