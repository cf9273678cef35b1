"""`ValidationReport`: everything that was found out about one version, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ml.evaluation.attributions.contributions import Explanation
from ml.evaluation.checks.gates import Gate
from ml.evaluation.comparison import Baseline, Champion
from ml.evaluation.drift.evaluated import Drift
from ml.evaluation.latency import Latency
from ml.evaluation.metrics import ReferenceResult, RowMetrics
from ml.evaluation.normal.section import NormalSection
from ml.evaluation.perturbations.robustness import RobustnessPoint
from ml.evaluation.report.verdict import verdict
from ml.evaluation.rows import EvaluatedRows
from ml.findings import Finding
from ml.workspace.files import plain

FORMAT_VERSION = 1

Status = Literal["PASSED", "REFUSED"]


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """What validation found out about one version of one organisation's model.

    Sections that were not measured are None or empty, and left out of the page.
    """

    organization_id: str
    version: str
    model_type: str
    model_sha256: str | None
    threshold: float
    horizon_seconds: int
    """0: the model detects failures as they happen."""
    test_set: EvaluatedRows
    metrics: RowMetrics
    gates: tuple[Gate, ...]
    refusals: tuple[Finding, ...] = ()
    """Why the model is refused whatever the gates say."""
    events: Mapping[str, Any] | None = None
    """Event metrics under their JSON names, as from `ml.learning.events.metrics`; None where nothing was counted."""
    references: tuple[ReferenceResult, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    champion: Champion | None = None
    """None where no version was published, or the comparison was not wanted."""
    normal: NormalSection | None = None
    """Of a model of normal behaviour, whose score is no probability; None of any other."""
    latency: Latency | None = None
    """Of ``model.onnx``."""
    window_latency: Latency | None = None
    """Of ``window.onnx``; None where the version has none."""
    robustness: tuple[RobustnessPoint, ...] = ()
    drift: tuple[Drift, ...] = ()
    """Sensors, then features, against the training part."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """Feature -> gain."""
    explanation: Explanation | None = None
    """What drove alarms; None where the model type cannot tell."""
    time_to_failure: Mapping[str, Any] | None = None
    """Coverage, error and width under their JSON names, as measured in training; None where there is none."""
    split: Mapping[str, Any] | None = None
    data_summary: Mapping[str, Any] | None = None
    suspicious_columns: Sequence[Mapping[str, Any]] = ()
    """Sensors that seem to know the label or the time: column, reason and figure of each."""
    warnings: Sequence[Mapping[str, Any]] = ()
    """What whoever reads the numbers has to know, was left out, guessed or mapped: findings in their JSON form."""
    provenance: Mapping[str, Any] | None = None

    @property
    def status(self) -> Status:
        """PASSED if every gate is, and nothing refuses the model by itself."""
        return "PASSED" if all(gate.passed for gate in self.gates) and not self.refusals else "REFUSED"

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        return verdict(self)

    @property
    def is_detection(self) -> bool:
        """Whether failures are counted as found after their start (with a delay) rather than detected before it."""
        return "detectionDelaySeconds" in (self.events or {})

    @property
    def notice_seconds(self) -> Mapping[str, float]:
        """Quantiles of the lead time, or of the delay of a detection; empty if no failure was found."""
        key = "detectionDelaySeconds" if self.is_detection else "leadTimeSeconds"
        return (self.events or {}).get(key) or {}

    def ranked_importances(self) -> list[dict[str, Any]]:
        """Features by falling gain, with their share of the total."""
        total = sum(self.importances.values())
        ranked = sorted(self.importances.items(), key=lambda item: (-item[1], item[0]))
        return [{"feature": name, "gain": gain, "share": gain / total if total else 0.0} for name, gain in ranked]

    def to_json(self) -> dict[str, Any]:
        """The content of ``validation_report.json``: plain JSON values, undefined numbers as None."""
        metrics = self.metrics.to_json()
        content = {
            "formatVersion": FORMAT_VERSION,
            "status": self.status,
            "verdict": self.verdict,
            "organizationId": self.organization_id,
            "version": self.version,
            "modelType": self.model_type,
            "modelSha256": self.model_sha256,
            "threshold": self.threshold,
            "horizonSeconds": self.horizon_seconds,
            "testSet": self.test_set.to_json(),
            "metrics": {key: value for key, value in metrics.items() if key not in ("rows", "positives")},
            "events": self.events,
            "gates": [gate.to_json() for gate in self.gates],
            "refusals": [finding.to_json() for finding in self.refusals],
            "warnings": self.warnings,
            "references": [reference.to_json() for reference in self.references],
            "baselines": [baseline.to_json() for baseline in self.baselines],
            "champion": None if self.champion is None else self.champion.to_json(),
            **({} if self.normal is None else {"normalBehaviour": self.normal.to_json()}),
            "latencyMs": None if self.latency is None else self.latency.to_json(),
            "windowLatencyMs": None if self.window_latency is None else self.window_latency.to_json(),
            "robustness": [point.to_json() for point in self.robustness],
            "drift": [each.to_json() for each in self.drift],
            "importances": self.ranked_importances(),
            "explanation": None if self.explanation is None else self.explanation.to_json(),
            "timeToFailure": self.time_to_failure,
            "split": self.split,
            "dataSummary": self.data_summary,
            "suspiciousColumns": self.suspicious_columns,
            "provenance": self.provenance,
        }
        return {key: plain(value) for key, value in content.items()}
