"""What validation does with the rows it evaluates on: score them, measure, draw, write down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Float32s, Float64s
from ml.config import OrganizationConfig
from ml.drawing import Picture
from ml.evaluation.attributions.contributions import Explanation, by_sensor
from ml.evaluation.attributions.evaluated import explanation_of
from ml.evaluation.baselines import baselines
from ml.evaluation.champion import compare_with_published
from ml.evaluation.checks.degenerate import constant_on_assets, refusals
from ml.evaluation.checks.doubts import cooldown_differs, findings_about_events
from ml.evaluation.checks.gates import champion_gate, check_gates, measured_values
from ml.evaluation.comparison import Baseline, Champion
from ml.evaluation.drift.evaluated import drift_of
from ml.evaluation.events import Probabilities, evaluated_events, measured_events
from ml.evaluation.latency import Latency
from ml.evaluation.metrics import RowMetrics, reference_results, row_metrics
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.naming import findings_about_naming, measured_naming
from ml.evaluation.normal.section import NormalSection, gates_that_apply, normal_section
from ml.evaluation.onnx_model import model_latency, shipped_model, window_latency
from ml.evaluation.perturbations.kinds import SensorProfile
from ml.evaluation.perturbations.robustness import RobustnessPoint, robustness_curves
from ml.evaluation.recipe import judged_split, recipe_judged
from ml.evaluation.reference_scores import read_reference
from ml.evaluation.report import plots
from ml.evaluation.report.page.document import render_html
from ml.evaluation.report.report import ValidationReport
from ml.evaluation.report.split_picture import split_pictures
from ml.evaluation.report.timeline import timeline, timeline_csv, timeline_data
from ml.evaluation.report.times import times_picture
from ml.evaluation.rows import EvaluatedData, evaluated_data
from ml.export.session import Scorer
from ml.findings import Finding, distinct
from ml.ingest.summary.warnings import warnings_of, warnings_of_training
from ml.learning.events.detection import Events
from ml.learning.modes.plan import ModePlan
from ml.learning.times.measured import stored_story
from ml.options.thresholds import MOST_HEALTHY_TIME
from ml.progress import ProgressCallback, silent
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
    episodes_csv: str | None
    """Of a model of normal behaviour: the strongest past episodes."""
    timeline_csv: str
    """The rows behind the picture of the probability over time."""


@dataclass(frozen=True)
class _Subject:
    """What is evaluated: a version's model as it would be shipped, and the test rows with its answers."""

    config: OrganizationConfig
    paths: OrganizationPaths
    trained: TrainedVersion
    rows: EvaluatedData
    content: bytes
    """``model.onnx``."""
    scorer: Scorer
    threshold: float
    """The shipped model's."""
    limit: float | Probabilities
    """What probabilities are held against: the threshold, or, (n_scored,), that of the model that gave each."""
    features: Float32s
    probability: Probabilities

    @property
    def is_anomaly(self) -> bool:
        """Whether it is a distance from normal behaviour."""
        return self.trained.metadata.score_kind == "anomaly"

    @property
    def score_name(self) -> str:
        """What the model's number is called."""
        return self.trained.metadata.score_name


@dataclass(frozen=True)
class _Measured:
    """What the model's answers are worth."""

    metrics: RowMetrics
    events: dict[str, Any]
    references: dict[str, Float64s]
    latency: Latency
    window_latency: Latency | None
    explanation: Explanation | None
    normal: NormalSection | None
    split: dict[str, Any] | None


@dataclass(frozen=True)
class _Compared:
    """What else could raise alarms."""

    baselines: tuple[Baseline, ...]
    champion: Champion | None


def evaluate(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    test_data: str | None,
    progress: ProgressCallback | None,
) -> Evaluation:
    """Measure a trained version on its test rows, through the ONNX model that would be shipped.

    Raises DataError, ConfigError or IsolationError if the test rows cannot be used: none, one class only, another
    horizon, another organisation's.
    """
    tell = progress or silent

    def part(number: int) -> ProgressCallback:
        """Progress within one of the five parts of the work."""
        return lambda done, total, message: tell(number + done / total, 5, message)

    tell(0, 5, "scoring the test rows")
    subject = _scored(config, paths, trained, evaluated_data(config, paths, trained, test_data))
    tell(1, 5, "measuring")
    measured = _measure(subject)
    subject = replace(subject, features=subject.features[:0])  # what follows makes tables as large
    compared = _compare(subject, part(2))
    robustness = _stress(subject, part(3))
    tell(4, 5, "writing the report")
    report = _assemble(subject, measured, compared, robustness)
    evaluation = _written(subject, measured, report)
    tell(5, 5, "done")
    return evaluation


