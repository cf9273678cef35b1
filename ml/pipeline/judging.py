"""What validation does with the rows it judges by: score them, measure, draw, write down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.config import OrganizationConfig
from ml.export.package import MODEL_FILE, exact_model
from ml.export.session import Scorer
from ml.learning.event_metrics import event_metrics
from ml.learning.failures import epoch_seconds, onsets
from ml.pipeline.judged_data import JudgedData, judged_data
from ml.pipeline.reference_scores import read_reference
from ml.pipeline.trained import TrainedVersion
from ml.progress import ProgressCallback, silent
from ml.validation import plots
from ml.validation.drawing import ImageFormat
from ml.validation.gates import check_gates
from ml.validation.latency import Latency, measure_latency
from ml.validation.metrics import reference_results, row_metrics
from ml.validation.page import render_html
from ml.validation.report import ValidationReport
from ml.validation.robustness import robustness_curves
from ml.validation.timeline import timeline
from ml.windows.parallel import available_cpus
from ml.workspace.files import sha256
from ml.workspace.opening import read_bytes
from ml.workspace.paths import OrganizationPaths

Probabilities = npt.NDArray[np.float32]
_LATENCY_ROWS = 200


@dataclass(frozen=True)
class Judgement:
    """Everything that validation writes."""

    report: ValidationReport
    html: str
    pictures: dict[str, bytes]
    predictions: pd.DataFrame


def judge(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    test_data: str | None,
    progress: ProgressCallback | None,
) -> Judgement:
    """Measure a trained version on its test rows, through the ONNX model that would be shipped.

    Raises
    ------
    DataError, ConfigError, IsolationError
        If the test rows cannot be used: none, one class only, another horizon, another organisation's.
    """
    tell = progress or silent
    tell(0, 5, "reading test rows")
    rows = judged_data(config, paths, trained, test_data)
    content = _shipped_model(config, trained, rows)
    scorer = Scorer(content, threads=available_cpus())
    threshold = config.validation_config.threshold
    threshold = trained.metadata.threshold if threshold is None else float(np.float32(threshold))

    tell(1, 5, "scoring")
    features = trained.engineer.matrix(rows.frame, rows=rows.scored)
    probability = scorer.probability(features)
    metrics = row_metrics(rows.label, probability, threshold)
    events = _events(config, trained, rows, probability, threshold)
    references = {
        reference.name: read_reference(reference, rows.table, paths)
        for reference in config.validation_config.reference_scores
    }

    tell(2, 5, "measuring latency")
    latency = _latency(config, content, features)

    def robustness_progress(done: float, total: float, message: str) -> None:
        tell(3 + done / total, 5, message)

    robustness = robustness_curves(
        rows.frame,
        trained.engineer,
        scorer.probability,
        threshold,
        config,
        config.training_config.random_state,
        {name: each.std for name, each in trained.engineer.sensor_statistics.items()},
        scored=rows.scored,
        progress=robustness_progress,
    )

    tell(4, 5, "writing the report")
    measured = metrics.to_json() | {
        "eventRecall": events["eventRecall"],
        "falseAlarmsPerAssetDay": events["falseAlarmsPerAssetDay"],
        "latencyMs": latency.p95,
    }
    report = ValidationReport(
        organization_id=config.organization_id,
        version=config.version,
        model_type=trained.metadata.model_type,
        model_sha256=hashlib.sha256(content).hexdigest(),
        threshold=threshold,
        horizon_seconds=trained.metadata.horizon_seconds,
        test_set=rows.describe(),
        metrics=metrics,
        gates=tuple(check_gates(measured, config.validation_config)),
        events=events,
        references=reference_results(rows.label, references),
        latency=latency,
        robustness=tuple(robustness),
        importances=trained.estimator.importances(),
        split=rows.split,
        data_summary=rows.summary,
        provenance=_provenance(config, trained),
    )
    drawings = _draw(report, rows, probability, threshold, references)
    predictions = rows.table[["asset_id", "timestamp", "label"]].assign(probability=probability)
    tell(5, 5, "done")
    return Judgement(
        report,
        render_html(report, {name: vector for name, (vector, _) in drawings.items()}),
        {name: bitmap for name, (_, bitmap) in drawings.items()},
        predictions.reset_index(drop=True),
    )


def _shipped_model(config: OrganizationConfig, trained: TrainedVersion, rows: JudgedData) -> bytes:
    """The version's model.onnx, or, where it was not exported yet, the bytes that an export gives."""
    file = trained.folder / MODEL_FILE
    if file.is_file():
        return read_bytes(file)
    return exact_model(
        trained.estimator,
        trained.metadata,
        real_rows=trained.engineer.matrix(rows.frame, rows=rows.scored),
        parity_rows=config.conversion_config.parity_rows,
    )[0]


