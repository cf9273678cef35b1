"""Fit one model on an organisation's prepared data: split, features, fit, threshold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s
from ml.config import OrganizationConfig
from ml.errors import TooFewFailuresError
from ml.export.graph.calibration import Calibration
from ml.features import FeatureEngineer
from ml.learning import estimators
from ml.learning.auto import train_auto
from ml.learning.calibration import FittedCalibration, fit_calibration
from ml.learning.engine import Engine
from ml.learning.estimators.base import Estimator
from ml.learning.events.alarm_curve import alarm_curve
from ml.learning.events.failures import event_horizon
from ml.learning.events.resampling import independent_groups
from ml.learning.family_choice import FAMILIES, WITHOUT_LOOK_BACK, FamilyChoice, with_chosen_families
from ml.learning.folds.backtest import backtest_parts, scheme_of
from ml.learning.folds.splits import Parts, split_of
from ml.learning.held_out import HeldOut, HeldOutFold
from ml.learning.imbalance import compare_imbalance
from ml.learning.leakage import SuspiciousColumn, suspicious_columns
from ml.learning.modes.models import FittedModes, ModeModels, mode_thresholds
from ml.learning.modes.plan import ModePlan
from ml.learning.thresholds.policy import ThresholdChoice, choose_threshold
from ml.learning.times.training import FoldTimes, TimesTraining
from ml.learning.trained_model import TrainedModel
from ml.options.learning import TrainingConfig
from ml.progress import ProgressCallback, silent

_log = logging.getLogger(__name__)


LEAST_TREES = 20
"""Trees below which early stopping on few failures has found chance; rounds of several folds never go below."""


def train(
    config: OrganizationConfig, data: pd.DataFrame | Engine, interval: int, progress: ProgressCallback | None = None
) -> TrainedModel:
    """Fit the configured model.

    Constants of the features are learned on the training part; early stopping, the calibration and the threshold use
    the validation part; the test part is not looked at. With `refit` the model is then fitted once more, on training
    and validation part or on all rows. In a backtest all of this is done in every fold, with rounds, calibration and
    threshold from the validation rows of all folds but the one that is judged; those of the shipped model come from
    all of them.

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
    engine = Engine(config, data) if isinstance(data, pd.DataFrame) else data
    if config.training_config.model_type == estimators.AUTO:
        return train_auto(config, engine.frame, lambda chosen: train(chosen, engine, interval, progress))
    estimators.get(config.training_config.model_type)
    if config.training_config.model_type == "normal_behaviour":
        from ml.learning.normal.training import train_normal

        return train_normal(config.with_event_inputs({}), engine, interval, progress or silent)
    fitting = _Fitting(config, engine, interval, progress or silent)
    fitting.check_times()
    if scheme_of(config, engine.frame) == "backtest":
        try:
            return fitting.backtest()
        except TooFewFailuresError as error:
            if config.validation_config.scheme == "backtest":
                raise
            _log.warning("no backtest, so the newest part is held out: %s", error.message)
    return fitting.holdout()


@dataclass
class _Fold:
    """One division of the rows, and what was found on its validation rows."""

    parts: Parts
    engineer: FeatureEngineer
    estimator: Estimator
    own: Float64s
    """Probability of the validation rows, not calibrated."""
    scores: Float64s
    """Raw scores of the validation rows; empty where no calibration needs them."""
    family_choices: tuple[FamilyChoice, ...]
    times: FoldTimes | None
    modes: ModeModels | None
    own_modes: Float32s
    """Probabilities of the modes of the validation rows, (n_validation, n_modes)."""


@dataclass(frozen=True)
class _Decided:
    """What validation rows decide."""

    rounds: int
    calibration: FittedCalibration
    choice: ThresholdChoice
    probability: Float64s
    """Calibrated, of these rows in the frame's order."""


