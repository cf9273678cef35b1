"""Fit one model on an organisation's prepared data: split, features, fit, threshold."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s
from ml.config import OrganizationConfig
from ml.export.graph.calibration import Calibration
from ml.features import FeatureEngineer
from ml.learning import estimators
from ml.learning.calibration import FittedCalibration, fit_calibration
from ml.learning.engine import Engine
from ml.learning.estimators.base import Estimator
from ml.learning.events.alarm_curve import alarm_curve
from ml.learning.events.failures import event_horizon
from ml.learning.events.resampling import independent_groups
from ml.learning.folds.splits import Parts, split_parts
from ml.learning.imbalance import compare_imbalance
from ml.learning.leakage import SuspiciousColumn, suspicious_columns
from ml.learning.thresholds.policy import ThresholdChoice, choose_threshold
from ml.options.learning import TrainingConfig
from ml.progress import ProgressCallback, silent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model together with the features it reads.

    Attributes
    ----------
    calibration
        What turns scores into probabilities, fitted on the validation part.
    choice
        The alarm threshold, chosen by the configured policy on the validation part.
    suspicious
        Sensors of the training part that know too much; they were used all the same.
    imbalance
        Validation scores of each way of weighing classes, where they were asked for.
    validation_probability
        float32 probabilities of the validation part by the model that was not fitted on it, before any refit.
    """

    engine: Engine
    engineer: FeatureEngineer
    estimator: Estimator
    parts: Parts
    calibration: FittedCalibration
    choice: ThresholdChoice
    suspicious: tuple[SuspiciousColumn, ...]
    imbalance: dict[str, dict[str, float]]
    validation_probability: Float32s

    @property
    def threshold(self) -> float:
        """The alarm threshold; exactly a float32."""
        return self.choice.threshold

    def predict(self, frame: pd.DataFrame, rows: Bools) -> Float64s:
        """Probability of a failure of some rows of a grid frame, float64 (n_wanted,)."""
        return self._predicted(Engine(self.engineer.config, frame), rows)

    def held_out(self) -> Float64s:
        """Probability of a failure of the test part, float64 (n_test_rows,)."""
        return self._predicted(self.engine, self.parts.test)

    def _predicted(self, engine: Engine, rows: Bools) -> Float64s:
        return engine.predicted(partial(self.calibration.map.predict, self.estimator), self.engineer, rows)


def split_of(config: OrganizationConfig, frame: pd.DataFrame, engineer: FeatureEngineer) -> Parts:
    """The training, validation and test part that a configuration makes of a grid frame; raises as `split_parts`."""
    return split_parts(
        frame,
        config.data_config,
        look_back=engineer.look_back,
        interval=engineer.interval,
        seed=config.training_config.random_state,
    )


def train(
    config: OrganizationConfig, data: pd.DataFrame | Engine, interval: int, progress: ProgressCallback | None = None
) -> TrainedModel:
    """Fit the configured model.

    Constants of the features are learned on the training part; early stopping, the calibration and the threshold use
    the validation part; the test part is not looked at. With `refit` the model is then fitted once more on training and
    validation part together.

    Raises ConfigError if the model type or one of its parameters is unknown, and TooFewFailuresError or NoRowsError if
    a part has too little to learn from.

    Parameters
    ----------
    data
        Grid frame with labels, or the engine that works on one.
    interval
        Grid spacing in seconds.
    progress
        Called with rounds done, rounds at most, and what is being done.
    """
    tell = progress or silent
    estimator_type = estimators.get(config.training_config.model_type)
    engine = Engine(config, data) if isinstance(data, pd.DataFrame) else data
    frame = engine.frame
    engineer = FeatureEngineer(config, interval)
    parts = split_of(config, frame, engineer)
    label = frame["label"].to_numpy()

    def fitted(settings: TrainingConfig, rows: Bools, stop_by: Bools | None) -> Estimator:
        tell(0, 1, "computing features")
        engine.learn_features(engineer, rows)
        estimator = engine.fit(settings, engineer, rows, stop_by, lambda done, total: tell(done, total, "fitting"))
        tell(1, 1, "fitted")  # early stopping ends before the last round that was announced
        return estimator

    settings = config.training_config
    estimator = fitted(settings, parts.train, parts.validation)
    calibration, probability = _calibrated(config, estimator, engineer, engine, parts.validation)
    choice = _chosen(config, frame, parts.validation, probability, interval)
    imbalance = {}
    if settings.compare_imbalance:
        imbalance = compare_imbalance(
            settings,
            lambda way: fitted(way, parts.train, parts.validation),
            lambda model: engine.predicted(model.predict, engineer, parts.validation),
            label[parts.validation],
        )
    schema = config.schema_config
    suspicious = suspicious_columns(
        frame,
        parts.train,
        schema.sensor_columns,
        counters=schema.counter_columns,
        horizon_steps=config.data_config.prediction_horizon_seconds // interval,
        readings=engine.readings,
    )
    for finding in suspicious:
        _log.warning("the column %s is suspicious: %s (%.4g)", finding.column, finding.reason, finding.figure)
    if settings.refit:
        settings = estimator_type.without_stopping(settings, estimator.rounds)
        estimator = fitted(settings, parts.train | parts.validation, None)
    return TrainedModel(
        engine, engineer, estimator, parts, calibration, choice, suspicious, imbalance, probability.astype(np.float32)
    )


def _chosen(
    config: OrganizationConfig,
    frame: pd.DataFrame,
    rows: Bools,
    probability: Float64s,
    interval: int,
) -> ThresholdChoice:
    """The threshold for some rows of a frame."""
    part, settings = frame.loc[rows], config.training_config
    curve = alarm_curve(
        part,
        probability,
        horizon=event_horizon(frame, config.data_config.prediction_horizon_seconds),
        cooldown=config.validation_config.alarm_cooldown_seconds,
        interval=interval,
        history=frame,
    )
    return choose_threshold(
        settings.threshold_policy,
        curve,
        part["label"].to_numpy(),
        probability,
        independent_groups(part["asset_id"]),
        seed=settings.random_state,
    )


def _calibrated(
    config: OrganizationConfig,
    estimator: Estimator,
    engineer: FeatureEngineer,
    engine: Engine,
    rows: Bools,
) -> tuple[FittedCalibration, Float64s]:
    """The calibration fitted on some rows, and their calibrated probability."""
    own, method = engine.predicted(estimator.predict, engineer, rows), config.training_config.calibration
    if method == "none":
        return FittedCalibration(Calibration(), {}), own
    scores, table = engine.predicted(estimator.scores, engineer, rows), engine.frame.loc[rows]
    groups = independent_groups(table["asset_id"])
    fitted = fit_calibration(method, scores, own, table["label"].to_numpy(), groups)
    return fitted, own if fitted.map.method == "none" else fitted.map.of_scores(scores)
