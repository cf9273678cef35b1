"""Random forest (Breiman 2001) by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from ml.arrays import Float32s, Float64s, Int64s
from ml.export.trees.stored_forest import read_forest, write_forest
from ml.learning.estimators.base import (
    Estimator,
    Features,
    RoundCallback,
    as_rows,
    as_shares,
    check_width,
    class_counts,
    fitted,
)
from ml.learning.folds.fitting import Fold, FoldFitter, Labels
from ml.learning.folds.forests import ForestFolds
from ml.options.base import Section
from ml.options.learning import RfParams, SearchRange

if TYPE_CHECKING:
    from ml.export.trees.ensemble import TreeEnsemble

BATCHES = 20  # how often a fit reports progress and can be stopped


class RandomForest(Estimator):
    """Averaged randomised trees; NaN goes the way that gained most at each split.

    There is no early stopping: more trees only average better. Two fits with the same seed give the same forest
    whatever the thread count. Prediction runs on one thread, because threads would add the trees' votes in the order
    in which they finish, and floating point sums depend on it.
    """

    model_type: ClassVar[str] = "random_forest"
    model_file: ClassVar[str] = "model.parquet"
    params_type: ClassVar[type[Section]] = RfParams
    params_key: ClassVar[str] = "rf_params"
    _forest: RandomForestClassifier | None = None

    @classmethod
    def search_space(cls) -> dict[str, SearchRange]:
        """Leaf size, features per split and rows per tree."""
        return {
            "minSamplesLeaf": SearchRange(low=1, high=100, log=True),
            "maxFeatures": SearchRange(choices=("sqrt", "log2", 0.1, 0.3)),
            "maxSamples": SearchRange(low=0.2, high=1.0),
            "criterion": SearchRange(choices=("gini", "entropy")),
        }

    @property
    def forest(self) -> RandomForestClassifier:
        """The fitted model; raises InternalError if there is none."""
        return fitted(self._forest)

    @property
    def rounds(self) -> int:
        """Trees of the forest."""
        return len(self.forest.estimators_)

    def _fit(
        self, X: Features, y: Labels, valid: tuple[Features, Labels] | None, on_round: RoundCallback | None
    ) -> None:
        del valid  # a forest has no early stopping
        total = self.config.rf_params.n_estimators
        forest = self._unfitted(y)
        rows, labels = np.ascontiguousarray(X, dtype=np.float32), np.asarray(y, dtype=np.int64)
        batch = max(self.threads, -(-total // BATCHES))
        for done in [*range(batch, total, batch), total]:
            forest.set_params(n_estimators=done).fit(rows, labels)
            if on_round is not None:
                on_round(done, total)
        self._forest = forest.set_params(warm_start=False, n_jobs=1)

    @classmethod
    def folds(cls, X: Float32s, y: Labels, folds: Sequence[Fold], *, names: Sequence[str]) -> FoldFitter:
        """As `Estimator.folds`."""
        check_width(X, len(names))
        return ForestFolds(
            lambda config, labels: cls(config)._unfitted(labels),
            lambda config: config.rf_params.n_estimators,
            X,
            y,
            folds,
        )

    def _unfitted(self, y: Labels) -> RandomForestClassifier:
        return RandomForestClassifier(
            **self.config.rf_params.model_dump(),
            class_weight=self._class_weight(y),
            random_state=self.config.random_state,
            n_jobs=self.threads,
            warm_start=True,  # grown in batches, which gives the same trees as at once
        )

    def predict(self, X: Float32s) -> Float64s:
        """As `Estimator.predict`."""
        rows = as_rows(X, self.forest.n_features_in_)
        if not len(rows):
            return np.empty(0)
        return np.asarray(self.forest.predict_proba(rows)[:, 1], dtype=np.float64)

    def leaves(self, X: Float32s) -> Int64s:
        """As `Estimator.leaves`."""
        rows = as_rows(X, self.forest.n_features_in_)
        if not len(rows):
            return np.empty((0, self.rounds), dtype=np.int64)
        return np.asarray(self.forest.apply(rows), dtype=np.int64)

    def importances(self) -> dict[str, float]:
        """Share of the impurity decrease, averaged over trees."""
        return as_shares(np.asarray(self.forest.feature_importances_), self.names)

    def save(self, path: Path) -> None:
        """Write the trees as a table of nodes."""
        write_forest(self.forest, path)

    def _read(self, path: Path) -> int:
        self._forest = read_forest(path)
        return int(self._forest.n_features_in_)

    def ensemble(self) -> TreeEnsemble:
        """As `Estimator.ensemble`."""
        from ml.export.trees.ensemble import from_random_forest

        return from_random_forest(self.forest)

    def _class_weight(self, y: Labels) -> dict[int, float] | None:
        """scikit-learn's "balanced" weights, spelled out, because it computes them anew for each batch of trees."""
        negatives, positives = class_counts(y, "training")
        if self.config.imbalance == "none":
            return None
        return {0: len(y) / (2 * negatives), 1: len(y) / (2 * positives)}