def _events(
    config: OrganizationConfig, trained: TrainedVersion, rows: JudgedData, probability: Probabilities, threshold: float
) -> dict[str, Any]:
    table = rows.table
    failures = onsets(rows.frame)
    announced = len(failures) > 0 and bool((rows.frame["target"] >= 0).any())
    return event_metrics(
        table["asset_id"].to_numpy(),
        epoch_seconds(table["timestamp"]),
        rows.label,
        probability,
        failures,
        threshold=threshold,
        # Labels that were made elsewhere, without a target, know no onset: their runs are what can be detected.
        horizon=trained.metadata.horizon_seconds if announced else 0,
        cooldown=config.validation_config.alarm_cooldown_seconds,
        interval=trained.engineer.interval,
    )


def _latency(config: OrganizationConfig, content: bytes, features: npt.NDArray[np.float32]) -> Latency:
    one = Scorer(content)
    sample = features[np.linspace(0, len(features) - 1, min(_LATENCY_ROWS, len(features))).astype(int)]
    return measure_latency(one.score, np.ascontiguousarray(sample), config.validation_config.latency_runs)


def _provenance(config: OrganizationConfig, trained: TrainedVersion) -> dict[str, Any]:
    metadata = trained.metadata
    return {
        "trainedOnDigest": metadata.data.digest,
        "trainingConfigDigest": metadata.config_digest,
        "validationConfigDigest": config.digest(),
        "seed": metadata.training.seed,
        "trees": metadata.training.rounds,
        "features": len(metadata.features),
        "lookBackSamples": metadata.window.look_back,
        "samplingIntervalSeconds": metadata.sampling_interval_seconds,
        "libraries": metadata.libraries,
        "modelFile": sha256(trained.folder / trained.estimator.model_file),
    }


def _draw(
    report: ValidationReport,
    rows: JudgedData,
    probability: Probabilities,
    threshold: float,
    references: dict[str, npt.NDArray[np.float64]],
) -> dict[str, tuple[bytes, bytes]]:
    """Each picture as the report embeds it (vectors where lines are few) and as a PNG file."""
    label = rows.label
    dense = timeline(_story(rows, probability), threshold)
    drawings: dict[str, Callable[[ImageFormat], bytes]] = {
        "precision_recall": lambda kind: plots.precision_recall(label, probability, references, kind),
        "roc": lambda kind: plots.roc(label, probability, references, kind),
        "confusion": lambda kind: plots.confusion(report.metrics.confusion, kind),
        "score_distribution": lambda kind: plots.score_distribution(label, probability, threshold, kind),
        "calibration": lambda kind: plots.calibration(label, probability, kind),
        "robustness": lambda kind: plots.robustness(report.robustness, kind),
        "importance": lambda kind: plots.importance(report.importances, kind),
    }
    return {"timeline": (dense, dense)} | {name: (draw("svg"), draw("png")) for name, draw in drawings.items()}


def _story(rows: JudgedData, probability: Probabilities) -> pd.DataFrame:
    """The rows of the scored assets over the scored time, failures included, with their probability or NaN."""
    table, frame = rows.table, rows.frame
    shown = frame["asset_id"].isin(table["asset_id"].unique()) & frame["timestamp"].between(
        table["timestamp"].min(), table["timestamp"].max()
    )
    everywhere = np.full(len(frame), np.nan, dtype=np.float32)
    everywhere[rows.scored] = probability
    return frame.assign(probability=everywhere).loc[shown]
