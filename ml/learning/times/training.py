"""The time to failure within the training of a version: a model for each division of the rows, then the shipped one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.export.times.curve import LEVELS, quantiles
from ml.features import FeatureEngineer
from ml.learning.engine import Engine
from ml.learning.folds.splits import Parts
from ml.learning.times.pooled import HorizonModel, fit
from ml.learning.times.targets import horizons_of, samples_of
from ml.progress import ProgressCallback


@dataclass(frozen=True)
class FoldTimes:
    """What the model of one division says about rows that it has not seen: their places in the frame, (n_rows,)."""

    model: HorizonModel
    row: Int64s
    quantiles: Float32s


@dataclass(frozen=True)
class TrainedTimes:
    """The shipped model, and what models like it said about rows that they had not seen.

    Attributes
    ----------
    horizons, asked
        Where a row is asked, in seconds and as the model takes it.
    row, quantiles
        Places in the grid frame, ascending, (n_rows,), and seconds, (n_rows, 3).
    """

    model: HorizonModel
    horizons: tuple[int, ...]
    asked: Float64s
    row: Int64s
    quantiles: Float32s


@dataclass(frozen=True)
class TimesTraining:
    """The recipe on the rows of one engine; without a model where the configuration, or the data, want none."""

    config: OrganizationConfig
    engine: Engine
    interval: int
    tell: ProgressCallback

    @property
    def horizon(self) -> int:
        """The prediction horizon in seconds."""
        return self.config.data_config.prediction_horizon_seconds

    def fold(self, parts: Parts, engineer: FeatureEngineer) -> FoldTimes | None:
        """A model of the training rows, stopped by the validation rows, and its answers on the test rows.

        They are on the validation rows where there is no test part. `engineer` is fitted on the training rows.
        """
        if not self.wanted:
            return None
        settings = HorizonModel.settings(self.config.training_config)
        model = fit(
            settings,
            engineer,
            self.engine.frame,
            (parts.train, parts.validation),
            horizon=self.horizon,
            on_round=lambda done, total: self.tell(done, total, "fitting the time to failure"),
        )
        judged = parts.test if parts.test.any() else parts.validation
        return FoldTimes(model, np.flatnonzero(judged), self._quantiles(model, engineer, judged))

    def finished(
        self, folds: Sequence[FoldTimes | None], engineer: FeatureEngineer, refit: tuple[Bools, int] | None
    ) -> TrainedTimes | None:
        """The model to ship: fitted once more on the rows of `refit`, with no fewer trees than it says, or the fold's.

        `engineer` is fitted on those rows.
        """
        done = [fold for fold in folds if fold is not None]
        if not done:
            return None
        model = done[0].model
        if refit is not None:
            rows, fewest = refit
            rounds = max(int(np.median([fold.model.rounds for fold in done])), fewest)
            settings = HorizonModel.without_stopping(HorizonModel.settings(self.config.training_config), rounds)
            model = fit(settings, engineer, self.engine.frame, (rows, None), horizon=self.horizon)
        row = np.concatenate([fold.row for fold in done])
        order = np.argsort(row, kind="stable")
        answers = np.concatenate([fold.quantiles for fold in done])[order]
        horizons = horizons_of(self.horizon, self.interval)
        return TrainedTimes(model, horizons, samples_of(np.array(horizons), self.interval), row[order], answers)

    @property
    def wanted(self) -> bool:
        """Whether there is to be a model; raises ConfigError if it is asked for and cannot be."""
        wish = self.config.training_config.time_to_failure
        reason = None if wish == "off" else obstacle(self.config, self.engine.frame, self.interval)
        if reason is not None and wish == "on":
            raise ConfigError(
                f"there is no time to failure to learn: {reason}",
                field="trainingConfig.timeToFailure",
                hint='set it to "off", or to "auto" to have it where it is possible',
            )
        return wish != "off" and reason is None

    def _quantiles(self, model: HorizonModel, engineer: FeatureEngineer, rows: Bools) -> Float32s:
        horizons = horizons_of(self.horizon, self.interval)
        asked = samples_of(np.array(horizons), self.interval)

        def flat(X: Float32s) -> Float64s:
            return quantiles(model.at(X, asked), horizons).ravel()

        found = self.engine.predicted(flat, engineer, rows).reshape(-1, len(LEVELS))
        return found.astype(np.float32)


def obstacle(config: OrganizationConfig, frame: pd.DataFrame, interval: int) -> str | None:
    """Why no time to failure can be learned from a grid frame, (n_rows, ...); None if it can."""
    if config.training_config.engine != "local":
        return f"the engine {config.training_config.engine} fits the classifier only"
    if config.data_config.prediction_horizon_seconds < interval:
        return "the prediction horizon is shorter than one sampling interval"
    if not (frame["event"] >= 0).any():
        return "the data names no instant at which a failure begins"
    return None
