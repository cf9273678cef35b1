"""Boosting many configurations on the same folds: rows binned once, folds grown side by side.

All rows are binned once, held-out rows included: bins are quantiles of the features and know no label. Each fold's
rows are subsets of that data set, as in LightGBM's own cross-validation, so no trial bins anything, and scores on
held-out rows come from LightGBM's running sums instead of a prediction through all trees.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from ml.arrays import Float32s
from ml.errors import ConfigError, TooFewFailuresError
from ml.learning.folds.fitting import Fold, FoldFit, FoldFitter, Labels, Probabilities, Stop
from ml.options.learning import TrainingConfig

_FIRST_RUNG = 1.0
"""Sum of learning rates at which trials are compared first; twice as much at each further rung.

At equal numbers of rounds a slow learner would always look worse than a fast one; measured in summed learning rates
both have come equally far.
"""
_silenced = threading.local()


@dataclass(frozen=True)
class BoostingRules:
    """How one configuration boosts.

    Attributes
    ----------
    bin_rows
        Makes a data set of features and labels.
    binning
        What `bin_rows` depends on; configurations in which it is equal share their data sets.
    parameters
        LightGBM's parameters, from the training labels and the number of features.
    rounds
        Rounds at most.
    patience
        Rounds without improvement after which to stop; None: never.
    learning_rate
        Shrinkage.
    """

    bin_rows: Callable[[Float32s, Labels], lgb.Dataset]
    binning: dict[str, Any]
    parameters: Callable[[Labels, int], dict[str, Any]]
    rounds: int
    patience: int | None
    learning_rate: float


class BoostedFolds(FoldFitter):
    """Folds as subsets of one binned data set, shared by every configuration with the same binning.

    Parameters
    ----------
    rules
        The rules of a configuration.
    """

    def __init__(
        self, rules: Callable[[TrainingConfig], BoostingRules], X: Float32s, y: Labels, folds: Sequence[Fold]
    ) -> None:
        super().__init__(X, y, folds)
        self._rules = rules
        self._binning: dict[str, Any] | None = None
        self._subsets: list[tuple[lgb.Dataset, lgb.Dataset]] = []

    def begin(self, fold: int, config: TrainingConfig) -> FoldFit:
        """As `FoldFitter.begin`."""
        rules = self._rules(config)
        if rules.binning != self._binning:
            self._subsets = self._binned(rules)
            self._binning = rules.binning
        train, held_out = self._subsets[fold]
        parameters = rules.parameters(self._y[self._folds[fold][0]], self._X.shape[1])
        with refused_parameters():
            return _BoostedFold(parameters, train, held_out, rules)

    def rungs(self, config: TrainingConfig) -> list[int]:
        """As `FoldFitter.rungs`: where the summed learning rates are 1, 2, 4, …"""
        rules = self._rules(config)
        rungs, reach = [], _FIRST_RUNG
        while (rounds := int(np.ceil(reach / rules.learning_rate))) < rules.rounds:
            rungs.append(rounds)
            reach *= 2
        return [*rungs, rules.rounds]

    def _binned(self, rules: BoostingRules) -> list[tuple[lgb.Dataset, lgb.Dataset]]:
        for number, fold in enumerate(self._folds):
            for name, rows in zip(("training", "held-out"), fold, strict=True):
                if len(np.unique(self._y[rows])) < 2:
                    raise TooFewFailuresError(
                        f"the {name} rows of fold {number + 1} hold one class only",
                        hint="a model needs rows before failures and rows of healthy operation",
                    )
        everything = rules.bin_rows(self._X, self._y)
        with refused_parameters():
            return [
                (everything.subset(train).construct(), everything.subset(held_out).construct())
                for train, held_out in self._folds
            ]


class _BoostedFold(FoldFit):
    """A booster that remembers the held-out probabilities of its best round."""

    def __init__(
        self, parameters: dict[str, Any], train: lgb.Dataset, held_out: lgb.Dataset, rules: BoostingRules
    ) -> None:
        super().__init__(rules.rounds)
        self._patience, self._threads = rules.patience, parameters["num_threads"]
        self._booster = lgb.Booster(parameters, train)
        self._booster.add_valid(held_out, "held-out")
        self._best, self._best_round = -np.inf, 0
        self._now = self._kept = np.empty(0)

    def advance(self, rounds: int, stop: Stop) -> None:
        _silence_this_thread(self._threads)
        with refused_parameters():
            for _ in range(rounds):
                if self.done or stop():
                    return
                self._booster.update()
                self.grown += 1
                self._judge()
                self.done = self.done or self.grown >= self.total

    @property
    def rounds(self) -> int:
        return self._best_round

    @property
    def probability(self) -> Probabilities:
        return self._kept

    def _judge(self) -> None:
        """Keep this round if it is the best yet, by LightGBM's rule of early stopping: strictly better."""
        result = self._booster.eval_valid(feval=self._remember)[0]
        value = result[2] if result[3] else -result[2]
        if self._patience is None or value > self._best:
            self._best, self._best_round = value, self.grown
            self._kept = self._now.copy()
        elif self.grown - self._best_round >= self._patience:
            self.done = True

    def _remember(self, probability: Probabilities, _: lgb.Dataset) -> list[Any]:
        self._now = probability  # LightGBM's own buffer, which the next round overwrites
        return []


def _silence_this_thread(threads: int) -> None:
    """Keep LightGBM from printing to stdout: it has a log level per thread, and only the first thread knows a logger.

    Whatever sets the level also sets the number of threads for the whole process, so it must be the one in use.
    """
    if not getattr(_silenced, "done", False):
        lgb.Dataset(np.zeros((1, 1)), params={"verbosity": -1, "num_threads": threads}).construct()
        _silenced.done = True


@contextmanager
def refused_parameters() -> Iterator[None]:
    """Turn LightGBM's complaints into a ConfigError."""
    try:
        yield
    except lgb.basic.LightGBMError as error:
        raise ConfigError(
            f"LightGBM cannot fit these rows with these parameters: {error}",
            field="trainingConfig.lgbParams",
            hint="go back to the default of the parameter that the message speaks of",
        ) from error
