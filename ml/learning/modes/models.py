"""What fails: for each mode of failure a small model of "this mode, given a failure within the horizon".

The model of all failures stays as it is. Those of modes are fitted on its positive rows alone, one binary model for
each mode, since several can begin at once. Times the probability of a failure each is the probability of that mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s, spread
from ml.config import OrganizationConfig
from ml.export.modes import Modes
from ml.export.trees.ensemble import TreeEnsemble
from ml.features import FeatureEngineer
from ml.learning.engine import Engine
from ml.learning.estimators.lightgbm import LightGBM
from ml.learning.events.resampling import independent_groups
from ml.learning.modes.plan import ModePlan, of_failures
from ml.learning.thresholds.f1 import stable_f1_threshold
from ml.options.learning import LgbParams, TrainingConfig

_MOST_ROWS = 100_000
# Positive rows are few and tell of few failures. The share of features was chosen on the data of docs/failure-modes.md.
_SMALL = {
    "num_leaves": 15,
    "learning_rate": 0.05,
    "num_iterations": 60,
    "min_data_in_leaf": 10,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
}
_KEPT = {"categorical_features", "zero_as_missing", "max_bin"}


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
        recorded = rows & of_failures(frame, horizon, lambda text: [bool(text)])[:, 0]
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


def _settings(config: TrainingConfig) -> TrainingConfig:
    """The configuration of the small models; what the rows are like stays as configured."""
    params = LgbParams(**config.lgb_params.model_dump(include=_KEPT), **_SMALL, scale_pos_weight=1.0)
    return config.model_copy(update={"lgb_params": params, "early_stopping_rounds": 0, "imbalance": "none"})
