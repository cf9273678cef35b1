"""Simpler ways to raise alarms, on the rows that the model is evaluated on: is the model worth having?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.evaluation.comparison import Baseline
from ml.evaluation.events import evaluated_events
from ml.evaluation.metrics import average_precision, complete_score
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.rows import EvaluatedData
from ml.ingest import inputs
from ml.learning import estimators
from ml.learning.events.metrics import event_metrics
from ml.learning.folds.splits import split_of
from ml.learning.held_out import HeldOut
from ml.learning.thresholds.limit_alarm import LimitAlarm, best_limit_alarm
from ml.learning.training import train
from ml.options.learning import TrainingConfig
from ml.progress import ProgressCallback
from ml.workspace.paths import OrganizationPaths

LIMIT_ALARM = "Best limit on one sensor"
UNTUNED_MODEL = "Model without tuning"
_NO_LIMIT = "not evaluated: no sensor has a reading that a limit could be set on"
_FORGOTTEN = "not evaluated: the prepared data that the model was trained on is not there any more"


@dataclass(frozen=True)
class KnownRows:
    """A grid frame, and which of its rows are in the training or validation part: all that the model knew."""

    frame: pd.DataFrame
    rows: Bools


def baselines(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    rows: EvaluatedData,
    progress: ProgressCallback | None = None,
) -> tuple[Baseline, ...]:
    """What a limit on one sensor and, unless it is not wanted, the model with default parameters would have done."""
    if rows.judged is not None and rows.parts is None:
        return (_limit_alarm_of_folds(config, trained, rows, rows.judged),)
    known = _known_rows(config, paths, trained, rows)
    wanted = [LIMIT_ALARM, *([UNTUNED_MODEL] if config.validation_config.untuned_model else [])]
    if known is None:
        return tuple(Baseline(name, _FORGOTTEN) for name in wanted)
    found = [_limit_alarm(config, trained, rows, known)]
    if config.validation_config.untuned_model:
        found.append(_untuned_model(config, trained, rows, known, progress))
    return tuple(found)


def _known_rows(
    config: OrganizationConfig, paths: OrganizationPaths, trained: TrainedVersion, rows: EvaluatedData
) -> KnownRows | None:
    """The rows that the version was made of, from the evaluated frame or from the prepared data beside it."""
    if rows.digest == trained.metadata.data.digest:
        frame = rows.frame
    elif not paths.prepared_data(config.version).is_file():
        return None
    else:
        kept = inputs.kept_data(config, paths)
        if kept.digest != trained.metadata.data.digest:
            return None
        frame = kept.data.frame
    parts = split_of(trained.config, frame, trained.engineer)
    return KnownRows(frame, parts.train | parts.validation)


def _limit_alarm(
    config: OrganizationConfig, trained: TrainedVersion, rows: EvaluatedData, known: KnownRows
) -> Baseline:
    """The limit alarm that has the best F1 on the rows that the model knew."""
    alarm = best_limit_alarm(known.frame, _limitable(trained), known.frame["label"].to_numpy(), known.rows)
    if alarm is None:
        return Baseline(LIMIT_ALARM, _NO_LIMIT)
    readings = rows.table[alarm.sensor].to_numpy(dtype=np.float64)
    events = evaluated_events(config, trained, rows, alarm.alarms(readings).astype(np.float32), 0.5)
    return Baseline(
        LIMIT_ALARM,
        _in_words(alarm),
        average_precision(rows.label == 1, complete_score(alarm.score(readings))),
        event_metrics(events, config.validation_config.costs),
    )


def _limit_alarm_of_folds(
    config: OrganizationConfig, trained: TrainedVersion, rows: EvaluatedData, judged: HeldOut
) -> Baseline:
    """For each fold, the limit alarm that has the best F1 on the rows of the others."""
    table, alarms, sensors = rows.table, np.zeros(len(judged.row), dtype=np.float32), set()
    for number in range(1, len(judged.parts) + 1):
        own = judged.fold == number
        alarm = best_limit_alarm(table, _limitable(trained), rows.label, ~own)
        if alarm is None:
            return Baseline(LIMIT_ALARM, _NO_LIMIT)
        alarms[own] = alarm.alarms(table[alarm.sensor].to_numpy(dtype=np.float64)[own])
        sensors.add(alarm.sensor)
    return Baseline(
        LIMIT_ALARM,
        f"of {', '.join(sorted(sensors))}; in each fold the one with the highest F1 on the rows of the others",
        events=event_metrics(evaluated_events(config, trained, rows, alarms, 0.5), config.validation_config.costs),
    )


def _limitable(trained: TrainedVersion) -> list[str]:
    """Sensors that a limit may be set on: one on a running total tells the date, one on a code tells nothing."""
    schema = trained.config.schema_config
    without = {*schema.counter_columns, *schema.categorical_columns}
    return [name for name in schema.sensor_columns if name not in without]


def _in_words(alarm: LimitAlarm) -> str:
    return (
        f"{alarm.sensor} {'at or above' if alarm.above else 'at or below'} {alarm.limit:.6g}; of all sensors, "
        f"directions and limits the one with the highest F1 on the rows that the model knew ({alarm.f1:.3f})"
    )


def _untuned_model(
    config: OrganizationConfig,
    trained: TrainedVersion,
    rows: EvaluatedData,
    known: KnownRows,
    progress: ProgressCallback | None,
) -> Baseline:
    """The same model type, features and rows with default parameters, and a threshold of its own."""
    settings = _with_default_parameters(trained.config.training_config)
    model_type = estimators.get(settings.model_type)
    if model_type.parameters(settings) == model_type.parameters(trained.config.training_config):
        return Baseline(UNTUNED_MODEL, "not evaluated: the model has the default parameters itself")
    scheme = config.validation_config.model_copy(update={"scheme": "holdout"})
    untuned = trained.config.model_copy(update={"training_config": settings, "validation_config": scheme})
    model = train(untuned, known.frame, trained.engineer.interval, progress)
    probability = model.predict(rows.frame, rows.scored).astype(np.float32)
    return Baseline(
        UNTUNED_MODEL,
        f"{settings.model_type} with default parameters, fitted on the same rows",
        average_precision(rows.label == 1, probability),
        event_metrics(
            evaluated_events(config, trained, rows, probability, model.threshold), config.validation_config.costs
        ),
    )


def _with_default_parameters(settings: TrainingConfig) -> TrainingConfig:
    key = estimators.get(settings.model_type).params_key
    default = TrainingConfig.model_fields[key].get_default(call_default_factory=True)
    refit = "validation" if settings.refit == "all" else settings.refit  # it is judged on rows that it must not see
    return settings.model_copy(update={key: default, "refit": refit})
