"""One boosted model for all horizons: rows and horizon in, whether the row's machine fails within the horizon out.

A cumulative model (the horizon is a feature, and the score may only rise with it) gives one distribution of the time to
failure per row, where a model for each horizon would give curves that cross.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s, Int64s, spread
from ml.features import FeatureEngineer
from ml.learning.estimators.base import RoundCallback
from ml.learning.estimators.lightgbm import FEATURES_PER_TREE, LightGBM
from ml.learning.feature_rows import FeatureRows
from ml.learning.folds.fitting import Labels
from ml.learning.times.targets import Remaining, ask, remaining, samples_of
from ml.options.learning import TrainingConfig

_FAST = 0.1
"""Learning rate: a third of the trees of the classifier's 0.03 for the same figures on two benchmarks."""
MOST_ROWS = 100_000
"""Rows that a model learns from, at even distances: neighbours are near copies, and each is asked three times."""
_BLIND = 0.05
"""Share of trees that may be without the horizon: with 0.5, intervals were nearly twice as wide on turbofans."""
_CELLS_AT_ONCE = 1 << 22


class HorizonModel(LightGBM):
    """LightGBM on features and a horizon, which stands in the last columns, several times.

    Where few features are drawn for each tree, one copy of the horizon would be missing from most trees, which then
    could not tell near from far.
    """

    width: int
    """Features, without the horizon."""

    @classmethod
    def read(cls, path: Path, training: TrainingConfig, n_features: int) -> Self:
        """The model that `save` wrote; raises as `LightGBM.load`."""
        model = cls.load(path, training)
        model.width = n_features
        return model

    @classmethod
    def settings(cls, training: TrainingConfig) -> TrainingConfig:
        """The classifier's parameters, but for those that would bend the curve or cost too much.

        Weights of classes would, and so would a metric of ranks; boosting by other ways than gbdt does not stop early
        or averages.
        """
        params = training.lgb_params.model_copy(
            update={
                "learning_rate": max(training.lgb_params.learning_rate, _FAST),
                "boosting": "gbdt",
                "metric": "binary_logloss",
                "scale_pos_weight": 1.0,
            }
        )
        return training.model_copy(update={"lgb_params": params, "imbalance": "none"})

    def lightgbm_parameters(self, y: Labels, n_features: int) -> dict[str, Any]:
        """As of the classifier, and the score rises with the horizon."""
        own = super().lightgbm_parameters(y, self.width)
        copies = n_features - self.width
        return own | {"monotone_constraints": [0] * self.width + [1] * copies}

    def at(self, X: Float32s, horizons: Float64s) -> Float64s:
        """The score (log-odds) of scaled features (n_rows, n_features) at each horizon, in samples as the model takes
        them: (n_rows, n_horizons), rising along a row.
        """
        copies, n_horizons = self.booster.num_feature() - X.shape[1], len(horizons)
        asked = np.asarray(horizons, dtype=np.float32)
        size = max(1, _CELLS_AT_ONCE // (n_horizons * (X.shape[1] + copies)))
        parts = [np.empty((0, n_horizons))]
        for start in range(0, len(X), size):
            part = X[start : start + size]
            rows = _with_horizon(np.repeat(part, n_horizons, axis=0), np.tile(asked, len(part)), copies)
            parts.append(self.scores(rows).reshape(len(part), n_horizons))
        return np.concatenate(parts)


class HorizonRows(FeatureRows):
    """Features of rows, each with some horizons: a matrix (n_pairs, n_features + copies), computed piece by piece."""

    def __init__(
        self, engineer: FeatureEngineer, frame: pd.DataFrame, rows: Bools, pairs: tuple[Int64s, Float32s], copies: int
    ) -> None:
        super().__init__(engineer, frame, rows)
        self._base = FeatureRows(engineer, frame, rows)
        self._row, self._horizon = pairs
        self._copies = copies
        self.shape = len(self._row), self._base.shape[1] + copies

    def __getitem__(self, part: slice) -> Float32s:
        """As of `FeatureRows`, of a range of pairs."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"features are computed for consecutive rows; the step is {step}")
        if start >= stop:
            return np.empty((0, self.shape[1]), dtype=np.float32)
        first = int(self._row[start])
        base = self._base[first : int(self._row[stop - 1]) + 1]
        return _with_horizon(base[self._row[start:stop] - first], self._horizon[start:stop], self._copies)

    def batches(self) -> Iterator[Float32s]:
        """All pairs, in order, some at a time."""
        for start in range(0, len(self), self.batch_rows):
            yield self[start : start + self.batch_rows]

    def sample(self, n_rows: int, seed: int) -> Float32s:
        """Features of some rows, each with one of the horizons drawn by `seed`; column-major."""
        base = self._base.sample(n_rows, seed)
        drawn = np.random.default_rng(seed).choice(self._horizon, len(base))
        return np.asfortranarray(_with_horizon(base, drawn, self._copies))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Float32s:
        """The whole table."""
        if copy is False:
            raise ValueError("the features are computed, so a copy cannot be avoided")
        return self[0 : len(self)].astype(dtype or np.float32, copy=False)


def fit(
    training: TrainingConfig,
    engineer: FeatureEngineer,
    frame: pd.DataFrame,
    parts: tuple[Bools, Bools | None],
    *,
    horizon: int,
    on_round: RoundCallback | None = None,
) -> HorizonModel:
    """A model of the scaled features of some rows; others of `parts`, where given, stop it early.

    Raises as `LightGBM.fit`.

    Parameters
    ----------
    training
        As from `HorizonModel.settings`.
    engineer
        Fitted; its interval is the unit of horizons.
    frame
        Grid frame with its sensors, (n_rows, ...).
    parts
        Labelled rows to learn from, and those to stop by, (n_rows,) each; of more than `MOST_ROWS` so many are used.
    horizon
        The prediction horizon, in seconds.
    """
    model, width = HorizonModel(training), len(engineer.features)
    model.width = width
    copies = copies_for(training.lgb_params.feature_fraction, width)
    tables: list[tuple[HorizonRows, Float32s]] = []
    for number, rows in enumerate(each for each in parts if each is not None):
        kept = spread(rows, MOST_ROWS)
        whole = remaining(frame, rows, horizon=horizon, interval=engineer.interval)
        found = Remaining(*(each[kept[rows]] for each in whole))
        asked = ask(found, horizon=horizon, interval=engineer.interval, seed=training.random_state + number)
        pairs = asked.row, samples_of(asked.horizon, engineer.interval).astype(np.float32)
        tables.append((HorizonRows(engineer, frame, kept, pairs, copies), asked.label.astype(np.float32)))
    names = [*engineer.get_feature_names_out(), *(f"horizon {number}" for number in range(copies))]
    (X, y), (X_valid, y_valid) = tables[0], tables[1] if len(tables) > 1 else (None, None)
    model.fit(X, y, X_valid, y_valid, names=names, on_round=on_round)
    return model


def copies_for(fraction: float | None, n_features: int) -> int:
    """Copies of the horizon with which all but `_BLIND` of the trees have one of them.

    Parameters
    ----------
    fraction
        Share of features drawn per tree, or None: as of `LightGBM`.
    """
    drawn = min(1.0, FEATURES_PER_TREE / n_features) if fraction is None else fraction
    return 1 if drawn >= 1 - _BLIND else math.ceil(math.log(_BLIND) / math.log1p(-drawn))


def _with_horizon(features: Float32s, horizon: Float32s, copies: int) -> Float32s:
    """Row-major features (n_rows, n_features) with copies of the horizon (n_rows,) behind them."""
    return np.concatenate([features, np.repeat(horizon[:, None], copies, axis=1)], axis=1, dtype=np.float32)
