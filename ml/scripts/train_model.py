"""Step 3: fit the model of one organisation on its prepared data and keep it as a version.

    python scripts/train_model.py training_config.json

Complete by itself: data that has not been prepared is prepared, and the ONNX models are written
(trainingConfig.exportOnnx). Reads: prepared_data.parquet, else the configured source. Writes:
models/<organisation>/versions/<version> with model.txt (or model.parquet), model.onnx, window.onnx, scaler.pkl,
metadata.json and manifest.json, and held_out.parquet where the model has seen all rows; the link model_<version>.onnx
and its listing, model_<version>.onnx.metadata.json; and metrics.json under artifacts/<organisation>/<version>.
`current` is left alone. Exit status: see ml/errors.py.
"""

from __future__ import annotations

if __package__ in (None, ""):
    import _bootstrap  # noqa: F401

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.config import OrganizationConfig
from ml.errors import QualityGateError
from ml.findings import Finding
from ml.progress import ProgressCallback, silent
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step

if TYPE_CHECKING:
    from ml.export.metadata import ModelMetadata
    from ml.ingest.inputs import Input
    from ml.learning.engine import Engine
    from ml.learning.times.measured import JudgedTimes
    from ml.learning.trained_model import TrainedModel
    from ml.workspace.paths import OrganizationPaths


@dataclass(frozen=True)
class TrainingResult:
    """Where the model is, and how it did on rows it was not fitted on."""

    model_path: Path
    artifacts_path: Path
    metrics: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {"modelPath": str(self.model_path), "artifactsPath": str(self.artifacts_path), **self.metrics}


