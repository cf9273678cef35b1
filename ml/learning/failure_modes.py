"""What fails: for each mode of failure a small model of "this mode, given a failure within the horizon".

The model of all failures stays as it is. Those of modes are fitted on its positive rows alone, one binary model for
each mode, since several can begin at once. Times the probability of a failure each is the probability of that mode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s, spread
from ml.config import OrganizationConfig
from ml.export.modes import Modes
from ml.export.trees.ensemble import TreeEnsemble
from ml.features import FeatureEngineer
from ml.findings import Finding
from ml.learning.engine import Engine
from ml.learning.estimators.lightgbm import LightGBM
from ml.learning.events.failures import failure_numbers, onsets
from ml.learning.events.resampling import independent_groups
from ml.learning.thresholds.f1 import stable_f1_threshold
from ml.modes import OTHER, split_modes
from ml.options.learning import LgbParams, TrainingConfig

_FIELD = "trainingConfig.minFailuresPerMode"
_MOST_ROWS = 100_000
# Positive rows are few and tell of few failures. Measured on the five-component benchmark of docs/failure-modes.md.
_SMALL = {"num_leaves": 15, "learning_rate": 0.05, "num_iterations": 60, "min_data_in_leaf": 10, "bagging_freq": 1}
_KEPT = {"categorical_features", "zero_as_missing", "max_bin"}


@dataclass(frozen=True)
class ModePlan:
    """Which modes are told apart.

    Attributes
    ----------
    names
        Names of the modes that have a model, in order; none where there are not two to tell apart.
    name_of
        Mode as the data has it -> its name here: its own, or ``other``; those that have no model are missing.
    failures
        Failures by mode among the rows that decided, as the data names them.
    """

    names: tuple[str, ...] = ()
    name_of: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, config: OrganizationConfig, frame: pd.DataFrame, rows: Bools) -> Self:
        """The modes with enough failures among some rows of a grid frame; rarer ones are pooled into ``other``."""
        if "modes" not in frame.columns:
            return cls()
        numbers = failure_numbers(frame, config.data_config.prediction_horizon_seconds)[rows]
        begun = onsets(frame)
        texts = begun["modes"][begun["event"].isin(numbers[numbers >= 0])]
        counts = Counter(name for text in texts for name in split_modes(text))
        least = config.training_config.min_failures_per_mode
        often = [name for name in sorted(counts) if counts[name] >= least]
        rare = [name for name in sorted(counts) if counts[name] < least]
        name_of = {name: name for name in often}
        pooled = sum(bool(set(split_modes(text)) & set(rare)) for text in texts)
        if rare and (pooled >= least or OTHER in often):
            name_of |= dict.fromkeys(rare, OTHER)
        names = tuple(dict.fromkeys([*often, *name_of.values()]))
        several = len(names) > 1
        return cls(names if several else (), name_of if several else {}, dict(sorted(counts.items())))

    @classmethod
    def described(cls, modes: Modes | None) -> Self:
        """The plan that metadata describes."""
        return cls() if modes is None else cls(modes.names, modes.name_of, modes.failures)

    @property
    def pooled(self) -> tuple[str, ...]:
        """Modes that count as ``other``."""
        return tuple(mode for mode, name in self.name_of.items() if name == OTHER and mode != OTHER)

    def named(self, modes: Iterable[str]) -> list[str]:
        """The names of modes; those without a model are left out."""
        return list(dict.fromkeys(self.name_of[mode] for mode in modes if mode in self.name_of))

    def labels(self, frame: pd.DataFrame, horizon: int) -> Bools:
        """Which modes the failure of each positive row began in, (n_rows, n_modes)."""
        return _of_failures(frame, horizon, lambda text: [name in self.named(split_modes(text)) for name in self.names])

    def findings(self) -> list[Finding]:
        """What was pooled or left out."""
        if not self.failures:
            return []
        counts = ", ".join(f"{name} {count}" for name, count in self.failures.items())
        if not self.names:
            told = f"modes of failure are not told apart: fewer than two have enough failures to learn from ({counts})"
            return [Finding("MODES_NOT_TOLD_APART", told, _FIELD, "give more history, or group modes")]
        found = []
        left_out = [mode for mode in self.failures if mode not in self.name_of]
        if self.pooled:
            told = f"modes with few failures are one mode, {OTHER!r}: {', '.join(self.pooled)} ({counts})"
            found.append(Finding("MODES_POOLED", told, _FIELD))
        if left_out:
            told = f"modes with few failures are never named: {', '.join(left_out)} ({counts})"
            found.append(Finding("MODES_LEFT_OUT", told, _FIELD))
        return found


@dataclass(frozen=True)
class ModeModels:
    """The models of the modes of a plan."""

    models: tuple[LightGBM, ...]

    @classmethod
    def fit(cls, plan: ModePlan, engine: Engine, engineer: FeatureEngineer, rows: Bools) -> Self | None:
        """Fit on the positive rows among `rows`, (n_rows,) of the engine's frame; None where no modes are told apart.

        The features' constants must be learned. Rows of failures of unknown mode are left out. Of more than 100,000
        rows so many are used, at even distances.
        """
        if not plan.names:
            return None
        config, frame = engineer.config, engine.frame
        horizon = config.data_config.prediction_horizon_seconds
        label = plan.labels(frame, horizon)
        recorded = rows & _of_failures(frame, horizon, lambda text: [bool(text)])[:, 0]
        # A fold may hold out every failure whose mode was written down: then no mode is likely.
        wanted = spread(recorded if recorded.any() else rows & (frame["label"] == 1).to_numpy(), _MOST_ROWS)
        X = np.ascontiguousarray(engineer.scaling.apply(engine.features(engineer, wanted)))
        names, first = engineer.get_feature_names_out(), LightGBM(_settings(config.training_config))
        rows_binned = first.part_of_dataset(X, label[wanted, 0], names=names, reference=None)
        models = []
        for of_mode in label[wanted].T:
            rows_binned.set_label(of_mode.astype(np.float32))  # binning once costs a third of binning for each mode
            models.append(LightGBM(first.config).fit_binned(rows_binned, None, names=names))
        return cls(tuple(models))

    def predict(self, X: Float32s) -> Float32s:
        """Probability of each mode, given a failure, of scaled features: float32 (n_rows, n_modes)."""
        return np.column_stack([model.predict(X) for model in self.models]).astype(np.float32)

    def ensembles(self) -> list[TreeEnsemble]:
        """The trees of each mode."""
        return [model.ensemble() for model in self.models]

    def of_rows(self, engine: Engine, engineer: FeatureEngineer, rows: Bools) -> Float32s:
        """As `predict`, of some rows of the engine's frame."""
        flat = engine.predicted(self._flat, engineer, rows)
        return flat.reshape(-1, len(self.models)).astype(np.float32)

    def _flat(self, X: Float32s) -> Float64s:
        return self.predict(X).ravel().astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write the models into a version's folder."""
        for model, name in zip(self.models, mode_files(len(self.models)), strict=True):
            model.save(folder / name)

    @classmethod
    def load(cls, folder: Path, n_modes: int, config: TrainingConfig, *, names: Sequence[str]) -> Self:
        """Read what `save` wrote; raises as `ml.learning.estimators.base.Estimator.load`."""
        settings = _settings(config)
        return cls(tuple(LightGBM.load(folder / name, settings, names=names) for name in mode_files(n_modes)))


