"""Trying what a search proposes: one trial on a search's rows, and all of them, one after the other."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from ml.learning.cross_validation import CrossValidation, Outcome
from ml.learning.feature_sets import FEATURE_KEYS, FeatureSource, FeatureTable
from ml.learning.fold_fitting import Fold, FoldFitter
from ml.options.learning import TrainingConfig

if TYPE_CHECKING:
    from ml.learning.estimators.base import Estimator
    from ml.learning.search_study import Proposal

_TABLES_KEPT = 4  # a search returns to good sets of features, and each table may be large


class Runner(Protocol):
    """Runs the trials of a search, in whatever order and wherever."""

    def __call__(
        self, name: str, draw: Callable[[], Proposal | None], deadline: float, progress: Callable[[float], None]
    ) -> Iterator[tuple[Proposal, Outcome]]:
        """Each trial with its outcome as soon as it is known.

        Parameters
        ----------
        name
            Of the search; another one on a worker means that it has other data, settings or libraries.
        draw
            Gives the next trial; None while it depends on one that is running, and at the end. The outcome of a trial
            counts when the next one is asked for.
        deadline
            `time.monotonic` at which to stop; trials that are cut short have the state ``LATE``.
        progress
            Called with how many trials those that are running amount to; what it raises ends them and reaches the
            caller.
        """


class Trials:
    """Tries values on the rows of a search; tables and bins are made once for each set of features.

    Parameters
    ----------
    estimator
        The model type.
    features, y, folds
        The rows, as `ml.learning.search.search` takes them.
    training
        The configuration whose parameters are searched.
    validate
        Scores a configuration on the folds.
    configured
        The table of the configured features.
    """

    def __init__(
        self,
        estimator: type[Estimator],
        features: FeatureSource,
        y: npt.NDArray[Any],
        folds: Sequence[Fold],
        training: TrainingConfig,
        validate: CrossValidation,
        *,
        configured: FeatureTable,
    ) -> None:
        self._estimator, self._features, self._y, self._folds = estimator, features, y, folds
        self._training, self._validate = training, validate
        self._fitters = OrderedDict({_key({}): self._folds_of(configured)})

    def run(
        self,
        values: Mapping[str, Any] | None,
        bars: Mapping[int, float],
        deadline: float,
        progress: Callable[[float], None],
    ) -> Outcome:
        """The outcome of the configuration with these values; None: as it is.

        A trial is given up at a rung where its score is below the bar.

        Raises
        ------
        ConfigError
            If a value is refused for these rows.
        TooFewFailuresError
            If a fold holds one class only.
        """
        parameters, features = divided(values or {})
        config = self._estimator.with_parameters(self._training, parameters) if parameters else self._training

        def hopeless(rung: int, score: float) -> bool:
            return rung in bars and score < bars[rung]

        fitter = self._fitter(features)
        return self._validate(fitter, config, hopeless=hopeless, deadline=deadline, progress=progress)

    def in_turn(
        self,
        name: str,  # noqa: ARG002 - of this very search
        draw: Callable[[], Proposal | None],
        deadline: float,
        progress: Callable[[float], None],
    ) -> Iterator[tuple[Proposal, Outcome]]:
        """A `Runner`: the trials one after the other in this process."""
        while (proposal := draw()) is not None:
            yield proposal, self.run(proposal.values, proposal.bars, deadline, progress)

    def _fitter(self, features: Mapping[str, Any]) -> FoldFitter:
        key = _key(features)
        if key not in self._fitters:
            while len(self._fitters) >= _TABLES_KEPT:
                self._fitters.popitem(last=False)
            self._fitters[key] = self._folds_of(self._features.table(features))
        self._fitters.move_to_end(key)
        return self._fitters[key]

    def _folds_of(self, table: FeatureTable) -> FoldFitter:
        return self._estimator.folds(table.X, self._y, self._folds, names=table.names)


def _key(features: Mapping[str, Any]) -> str:
    return json.dumps(features, sort_keys=True)


def divided(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the model's parameters, and those of its features."""
    features = {key: value for key, value in values.items() if key in FEATURE_KEYS}
    return {key: value for key, value in values.items() if key not in features}, features