@dataclass(frozen=True)
class _Fitting:
    """The recipe, on the rows of one engine."""

    config: OrganizationConfig
    engine: Engine
    interval: int
    tell: ProgressCallback
    label: npt.NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.engine.frame["label"].to_numpy())

    def holdout(self) -> TrainedModel:
        """One model on one training part; where it is refitted on all rows, judged as it was before."""
        settings, frame = self.config.training_config, self.engine.frame
        parts = split_of(self.config, frame, FeatureEngineer(self.config, self.interval))
        plan = ModePlan.of(self.config, frame, parts.train)
        fold = self._fold(parts, plan, FAMILIES)
        parts, modes = fold.parts, fold.modes
        decided = self._decided([fold])
        imbalance = self._imbalance(fold)
        suspicious = self._suspicious(parts.train)
        refit = settings.refit or "none"
        estimator, judged = fold.estimator, None
        known, every = parts.train | parts.validation, self.label >= 0
        if refit != "none":
            estimator = self._again(fold.engineer, known, decided.rounds)
            modes = ModeModels.fit(plan, self.engine, fold.engineer, known)
        if refit == "all" and parts.test.any():
            judged = self._judge([(fold, estimator, decided)], plan)
            estimator = self._again(fold.engineer, every, decided.rounds)
            modes = ModeModels.fit(plan, self.engine, fold.engineer, every)
        return TrainedModel(
            self.engine,
            fold.engineer,
            estimator,
            parts,
            "holdout",
            {"none": "training", "validation": "trainingAndValidation", "all": "all"}[refit],
            decided.calibration,
            decided.choice,
            suspicious,
            imbalance,
            decided.probability.astype(np.float32),
            judged,
            fold.family_choices,
            self._times().finished(
                [fold.times], fold.engineer, {"none": None, "validation": (known, 1), "all": (every, 1)}[refit]
            ),
            mode_plan=plan,
            modes=self._modes(plan, modes, [fold], decided),
        )

    def backtest(self) -> TrainedModel:
        """A model on all rows, and beside it the recipe's answers on every row from models that have not seen it."""
        frame, every = self.engine.frame, self.label >= 0
        engineer = FeatureEngineer(self.config, self.interval)
        divided = backtest_parts(self.config, frame, look_back=engineer.look_back, interval=self.interval)
        # A longer look-back would need folds that are purged of more; whole assets need no purging.
        chosen_from = FAMILIES if self.config.data_config.split_by == "asset" else WITHOUT_LOOK_BACK
        plan = ModePlan.of(self.config, frame, every)
        folds = [self._fold(parts, plan, chosen_from) for parts in divided]
        judges = []
        for fold in folds:
            # Nothing may be decided by rows that the fold is judged on.
            decided = self._decided([other for other in folds if not (other.parts.validation & fold.parts.test).any()])
            estimator = self._again(fold.engineer, fold.parts.train | fold.parts.validation, decided.rounds)
            judges.append((fold, estimator, decided))
        judged = self._judge(judges, plan)
        decided = self._decided(folds)
        config, choices = self._chosen_families(every, chosen_from)
        engineer = FeatureEngineer(config, self.interval)
        validation = np.logical_or.reduce([fold.parts.validation for fold in folds])
        test = np.zeros(len(every), dtype=np.bool_)
        test[judged.row] = True
        estimator = self._again(engineer, every, decided.rounds)
        return TrainedModel(
            self.engine,
            engineer,
            estimator,
            Parts(every, validation, test, 0, judged.describe()),
            "backtest",
            "all",
            decided.calibration,
            decided.choice,
            self._suspicious(every),
            {},
            decided.probability.astype(np.float32),
            judged,
            choices,
            self._times().finished([fold.times for fold in folds], engineer, (every, LEAST_TREES)),
            mode_plan=plan,
            modes=self._modes(plan, ModeModels.fit(plan, self.engine, engineer, every), folds, decided),
        )

    def _fold(self, parts: Parts, plan: ModePlan, chosen_from: Sequence[str]) -> _Fold:
        """A model on the training rows of a division, stopped by its validation rows."""
        config, choices = self._chosen_families(parts.train, chosen_from)
        engineer = FeatureEngineer(config, self.interval)
        if any(choice.chosen for choice in choices) and parts.description:
            parts = split_of(config, self.engine.frame, engineer)  # the same rows, described with the longer look-back
        estimator = self._fitted(config.training_config, engineer, parts.train, parts.validation)
        own = self.engine.predicted(estimator.predict, engineer, parts.validation)
        scores = np.empty(0)
        if config.training_config.calibration != "none":
            scores = self.engine.predicted(estimator.scores, engineer, parts.validation)
        modes = ModeModels.fit(plan, self.engine, engineer, parts.train)
        own_modes = self._of_modes(modes, engineer, parts.validation)
        times = self._times().fold(parts, engineer)
        return _Fold(parts, engineer, estimator, own, scores, choices, times, modes, own_modes)

    def check_times(self) -> None:
        """Refuse a time to failure that cannot be learned, before anything is fitted."""
        _ = self._times().wanted

    def _times(self) -> TimesTraining:
        return TimesTraining(self.config, self.engine, self.interval, self.tell)

    def _chosen_families(
        self, rows: Bools, families: Sequence[str]
    ) -> tuple[OrganizationConfig, tuple[FamilyChoice, ...]]:
        self.tell(0, 1, "choosing feature families")
        return with_chosen_families(self.config, self.engine.frame, self.interval, rows, families)

    def _fitted(
        self, settings: TrainingConfig, engineer: FeatureEngineer, rows: Bools, stop_by: Bools | None
    ) -> Estimator:
        self.tell(0, 1, "computing features")
        self.engine.learn_features(engineer, rows)
        estimator = self.engine.fit(
            settings, engineer, rows, stop_by, lambda done, total: self.tell(done, total, "fitting")
        )
        self.tell(1, 1, "fitted")  # early stopping ends before the last round that was announced
        return estimator

    def _again(self, engineer: FeatureEngineer, rows: Bools, rounds: int) -> Estimator:
        """The model of known rounds on more rows."""
        settings = self.config.training_config
        kind = estimators.get(settings.model_type)
        return self._fitted(kind.without_stopping(settings, rounds), engineer, rows, None)

    def _decided(self, folds: Sequence[_Fold]) -> _Decided:
        """Rounds, calibration and threshold by the validation rows of some folds, which have none in common."""
        rows = np.logical_or.reduce([fold.parts.validation for fold in folds])
        own, scores = (self._pooled(folds, rows, name) for name in ("own", "scores"))
        rounds = int(np.median([fold.estimator.rounds for fold in folds]))
        if len(folds) > 1:
            rounds = max(rounds, LEAST_TREES)
        calibration, probability = _calibrated(self.config, self.engine.frame.loc[rows], own, scores)
        choice = _chosen(self.config, self.engine.frame, rows, probability, self.interval)
        return _Decided(rounds, calibration, choice, probability)

    @staticmethod
    def _pooled(folds: Sequence[_Fold], rows: Bools, name: str) -> Float64s:
        """What each fold has found on its validation rows, in the frame's order."""
        first = getattr(folds[0], name)
        if not len(first):
            return np.empty(0)
        everywhere = np.empty((len(rows), *first.shape[1:]))
        for fold in folds:
            everywhere[fold.parts.validation] = getattr(fold, name)
        return everywhere[rows]

    def _modes(
        self, plan: ModePlan, models: ModeModels | None, folds: Sequence[_Fold], decided: _Decided
    ) -> FittedModes | None:
        if models is None:
            return None
        rows = np.logical_or.reduce([fold.parts.validation for fold in folds])
        given = self._pooled(folds, rows, "own_modes").astype(np.float32)
        probability = decided.probability.astype(np.float32)
        thresholds = mode_thresholds(plan, self.config, self.engine.frame, rows, probability, given)
        return FittedModes(plan, models, thresholds, given)

    def _of_modes(self, models: ModeModels | None, engineer: FeatureEngineer, rows: Bools) -> Float32s:
        if models is None:
            return np.empty((int(rows.sum()), 0), dtype=np.float32)
        return models.of_rows(self.engine, engineer, rows)

    def _judge(self, judges: Sequence[tuple[_Fold, Estimator, _Decided]], plan: ModePlan) -> HeldOut:
        """The answers on the test rows of every fold; the features of each are those of its last fit."""
        found = []
        for fold, estimator, decided in judges:
            predict = partial(decided.calibration.map.predict, estimator)
            modes = ModeModels.fit(plan, self.engine, fold.engineer, fold.parts.train | fold.parts.validation)
            found.append(
                HeldOutFold(
                    np.flatnonzero(fold.parts.test),
                    self.engine.predicted(predict, fold.engineer, fold.parts.test).astype(np.float32),
                    decided.choice.threshold,
                    estimator.rounds,
                    self._of_modes(modes, fold.engineer, fold.parts.test),
                )
            )
        return HeldOut.of(self.engine.frame, found)

    def _imbalance(self, fold: _Fold) -> dict[str, dict[str, float]]:
        settings, parts = self.config.training_config, fold.parts
        if not settings.compare_imbalance:
            return {}
        return compare_imbalance(
            settings,
            lambda way: self._fitted(way, fold.engineer, parts.train, parts.validation),
            lambda model: self.engine.predicted(model.predict, fold.engineer, parts.validation),
            self.label[parts.validation],
        )

    def _suspicious(self, rows: Bools) -> tuple[SuspiciousColumn, ...]:
        schema = self.config.schema_config
        suspicious = suspicious_columns(
            self.engine.frame,
            rows,
            schema.sensor_columns,
            counters=schema.counter_columns,
            horizon_steps=self.config.data_config.prediction_horizon_seconds // self.interval,
            readings=self.engine.readings,
        )
        for finding in suspicious:
            _log.warning("the column %s is suspicious: %s (%.4g)", finding.column, finding.reason, finding.figure)
        return tuple(suspicious)


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
    table: pd.DataFrame,
    own: Float64s,
    scores: Float64s,
) -> tuple[FittedCalibration, Float64s]:
    """The calibration fitted on the rows of a table, and their calibrated probability."""
    method = config.training_config.calibration
    if method == "none":
        return FittedCalibration(Calibration(), {}), own
    fitted = fit_calibration(method, scores, own, table["label"].to_numpy(), independent_groups(table["asset_id"]))
    return fitted, own if fitted.map.method == "none" else fitted.map.of_scores(scores)