@dataclass(frozen=True)
class FittedModes:
    """Modes of failure as training leaves them.

    Attributes
    ----------
    thresholds
        Of each mode: where probability of a failure times probability of the mode is an alarm of its own, by F1 on the
        validation rows; None where no validation row has the mode.
    validation
        Probabilities, given a failure, of the validation rows by models not fitted on them: (n_validation, n_modes).
    """

    plan: ModePlan
    models: ModeModels
    thresholds: tuple[float | None, ...]
    validation: Float32s

    def describe(self) -> Modes:
        """For metadata."""
        plan = self.plan
        return Modes(
            names=plan.names, name_of=dict(plan.name_of), failures=dict(plan.failures), thresholds=self.thresholds
        )


def mode_files(n_modes: int) -> list[str]:
    """Names of the files of so many modes in a version's folder."""
    return [f"mode_{number}.txt" for number in range(1, n_modes + 1)]


def joint(probability: Float32s, given_failure: Float32s) -> Float32s:
    """Probability of each mode, (n_rows, n_modes): of a failure, (n_rows,), times given one; a float32 product."""
    return np.asarray(probability, dtype=np.float32)[:, None] * given_failure


def mode_thresholds(
    plan: ModePlan, config: OrganizationConfig, frame: pd.DataFrame, rows: Bools, probability: Float32s, given: Float32s
) -> tuple[float | None, ...]:
    """The threshold of each mode on some rows of a frame; see `FittedModes`."""
    label = plan.labels(frame, config.data_config.prediction_horizon_seconds)[rows]
    groups = independent_groups(frame.loc[rows, "asset_id"])
    seed = config.training_config.random_state
    return tuple(
        stable_f1_threshold(own, score, groups, seed=seed) if own.any() else None
        for own, score in zip(label.T, joint(probability, given).T, strict=True)
    )


def _of_failures(frame: pd.DataFrame, horizon: int, tell: Callable[[str], list[bool]]) -> Bools:
    """What is told of the modes, as text, of each positive row's failure: (n_rows, n_told), false on other rows."""
    begun = onsets(frame)
    table = np.zeros((int(frame["event"].max()) + 2, len(tell(""))), dtype=np.bool_)  # the last: no known failure
    for event, text in zip(begun["event"], begun["modes"], strict=True):
        table[event] = tell(text)
    numbers = failure_numbers(frame, horizon)
    return np.asarray(table[np.where((numbers >= 0) & (numbers < len(table)), numbers, -1)])


def _settings(config: TrainingConfig) -> TrainingConfig:
    """The configuration of the small models; what the rows are like stays as configured."""
    params = LgbParams(**config.lgb_params.model_dump(include=_KEPT), **_SMALL, scale_pos_weight=1.0)
    return config.model_copy(update={"lgb_params": params, "early_stopping_rounds": 0, "imbalance": "none"})
