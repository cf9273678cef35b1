"""Growing forests on folds a batch of trees at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from ml.arrays import Float32s
from ml.learning.folds.fitting import Fold, FoldFit, FoldFitter, Labels, Probabilities, Stop
from ml.options.learning import TrainingConfig

_RUNGS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""Shares of the trees after which trials are compared."""
_BATCH = 5  # trees at least per call, because each call checks all rows again


class ForestFolds(FoldFitter):
    """Forests that grow on the rows of each fold.

    Parameters
    ----------
    forest
        The forest of a configuration without any tree, for training labels.
    trees
        Trees of a configuration.
    """

    def __init__(
        self,
        forest: Callable[[TrainingConfig, Labels], RandomForestClassifier],
        trees: Callable[[TrainingConfig], int],
        X: Float32s,
        y: Labels,
        folds: Sequence[Fold],
    ) -> None:
        super().__init__(X, np.asarray(y, dtype=np.int64), folds)
        self._forest, self._trees = forest, trees

    def begin(self, fold: int, config: TrainingConfig) -> FoldFit:
        """As `FoldFitter.begin`."""
        train, held_out = self._folds[fold]
        labels = self._y[train]
        return _ForestFold(self._forest(config, labels), self._trees(config), self._X[train], labels, self._X[held_out])

    def rungs(self, config: TrainingConfig) -> list[int]:
        """As `FoldFitter.rungs`: shares of the trees, doubling."""
        trees = self._trees(config)
        return sorted({max(1, round(share * trees)) for share in _RUNGS})


class _ForestFold(FoldFit):
    """A forest and the sum of its trees' votes on the held-out rows."""

    def __init__(self, forest: RandomForestClassifier, total: int, X: Float32s, y: Labels, held_out: Float32s) -> None:
        super().__init__(total)
        self._forest, self._X, self._y = forest, X, y
        self._held_out = np.ascontiguousarray(held_out, dtype=np.float32)
        self._votes = np.zeros(len(held_out))

    def advance(self, rounds: int, stop: Stop) -> None:
        batch = max(_BATCH, int(self._forest.n_jobs or 1))
        last = min(self.grown + rounds, self.total)
        while self.grown < last and not stop():
            trees = min(self.grown + batch, last)
            self._forest.set_params(n_estimators=trees).fit(self._X, self._y)
            for tree in self._forest.estimators_[self.grown :]:
                self._votes += tree.predict_proba(self._held_out, check_input=False)[:, 1]
            self.grown = trees
        self.done = self.grown >= self.total

    @property
    def rounds(self) -> int:
        return self.grown

    @property
    def probability(self) -> Probabilities:
        return self._votes / max(self.grown, 1)
