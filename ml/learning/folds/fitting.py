"""Fitting one configuration on cross-validation folds some rounds at a time, so that a hopeless one can be given up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml.arrays import Float32s, Float64s, Int64s
from ml.options.learning import TrainingConfig

Probabilities = Float64s
Labels = npt.NDArray[Any]
Fold = tuple[Int64s, Int64s]
Stop = Callable[[], bool]


class FoldFit(ABC):
    """A model that grows on the training rows of one fold and is watched on its held-out rows.

    Attributes
    ----------
    total
        Rounds at most.
    grown
        Rounds fitted so far.
    done
        Whether more rounds would change nothing: all are fitted, or the model has stopped early.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.grown = 0
        self.done = False

    @abstractmethod
    def advance(self, rounds: int, stop: Stop) -> None:
        """Fit as many rounds more, fewer if the model is done before or `stop` says so between two of them."""

    @property
    @abstractmethod
    def rounds(self) -> int:
        """Rounds that the model would keep by now."""

    @property
    @abstractmethod
    def probability(self) -> Probabilities:
        """Probability of class 1 of the held-out rows by those rounds, shape (n_held_out,)."""


class FoldFitter(ABC):
    """Fits many configurations on the same folds of the same rows.

    Parameters
    ----------
    X, y
        Features, shape (n_rows, n_features), and labels of all rows.
    folds
        ``(train, held_out)`` row positions, each ascending.
    """

    def __init__(self, X: Float32s, y: Labels, folds: Sequence[Fold]) -> None:
        self._X, self._y, self._folds = X, np.asarray(y), list(folds)

    @abstractmethod
    def begin(self, fold: int, config: TrainingConfig) -> FoldFit:
        """A fit of the fold's training rows without any round yet.

        Raises TooFewFailuresError if the fold's training or held-out rows hold one class only, and ConfigError if a
        parameter's value is refused for these rows.
        """

    @abstractmethod
    def rungs(self, config: TrainingConfig) -> list[int]:
        """Rounds, ascending, after which scores of different configurations compare; the last are all rounds."""


class Fitted(Protocol):
    """What a whole fit returns: an estimator, which this folder must not know."""

    @property
    def rounds(self) -> int:
        """Trees or iterations."""

    def predict(self, X: Float32s) -> Probabilities:
        """Probability of class 1."""


class WholeFits(FoldFitter):
    """Fits of model types that cannot be grown: all at once, in one round.

    Parameters
    ----------
    fit
        Called with a configuration, training rows, their labels, held-out rows, and theirs.
    """

    def __init__(self, fit: Callable[..., Fitted], X: Float32s, y: Labels, folds: Sequence[Fold]) -> None:
        super().__init__(X, y, folds)
        self._fit = fit

    def begin(self, fold: int, config: TrainingConfig) -> FoldFit:
        """As `FoldFitter.begin`; the rows are checked when the fit is advanced."""
        train, held_out = self._folds[fold]
        X, y = self._X, self._y
        X_held_out = X[held_out]
        return _WholeFit(lambda: self._fit(config, X[train], y[train], X_held_out, y[held_out]), X_held_out)

    def rungs(self, config: TrainingConfig) -> list[int]:  # noqa: ARG002 - one round, whatever the configuration
        """As `FoldFitter.rungs`."""
        return [1]


class _WholeFit(FoldFit):
    def __init__(self, fit: Callable[[], Fitted], held_out: Float32s) -> None:
        super().__init__(total=1)
        self._fit, self._held_out = fit, held_out
        self._model: Fitted | None = None
        self._probability = np.empty(0)

    def advance(self, rounds: int, stop: Stop) -> None:
        if rounds < 1 or self.done or stop():
            return
        self._model = self._fit()
        self._probability = self._model.predict(self._held_out)
        self.grown, self.done = 1, True

    @property
    def rounds(self) -> int:
        return 0 if self._model is None else self._model.rounds

    @property
    def probability(self) -> Probabilities:
        return self._probability