def _scored(
    config: OrganizationConfig, paths: OrganizationPaths, trained: TrainedVersion, rows: EvaluatedData
) -> _Subject:
    content = shipped_model(trained, rows.frame, rows.scored, config.conversion_config.parity_rows)
    scorer = Scorer(content, threads=available_cpus())
    threshold = config.validation_config.threshold
    features = trained.engineer.matrix(rows.frame, rows=rows.scored)
    shipped = trained.metadata.threshold if threshold is None else float(np.float32(threshold))
    judged = rows.judged
    return _Subject(
        config=config,
        paths=paths,
        trained=trained,
        rows=rows,
        content=content,
        scorer=scorer,
        threshold=shipped,
        limit=shipped if judged is None or threshold is not None else judged.threshold,
        features=features,
        probability=scorer.probability(features) if judged is None else judged.probability,
    )


def _measure(subject: _Subject) -> _Measured:
    config, trained, rows, probability = subject.config, subject.trained, subject.rows, subject.probability
    options = config.validation_config
    found = evaluated_events(config, trained, rows, probability, subject.limit)
    events = measured_events(config, rows, probability, found) | _naming(subject, found)
    metrics = row_metrics(rows.label, probability, subject.limit)
    return _Measured(
        metrics=metrics.without_probabilities() if subject.is_anomaly else metrics,
        events=events,
        references={each.name: read_reference(each, rows.table, subject.paths) for each in options.reference_scores},
        latency=model_latency(subject.content, subject.features, options.latency_runs),
        window_latency=window_latency(trained, rows.frame, rows.scored, options.latency_runs),
        # The shipped model did not raise the alarms of other models, and has seen how these rows end.
        explanation=None
        if rows.judged
        else explanation_of(trained, rows, subject.features, probability, found, events),
        normal=normal_section(config, subject.paths, trained, rows, probability, subject.threshold, events),
        split=rows.split if rows.judged is None else judged_split(rows, rows.judged, found, probability),
    )


def _naming(subject: _Subject, found: Events) -> dict[str, Any]:
    trained, rows = subject.trained, subject.rows
    if rows.judged is not None:
        given = rows.judged.modes
    elif trained.modes is not None:
        given = trained.modes.predict(trained.engineer.scaling.apply(subject.features))
    else:
        return {}
    plan = ModePlan.described(trained.metadata.modes)
    return measured_naming(plan, rows.frame, rows.scored, found, subject.probability, given, rows.horizon)


def _compare(subject: _Subject, progress: ProgressCallback) -> _Compared:
    config, paths, trained, rows = subject.config, subject.paths, subject.trained, subject.rows
    progress(0, 1, "comparing with the published version")
    champion = compare_with_published(config, paths, trained, rows, subject.probability, subject.limit)
    progress(0, 1, "trying simpler alarms")
    if subject.is_anomaly and not (rows.judged and (rows.label == 1).any()):
        return _Compared((), champion)
    return _Compared(baselines(config, paths, trained, rows, progress), champion)


def _stress(subject: _Subject, progress: ProgressCallback) -> list[RobustnessPoint]:
    config, trained, rows = subject.config, subject.trained, subject.rows
    if rows.judged is not None or subject.is_anomaly:
        return []  # on rows that the model has been fitted on, nothing would look like trouble
    return robustness_curves(
        rows.frame,
        trained.engineer,
        subject.scorer.probability,
        subject.threshold,
        SensorProfile(
            config,
            sensor_std={name: each.std for name, each in trained.engineer.sensor_statistics.items()},
            importance=by_sensor(trained.engineer.features, trained.estimator.importances()),
        ),
        config.training_config.random_state,
        scored=rows.scored,
        progress=progress,
    )


def _assemble(
    subject: _Subject, measured: _Measured, compared: _Compared, robustness: list[RobustnessPoint]
) -> ValidationReport:
    config, trained, rows = subject.config, subject.trained, subject.rows
    times = trained.metadata.time_to_failure
    values = measured_values(measured.metrics, measured.events, measured.latency, measured.window_latency)
    against_published = None if compared.champion is None else champion_gate(compared.champion)
    gates = [*check_gates(values, config.validation_config), against_published]
    if measured.normal is not None:
        configured = gates_that_apply([gate for gate in gates if gate is not None], config.validation_config)
        gates = [measured.normal.gate, *configured]
    horizon = 0 if "detectionDelaySeconds" in measured.events else trained.metadata.horizon_seconds
    return ValidationReport(
        organization_id=config.organization_id,
        version=config.version,
        model_type=trained.metadata.model_type,
        model_sha256=hashlib.sha256(subject.content).hexdigest(),
        threshold=subject.threshold,
        horizon_seconds=trained.metadata.horizon_seconds,
        test_set=rows.describe(),
        metrics=measured.metrics,
        gates=tuple(gate for gate in gates if gate is not None),
        refusals=refusals(
            subject.probability,
            measured.events,
            horizon=horizon,
            interval=trained.engineer.interval,
            score_name=subject.score_name,
        ),
        warnings=_warnings(subject, _findings(subject, measured, horizon)),
        events=measured.events,
        references=reference_results(rows.label, measured.references),
        baselines=compared.baselines,
        champion=compared.champion,
        latency=measured.latency,
        window_latency=measured.window_latency,
        robustness=tuple(robustness),
        drift=() if rows.judged else tuple(drift_of(trained, rows)),
        importances=trained.estimator.importances(),
        explanation=measured.explanation,
        time_to_failure=None if times is None else times.measured.model_dump(mode="json", by_alias=True),
        normal=measured.normal,
        split=measured.split,
        data_summary=rows.summary,
        suspicious_columns=trained.metadata.suspicious_columns,
        provenance=_provenance(config, trained),
    )


