"""Trying what a search proposes: one trial on a search's rows, and one after the other."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ml.learning.folds.fitting import FoldFitter
from ml.learning.search.cross_validation import CrossValidation, TrialOutcome
from ml.learning.search.feature_sets import FEATURE_KEYS, FeatureTable, SearchRows
from ml.options.learning import TrainingConfig

if TYPE_CHECKING:
    from ml.learning.estimators.base import Estimator
    from ml.learning.search.study import SearchStudy

_TABLES_KEPT = 4  # a search returns to good sets of features, and each table may be large


class Trials:
    """Tries values on the rows of a search; tables and bins are made once for each set of features.

    Parameters
    ----------
    estimator
        The model type.
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
        rows: SearchRows,
        training: TrainingConfig,
        validate: CrossValidation,
        *,
        configured: FeatureTable,
    ) -> None:
        self._estimator, self._rows, self._training, self._validate = estimator, rows, training, validate
        self._fitters = OrderedDict({_key({}): self._folds_of(configured)})

    def run(
        self,
        values: Mapping[str, Any] | None,
        bars: Mapping[int, float],
        deadline: float,
        progress: Callable[[float], None],
    ) -> TrialOutcome:
        """The outcome of the configuration with these values; None: as it is.

        A trial is given up at a rung where its score is below the bar.

        Raises ConfigError if a value is refused for these rows, and TooFewFailuresError if a fold holds one class only.
        """
        parameters, features = divided(values or {})
        config = self._estimator.with_parameters(self._training, parameters) if parameters else self._training

        def hopeless(rung: int, score: float) -> bool:
            return rung in bars and score < bars[rung]

        fitter = self._fitter(features)
        return self._validate(fitter, config, hopeless=hopeless, deadline=deadline, progress=progress)

    def run_all(self, study: SearchStudy, deadline: float, progress: Callable[[float], None]) -> None:
        """Run what the study proposes, one trial after the other, to its end or the deadline."""
        while (proposal := study.draw()) is not None:
            outcome = self.run(proposal.values, proposal.bars, deadline, progress)
            study.finish(proposal, outcome)
            if outcome.state == "LATE":
                return

    def _fitter(self, features: Mapping[str, Any]) -> FoldFitter:
        key = _key(features)
        if key not in self._fitters:
            while len(self._fitters) >= _TABLES_KEPT:
                self._fitters.popitem(last=False)
            self._fitters[key] = self._folds_of(self._rows.features.table(features))
        self._fitters.move_to_end(key)
        return self._fitters[key]

    def _folds_of(self, table: FeatureTable) -> FoldFitter:
        return self._estimator.folds(table.X, self._rows.labels, self._rows.folds, names=table.names)


def _key(features: Mapping[str, Any]) -> str:
    return json.dumps(features, sort_keys=True)


def divided(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the model's parameters, and those of its features."""
    features = {key: value for key, value in values.items() if key in FEATURE_KEYS}
    return {key: value for key, value in values.items() if key not in features}, features
