"""What validation does with the rows it evaluates on: score them, measure, draw, write down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.config import OrganizationConfig
from ml.export.session import Scorer
from ml.pipeline.baselines import baselines
from ml.pipeline.champion import compare_with_published
from ml.pipeline.drifting import drift_of
from ml.pipeline.evaluated_data import EvaluatedData, evaluated_data
from ml.pipeline.evaluated_events import Probabilities, evaluated_events, measured_events
from ml.pipeline.explaining import explanation_of
from ml.pipeline.reference_scores import read_reference
from ml.pipeline.shipped import model_latency, shipped_model, window_latency
from ml.pipeline.split_pictures import split_pictures
from ml.pipeline.trained import TrainedVersion
from ml.pipeline.warnings import distinct, warnings_of, warnings_of_training
from ml.progress import ProgressCallback, silent
from ml.validation import plots
from ml.validation.drawing import ImageFormat
from ml.validation.gates import champion_gate, check_gates
from ml.validation.measures import measured_values
from ml.validation.metrics import reference_results, row_metrics
from ml.validation.page import render_html
from ml.validation.reliance import by_sensor
from ml.validation.report import ValidationReport
from ml.validation.robustness import robustness_curves
from ml.validation.spoiling import Plant
from ml.validation.timeline import timeline
from ml.windows.parallel import available_cpus
from ml.workspace.files import sha256
from ml.workspace.paths import OrganizationPaths


@dataclass(frozen=True)
class Evaluation:
    """Everything that validation writes."""

    report: ValidationReport
    html: str
    pictures: dict[str, bytes]
    predictions: pd.DataFrame


def evaluate(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    test_data: str | None,
    progress: ProgressCallback | None,
) -> Evaluation:
    """Measure a trained version on its test rows, through the ONNX model that would be shipped.

    Raises
    ------
    DataError, ConfigError, IsolationError
        If the test rows cannot be used: none, one class only, another horizon, another organisation's.
    """
    tell = progress or silent
    tell(0, 7, "reading test rows")
    rows = evaluated_data(config, paths, trained, test_data)
    options = config.validation_config
    content = shipped_model(trained, rows.frame, rows.scored, config.conversion_config.parity_rows)
    scorer = Scorer(content, threads=available_cpus())
    threshold = options.threshold
    threshold = trained.metadata.threshold if threshold is None else float(np.float32(threshold))

    tell(1, 7, "scoring")
    features = trained.engineer.matrix(rows.frame, rows=rows.scored)
    probability = scorer.probability(features)
    metrics = row_metrics(rows.label, probability, threshold)
    found = evaluated_events(config, trained, rows, probability, threshold)
    events = measured_events(config, rows, probability, found)
    references = {
        reference.name: read_reference(reference, rows.table, paths) for reference in options.reference_scores
    }

    tell(2, 7, "measuring latency")
    latency = model_latency(content, features, options.latency_runs)
    of_window = window_latency(trained, rows.frame, rows.scored, options.latency_runs)
    explanation = explanation_of(trained, rows, features, probability, found, events)
    del features  # what follows makes tables as large

    tell(3, 7, "comparing with the published version")
    champion = compare_with_published(config, paths, trained, rows, probability, threshold)

    def part(number: int) -> ProgressCallback:
        """Progress within one of the seven parts of the work."""
        return lambda done, total, message: tell(number + done / total, 7, message)

    tell(4, 7, "trying simpler alarms")
    simpler = baselines(config, paths, trained, rows, part(4))

    robustness = robustness_curves(
        rows.frame,
        trained.engineer,
        scorer.probability,
        threshold,
        Plant(
            config,
            sensor_std={name: each.std for name, each in trained.engineer.sensor_statistics.items()},
            reliance=by_sensor(trained.engineer.features, trained.estimator.importances()),
        ),
        config.training_config.random_state,
        scored=rows.scored,
        progress=part(5),
    )

    tell(6, 7, "writing the report")
    gates = check_gates(measured_values(metrics, events, latency, of_window), options)
    against_published = None if champion is None else champion_gate(champion)
    report = ValidationReport(
        organization_id=config.organization_id,
        version=config.version,
        model_type=trained.metadata.model_type,
        model_sha256=hashlib.sha256(content).hexdigest(),
        threshold=threshold,
        horizon_seconds=trained.metadata.horizon_seconds,
        test_set=rows.describe(),
        metrics=metrics,
        gates=(*gates, *([] if against_published is None else [against_published])),
        events=events,
        references=reference_results(rows.label, references),
        baselines=simpler,
        champion=champion,
        latency=latency,
        window_latency=of_window,
        robustness=tuple(robustness),
        drift=tuple(drift_of(trained, rows)),
        importances=trained.estimator.importances(),
        explanation=explanation,
        split=rows.split,
        data_summary=rows.summary,
        suspicious_columns=trained.metadata.suspicious_columns,
        warnings=_warnings(config, paths, trained, rows),
        provenance=_provenance(config, trained),
    )
    drawings = _draw(report, rows, probability, threshold, references)
    drawings |= {name: (png, png) for name, png in split_pictures(config, trained, rows).items()}
    predictions = rows.table[["asset_id", "timestamp", "label"]].assign(probability=probability)
    tell(7, 7, "done")
    return Evaluation(
        report,
        render_html(report, {name: vector for name, (vector, _) in drawings.items()}),
        {name: bitmap for name, (_, bitmap) in drawings.items()},
        predictions.reset_index(drop=True),
    )


def _warnings(
    config: OrganizationConfig, paths: OrganizationPaths, trained: TrainedVersion, rows: JudgedData
) -> list[dict[str, Any]]:
    """What training told about the version, and what was found in this configuration and these rows."""
    of_training = warnings_of_training(paths, config.version)
    return distinct([*of_training, *warnings_of(config, rows.summary, trained.metadata.sampling_interval_seconds)])


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
    rows: EvaluatedData,
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


def _story(rows: EvaluatedData, probability: Probabilities) -> pd.DataFrame:
    """The rows of the scored assets over the scored time, failures included, with their probability or NaN."""
    table, frame = rows.table, rows.frame
    shown = frame["asset_id"].isin(table["asset_id"].unique()) & frame["timestamp"].between(
        table["timestamp"].min(), table["timestamp"].max()
    )
    everywhere = np.full(len(frame), np.nan, dtype=np.float32)
    everywhere[rows.scored] = probability
    return frame.assign(probability=everywhere).loc[shown]