def _findings(subject: _Subject, measured: _Measured, horizon: int) -> list[Finding]:
    options, interval = subject.config.validation_config, subject.trained.engineer.interval
    most = options.max_healthy_time_in_alarm
    found = findings_about_events(
        measured.events,
        horizon=horizon,
        interval=interval,
        most=MOST_HEALTHY_TIME if most is None else most,
    )
    chosen_with = subject.trained.metadata.threshold_choice.get("alarmCooldownSeconds")
    other = cooldown_differs(
        chosen_with if isinstance(chosen_with, int) else None, options.alarm_cooldown_seconds, interval
    )
    table = subject.rows.table
    constant = constant_on_assets(
        table["asset_id"].to_numpy(), subject.rows.label, subject.probability, subject.score_name
    )
    found += [each for each in (other, constant) if each is not None]
    found += findings_about_naming(measured.events)
    return (
        found
        if subject.rows.judged is None
        else [*found, recipe_judged(subject.rows.judged, is_anomaly=subject.is_anomaly)]
    )


def _written(subject: _Subject, measured: _Measured, report: ValidationReport) -> Evaluation:
    rows = subject.rows
    drawings = _draw(report, rows, subject.probability, subject.threshold, measured.references, subject.score_name)
    drawings |= {name: Picture(png, png) for name, png in split_pictures(subject.config, subject.trained, rows).items()}
    if report.time_to_failure is not None:
        png = times_picture(stored_story(subject.trained.folder), report.horizon_seconds)
        drawings["time_to_failure"] = Picture(png, png)
    predictions = rows.table[["asset_id", "timestamp", "label"]].assign(**{subject.score_name: subject.probability})
    story = _story(rows, subject.probability)
    vectors = {name: picture.svg for name, picture in drawings.items()}
    return Evaluation(
        report,
        render_html(report, vectors, timeline_data(story, subject.threshold)),
        {name: picture.png for name, picture in drawings.items()},
        predictions.reset_index(drop=True),
        None if report.normal is None else report.normal.episodes_csv(),
        timeline_csv(story, subject.threshold, subject.score_name),
    )


def _warnings(subject: _Subject, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """What was found in the numbers, what training reported, and what was found in configuration and rows."""
    config, interval = subject.config, subject.trained.engineer.interval
    of_training = warnings_of_training(subject.paths, config.version)
    of_rows = warnings_of(config, subject.rows.summary, interval)
    return distinct([*(finding.to_json() for finding in findings), *of_training, *of_rows])


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
    references: dict[str, Float64s],
    score_name: str,
) -> dict[str, Picture]:
    """Each picture as the report embeds it (vectors where lines are few) and as a PNG file."""
    label = rows.label
    dense = timeline(_story(rows, probability), threshold, score_name=score_name)
    if report.normal is not None:
        return {"timeline": Picture(dense, dense)}
    pictures = {
        "timeline": Picture(dense, dense),
        "precision_recall": plots.precision_recall(label, probability, references),
        "roc": plots.roc(label, probability, references),
        "confusion": plots.confusion(report.metrics.confusion),
        "score_distribution": plots.score_distribution(label, probability, threshold),
        "calibration": plots.calibration(label, probability),
        **{
            f"robustness_{trouble}": plots.robustness(report.robustness, trouble)
            for trouble in plots.perturbed_kinds(report.robustness)
        },
        "importance": plots.importance(report.importances),
    }
    if modes := (report.events or {}).get("modes"):
        pictures["modes"] = plots.named_modes(modes["confusion"])
    return pictures


def _story(rows: EvaluatedData, probability: Probabilities) -> pd.DataFrame:
    """The rows of the scored assets over the scored time, failures included, with their probability or NaN."""
    table, frame = rows.table, rows.frame
    shown = frame["asset_id"].isin(table["asset_id"].unique()) & frame["timestamp"].between(
        table["timestamp"].min(), table["timestamp"].max()
    )
    everywhere = np.full(len(frame), np.nan, dtype=np.float32)
    everywhere[rows.scored] = probability
    return frame.assign(probability=everywhere).loc[shown]