def build_parser() -> argparse.ArgumentParser:
    """The command line of this step."""
    parser = argparse.ArgumentParser(prog="train_model.py", description="Train an organisation's model.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    add_common_options(parser)
    return parser


def run(config: OrganizationConfig, *, progress: ProgressCallback | None = None) -> TrainingResult:
    """Fit the model, prove its ONNX form exact, install both as a version.

    Raises QualityGateError if the model gives one value for all rows; nothing is written then, as no later step could
    accept it; ConfigError, DataError, SourceError, StorageError, BusyError, ParityError, IsolationError, IntegrityError
    as ml/errors.py describes them.
    """
    from ml.learning import estimators

    estimators.check(config.training_config.model_type)
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.evaluation.model_version import refuse_published
    from ml.ingest.failures.copies import without_copies
    from ml.ingest.failures.since import with_event_inputs
    from ml.ingest.inputs import prepared_data
    from ml.ingest.present_columns import with_present_columns
    from ml.ingest.summary.warnings import told_with_failures
    from ml.learning.training import train
    from ml.scale.clients import scheduler_address
    from ml.workspace.files import write_json
    from ml.workspace.paths import for_config
    from ml.workspace.versions.store import link_model, stage_version

    paths = for_config(config)
    config = with_present_columns(config, paths)
    refuse_published(config, paths)
    in_memory = config.training_config.engine == "local"
    if not in_memory:
        scheduler_address()  # a missing library is told now, not after the data is prepared
    source = prepared_data(config, paths, progress, sensors=in_memory)
    config = without_copies(config, source.data.summary)
    with told_with_failures(source.data.summary), _engine(config, paths, source, progress) as engine:
        model = train(with_event_inputs(config, source.data.summary), engine, source.data.interval, progress)
        _refuse_constant(model)
        times = _times(config, source, model)
        metrics = _metrics(config, source, model, times)
        with stage_version(paths, config.version) as folder:
            _write_version(folder, config, source, model, metrics, times)
    write_json(paths.metrics(config.version), metrics)
    model_path = (
        link_model(paths, config.version)
        if config.training_config.export_onnx
        else paths.version(config.version) / model.estimator.model_file
    )
    return TrainingResult(model_path, paths.run(config.version), metrics)


@contextmanager
def _engine(
    config: OrganizationConfig, paths: OrganizationPaths, source: Input, progress: ProgressCallback | None
) -> Iterator[Engine]:
    """What features are computed and trees are grown by: a table in memory, or partitions of a file."""
    from ml.learning.engine import Engine

    if config.training_config.engine == "local":
        yield Engine(config, source.data.frame)
        return
    from ml.scale.partitioned.engine import PartitionedEngine
    from ml.scale.partitioned.stored import Stored
    from ml.scale.partitioned.workers import workers

    file = paths.prepared_data(config.version).resolve()
    with workers() as found:
        engine = PartitionedEngine(
            found,
            config,
            Stored(str(file), config.organization_id, source.digest),
            source.data.frame,
            progress or silent,
        )
        try:
            yield engine
        finally:
            engine.forget()


def _refuse_constant(model: TrainedModel) -> None:
    from ml.evaluation.checks.degenerate import constant_model

    finding = constant_model(
        model.validation_probability, "probability" if model.estimator.score_kind == "probability" else "score"
    )
    if finding is not None:
        raise QualityGateError(f"the model has learned nothing: {finding.message}", hint=finding.hint)


def _threshold_findings(model: TrainedModel) -> list[Finding]:
    """Findings about the threshold that was chosen."""
    from ml import wording
    from ml.options.thresholds import MOST_HEALTHY_TIME

    choice = model.choice
    found: list[Finding] = []
    field = "trainingConfig.thresholdPolicy"
    if not choice.met:
        told = f"no threshold keeps {choice.policy.rule} {choice.policy.limit:g} on the validation part"
        found.append(Finding("THRESHOLD_LIMIT_NOT_MET", f"{told}; the nearest to it is {choice.threshold:.4g}", field))
    if choice.figures["healthyTimeInAlarm"] > MOST_HEALTHY_TIME:
        share = wording.percent(choice.figures["healthyTimeInAlarm"])
        told = f"at its threshold the model is in alarm for {share} of the healthy time of the validation part"
        found.append(
            Finding("ALARM_NEVER_ENDS", told, field, "validation will refuse it; choose another rule or limit")
        )
    return found


def _times_findings(config: OrganizationConfig, source: Input, times: JudgedTimes | None) -> list[Finding]:
    """Findings about the time to failure: not to be relied on, or left out."""
    from ml.learning.times.training import obstacle

    if times is not None:
        return [] if times.finding is None else [times.finding]
    if config.training_config.time_to_failure == "off":
        return []
    reason = obstacle(config, source.data.frame, source.data.interval)
    reason = reason or "the model is one of normal behaviour, which learns from no failures"
    told = f"the time to failure is left out: {reason}"
    return [Finding("TIME_TO_FAILURE_LEFT_OUT", told, "trainingConfig.timeToFailure")]


def _fit_findings(model: TrainedModel) -> list[Finding]:
    """Findings about how the model was fitted: too few trees, a family of features that was chosen."""
    from ml import wording
    from ml.learning.training import LEAST_TREES

    found: list[Finding] = []
    kind, settings = type(model.estimator), model.estimator.config
    grows = kind.without_stopping(settings, 1) != settings
    if grows and settings.early_stopping_rounds and model.estimator.rounds < LEAST_TREES:
        told = f"the model has {wording.plural(model.estimator.rounds, 'tree')}: validation rows stopped it at once"
        found.append(
            Finding(
                "FEW_TREES",
                told,
                "trainingConfig.earlyStoppingRounds",
                'few failures stop a fit by chance; set validationConfig.scheme to "backtest", which takes the rounds '
                "from all folds together, or earlyStoppingRounds to 0",
            )
        )
    for choice in model.family_choices:
        if choice.chosen:
            told = f"the feature family {choice.family} is {choice.reason}"
            found.append(Finding("FAMILY_CHOSEN", told, f"featureConfig.families.{choice.family}"))
    return found


def _times(config: OrganizationConfig, source: Input, model: TrainedModel) -> JudgedTimes | None:
    """The time to failure with its figures; None where there is none, or it is kept only if it can be relied on."""
    from ml.learning.events.alarm_rows import is_alarm
    from ml.learning.times.measured import JudgedTimes

    if model.times is None:
        return None
    tested = bool(model.parts.test.any())
    threshold = model.threshold if model.judged is None else model.judged.threshold
    alarm = is_alarm(model.held_out() if tested else model.validation_probability, threshold)
    return JudgedTimes.of(
        model.times, source.data.frame, alarm, "test" if tested else "validation", config, source.data.interval
    )


def _metrics(
    config: OrganizationConfig, source: Input, model: TrainedModel, times: JudgedTimes | None
) -> dict[str, Any]:
    """Scores on the test part (on the validation part where none is held out), and on the validation part."""
    import numpy as np

    from ml.evaluation.metrics import row_metrics
    from ml.evaluation.naming import naming_of_training
    from ml.ingest.failures.since import since_findings
    from ml.ingest.summary.warnings import warnings_of
    from ml.windows.serving import serving_findings

    frame, parts = source.data.frame, model.parts
    label = frame["label"].to_numpy()
    is_anomaly = model.estimator.score_kind == "anomaly"

    def measured(*of: Any) -> dict[str, Any]:
        metrics = row_metrics(*of)
        return (metrics.without_probabilities() if is_anomaly else metrics).to_json()

    scores = {"validation": measured(label[parts.validation], model.validation_probability, model.threshold)}
    if parts.test.any():
        probability = model.held_out().astype(np.float32)
        threshold = model.threshold if model.judged is None else model.judged.threshold
        scores["test"] = measured(label[parts.test], probability, threshold)
    part = "test" if "test" in scores else "validation"
    return {
        **scores[part],
        "part": part,
        "dataPoints": int(parts.train.sum()),
        "features": model.engineer.get_feature_names_out(),
        "servingProfile": config.feature_config.serving_profile,
        "modelType": type(model.estimator).model_type,
        "scoreKind": model.estimator.score_kind,
        **({"normalBehaviour": model.normal} if model.normal else {}),
        "engine": config.training_config.engine,
        "threshold": model.threshold,
        "suggestedThreshold": model.threshold,
        "calibration": model.calibration.to_json(),
        "thresholdChoice": model.choice.to_json(),
        "rounds": model.estimator.rounds,
        "validation": scores["validation"],
        **naming_of_training(config, model),
        **({"imbalance": model.imbalance} if model.imbalance else {}),
        "scheme": model.scheme,
        "seen": model.seen,
        **({"timeToFailure": times.to_json()} if times else {}),
        **({"familyChoices": [each.to_json() for each in model.family_choices]} if model.family_choices else {}),
        "suspiciousColumns": [finding.to_json() for finding in model.suspicious],
        "split": parts.describe(),
        "warnings": warnings_of(
            config,
            source.data.summary,
            source.data.interval,
            [
                *_threshold_findings(model),
                *_fit_findings(model),
                *since_findings(config, source.data.summary),
                *_times_findings(config, source, times),
                *model.findings,
                *model.mode_plan.findings(),
                *serving_findings(config, source.data.interval, model.threshold),
            ],
        ),
    }


def _write_version(
    folder: Path,
    config: OrganizationConfig,
    source: Input,
    model: TrainedModel,
    metrics: dict[str, Any],
    times: JudgedTimes | None,
) -> None:
    from ml.arrays import spread
    from ml.export.graph.scaling import scaler_pickle
    from ml.export.package import exact_models, with_modes, with_times, write_package
    from ml.workspace.files import write_bytes

    metadata = _metadata(config, source, model, metrics)
    if times and times.kept:
        metadata = metadata.model_copy(update={"time_to_failure": times.exported().described(parity_rows=0)})
        times.save(folder)
    models = None
    if config.training_config.export_onnx:
        parity_rows = config.conversion_config.parity_rows
        real_rows = model.engine.features(model.engineer, spread(model.parts.validation, parity_rows))
        models, metadata = exact_models(
            model.estimator,
            model.engineer,
            metadata,
            frame=model.engine.excerpt(),
            real_rows=real_rows,
            parity_rows=parity_rows,
            others=[
                *([times.trained.model.ensemble()] if times and times.kept else []),
                *(model.modes.models.ensembles() if model.modes else []),
            ],
        )
        if times and times.kept:
            models, metadata = with_times(
                models, times.exported(), metadata, real_rows=real_rows, parity_rows=parity_rows
            )
        if model.modes is not None:
            models, metadata = with_modes(models, metadata, model.modes.models, real_rows)
    model.estimator.save(folder / model.estimator.model_file)
    if model.modes is not None:
        model.modes.models.save(folder)
    if model.judged is not None:
        model.judged.save(folder)
    write_bytes(folder / "scaler.pkl", scaler_pickle(model.engineer.scaling.to_dict(), len(metadata.features)))
    write_package(folder, metadata, models)


def _metadata(config: OrganizationConfig, source: Input, model: TrainedModel, metrics: dict[str, Any]) -> ModelMetadata:
    from ml.evaluation.drift.baseline import learn_baseline
    from ml.evaluation.model_version import seen_spans
    from ml.export.metadata import (
        Channel,
        DataOrigin,
        Difference,
        Grid,
        ModelMetadata,
        ScalingConstants,
        SensorStatistics,
        Training,
        Window,
        library_versions,
    )
    from ml.ingest.failures.since import canonical_event
    from ml.ingest.source_notation import notation_kept
    from ml.options.columns.units import AS_IT_IS

    schema, engineer, parts = config.schema_config, model.engineer, model.parts
    frame = source.data.frame
    seen = {
        "training": parts.train | parts.validation,
        "trainingAndValidation": parts.train | parts.validation,
        "all": (frame["label"] >= 0).to_numpy(),
    }[model.seen]
    return ModelMetadata(
        organization_id=config.organization_id,
        version=config.version,
        model_type=type(model.estimator).model_type,
        score_kind=model.estimator.score_kind,
        features=tuple(engineer.get_feature_names_out()),
        horizon_seconds=config.data_config.prediction_horizon_seconds,
        sampling_interval_seconds=engineer.interval,
        serving_profile=config.feature_config.serving_profile,
        threshold=model.threshold,
        suggested_threshold=model.threshold,
        calibration=model.calibration.map,
        threshold_choice=model.choice.to_json(),
        window=Window(
            look_back=engineer.look_back,
            channels=tuple(
                Channel(
                    name=name,
                    kind="counter"
                    if name in schema.counter_columns
                    else "continuous"
                    if name in schema.continuous_columns
                    else "categorical"
                    if name in schema.categorical_columns
                    else "boolean",
                    role=schema.column_roles.get(name),
                    unit=schema.units.get(name),
                    source_unit=schema.column_units.get(name) if name in schema.convert_to else None,
                    factor=schema.conversions.get(name, AS_IT_IS).factor,
                    offset=schema.conversions.get(name, AS_IT_IS).offset,
                    valid_range=schema.valid_range.get(name, (None, None)),
                    words=schema.categorical_columns.get(name, ()),
                )
                for name in schema.sensor_columns
            )
            + tuple(
                Channel(name=name, kind="event", unit="s", events=tuple(map(canonical_event, events)))
                for name, events in sorted((engineer.config.schema_config.event_inputs or {}).items())
            ),
        ),
        differences=tuple(
            Difference(name=name, value=pair.value, set_point=pair.set_point)
            for name, pair in schema.differences.items()
        ),
        running_when=schema.running,
        grid=Grid(
            aggregation=config.data_config.aggregation,
            max_gap_seconds=source.data.max_gap,
            own_gaps=dict(source.data.own_gaps),
        ),
        engine=engineer.to_dict(),
        scaling=ScalingConstants.model_validate(engineer.scaling.to_dict()),
        metrics=metrics["validation"],
        training=Training(
            rows=int(parts.train.sum()),
            positives=int((frame["label"].to_numpy()[parts.train] == 1).sum()),
            seed=config.training_config.random_state,
            engine=config.training_config.engine,
            parameters=type(model.estimator).parameters(config.training_config).model_dump(mode="json", by_alias=True),
            rounds=model.estimator.rounds,
            scheme=model.scheme,
            seen=model.seen,
            folds={} if model.judged is None else model.judged.parts,
        ),
        data=DataOrigin.model_validate(
            {
                "digest": source.digest,
                "from": frame["timestamp"].min().to_pydatetime(),
                "to": frame["timestamp"].max().to_pydatetime(),
                "sensors": schema.sensor_columns,
                "seen": seen_spans(frame.loc[seen, ["asset_id", "timestamp"]]),
                "notation": notation_kept(source.data.summary),
            }
        ),
        sensor_statistics={
            name: SensorStatistics(mean=each.mean, std=each.std) for name, each in engineer.sensor_statistics.items()
        },
        drift_baseline=model.engine.each_channel(learn_baseline, parts.train),
        suspicious_columns=tuple(finding.to_json() for finding in model.suspicious),
        libraries=library_versions(),
        modes=model.modes and model.modes.describe(),
        config_digest=config.digest(),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the step from a command line; returns the exit status."""
    return run_step("train_model", build_parser(), lambda config, _, progress: run(config, progress=progress), argv)


if __name__ == "__main__":
    raise SystemExit(main())
