"""Every number that a limit may be set on, under the name of its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.evaluation.checks.gates import MEASURES
from ml.evaluation.latency import Latency
from ml.evaluation.metrics import RowMetrics


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
