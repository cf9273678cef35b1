"""Searching the parameters of a model, and windows and families of its features, on purged event folds.

Each trial is one set of values. It is fitted on all folds side by side and scored on the held-out rows; its score is
the mean over folds. LightGBM stops early by the same held-out rows, so scores are slightly optimistic; every trial
gets the same advantage, and the final verdict falls on the test part, which no search sees. The number of trees is
not searched: folds report the rounds they stopped at (``rounds``), and training finds its own by early stopping on
the validation part. A trial that is not among the best quarter at a rung is given up there.

The given configuration is replaced only by a trial that is better than it beyond one standard error of their
difference over the folds: with few failures, the best of many trials is better by luck alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.errors import ConfigError
from ml.learning import estimators
from ml.learning.cross_validation import CrossValidation, Outcome
from ml.learning.estimators.base import Estimator
from ml.learning.feature_sets import FEATURE_KEYS, FeatureSource, FeatureTable
from ml.learning.fold_fitting import Fold, FoldFitter
from ml.learning.search_space import Space, checked_space, contains, suggest
from ml.learning.search_study import SearchStudy
from ml.options.learning import TrainingConfig, TuningConfig
from ml.progress import ProgressCallback, silent

if TYPE_CHECKING:
    from optuna import Trial

FINGERPRINT_ROWS = 1_000  # enough to notice other data; hashing all of it would take longer than a trial
_PROTOCOL = 2  # raised when trials are scored in another way, so that old journals are not mixed with new scores
_TABLES_KEPT = 4  # a search returns to good sets of features, and each table may be large


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    best: TrainingConfig
    """The given configuration with the parameters of the best trial."""
    best_features: dict[str, Any]
    """Values of ``rollingWindows``, ``lagSeconds`` and ``families`` of the best trial, where they were searched."""
    best_score: float
    baseline_score: float
    """Score of the given configuration as it is, which is trial 0."""
    trials: list[dict[str, Any]]
    """Per trial: number, state, score, foldScores, rungScores, rounds, seconds, params."""
    best_number: int
    method: str
    metric: str
    space: Space
    importances: dict[str, float]
    """Share of each searched value in the scores' variance over complete trials."""


def search(
    features: FeatureSource,
    y: npt.NDArray[Any],
    folds: Sequence[Fold],
    training: TrainingConfig,
    tuning: TuningConfig,
    *,
    progress: ProgressCallback | None = None,
    storage_path: Path | None = None,
) -> SearchResult:
    """Try parameters by grid, at random, or with Optuna's TPE sampler (Bergstra et al., NeurIPS 2011).

    Trial 0 is the given configuration, so the result is never worse than it on the folds. A grid combines the points
    of `grid_points` in a seeded order, at most ``nTrials`` of them. Trials depend on the seed and the number of trials
    only, whether the search was interrupted or not. A trial that the timeout cuts short does not count; if that is
    trial 0, the result is the given configuration with the score that it had reached.

    Parameters
    ----------
    features
        Features of (n_rows,) rows.
    y
        Labels 0 and 1, shape (n_rows,).
    folds
        ``(train, held_out)`` row positions, ascending, as from `ml.learning.splits.EventFolds`.
    training, tuning
        The configuration to start from, and how to search.
    progress
        Called with trials done, trials at most, and a message. What it raises ends the search and reaches the caller.
    storage_path
        Optuna journal file; while it is written, a lock file has its name and `LOCK_SUFFIX`. A search of the same
        data and configuration counts the finished trials in it as its own. One process at a time may use it.

    Raises
    ------
    ConfigError
        If the search space names an unknown parameter or a value that is not allowed, or the time is too short for a
        single tree.
    TooFewFailuresError
        If a fold holds one class only.
    """
    deadline = np.inf if tuning.timeout_seconds is None else time.monotonic() + tuning.timeout_seconds
    estimator = estimators.get(training.model_type)
    space = checked_space(estimator, training, tuning.search_space)
    table = features.table({})
    study = SearchStudy(estimator, space, tuning, storage_path, _fingerprint(table, y, folds, training, tuning))
    with CrossValidation(y, folds, tuning.scoring_metric, training.threads) as validate:
        trials = _Trials(estimator, features, y, folds, study, tuning, validate, progress or silent, deadline)
        if not study.trials:
            values = _current_values(estimator, training, features, space)
            outcome = trials.run(training, {})
            if np.isnan(outcome.score):
                raise ConfigError(
                    f"the time of {tuning.timeout_seconds:g} s was over before the first trial had one tree",
                    field="tuningConfig.timeoutSeconds",
                    hint="allow more time",
                )
            if outcome.state == "LATE":
                cut_short = {"number": 0, "state": "LATE", "score": outcome.score, **_attributes(outcome, values)}
                return _result(estimator, training, tuning, space, [cut_short], {})
            inside = {key: value for key, value in values.items() if contains(space[key], value)}
            study.add_baseline(inside, outcome.score, attributes=_attributes(outcome, values))
        for trial in study.proposals(tuning.n_trials):
            values = suggest(trial, estimator, space)
            parameters, feature_values = _divided(values)
            outcome = trials.run(estimator.with_parameters(training, parameters), feature_values, trial)
            if outcome.state == "LATE":
                break
            pruned = outcome.state == "PRUNED"
            study.finish(trial, outcome.score, pruned=pruned, attributes=_attributes(outcome, values))
    finished = [
        {"number": trial.number, "state": trial.state.name, "score": trial.value, **trial.user_attrs}
        for trial in study.trials
    ]
    return _result(estimator, training, tuning, space, finished, study.importances())


class _Trials:
    """Runs trials and tells of progress."""

    def __init__(
        self,
        estimator: type[Estimator],
        features: FeatureSource,
        y: npt.NDArray[Any],
        folds: Sequence[Fold],
        study: SearchStudy,
        tuning: TuningConfig,
        validate: CrossValidation,
        tell: ProgressCallback,
        deadline: float,
    ) -> None:
        self._estimator, self._features, self._y, self._folds = estimator, features, y, folds
        self._study, self._tuning, self._validate = study, tuning, validate
        self._tell, self._deadline = tell, deadline
        self._fitters: OrderedDict[str, FoldFitter] = OrderedDict()

    def run(self, config: TrainingConfig, features: Mapping[str, Any], trial: Trial | None = None) -> Outcome:
        """The outcome of a configuration on a set of features; `trial` may find it hopeless."""
        done, total, best = len(self._study.trials), self._tuning.n_trials, self._study.best_value
        known = f", best {self._tuning.scoring_metric} {best:.4f}" if np.isfinite(best) else ""

        def hopeless(rung: int, score: float) -> bool:
            if trial is None:
                return False
            trial.report(score, rung)
            return self._study.is_hopeless(rung, score)

        return self._validate(
            self._fitter(features),
            config,
            hopeless=hopeless,
            deadline=self._deadline,
            progress=lambda share: self._tell(done + share, total, f"trial {done + 1} of {total}{known}"),
        )

    def _fitter(self, features: Mapping[str, Any]) -> FoldFitter:
        key = json.dumps(features, sort_keys=True)
        if key not in self._fitters:
            while len(self._fitters) >= _TABLES_KEPT:
                self._fitters.popitem(last=False)
            table = self._features.table(features)
            self._fitters[key] = self._estimator.folds(table.X, self._y, self._folds, names=table.names)
        self._fitters.move_to_end(key)
        return self._fitters[key]


def _divided(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the model's parameters, and those of its features."""
    features = {key: value for key, value in values.items() if key in FEATURE_KEYS}
    return {key: value for key, value in values.items() if key not in features}, features


def _current_values(
    estimator: type[Estimator], training: TrainingConfig, features: FeatureSource, space: Space
) -> dict[str, Any]:
    """The value that the configuration gives to everything that is searched."""
    values = estimator.parameters(training).model_dump(by_alias=True) | features.current()
    return {name: values[name] for name in space}


def _attributes(outcome: Outcome, values: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a trial besides its score."""
    return {
        "foldScores": outcome.fold_scores,
        "rungScores": outcome.rung_scores,
        "rounds": outcome.rounds,
        "seconds": outcome.seconds,
        "params": {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()},
    }


def _fingerprint(
    table: FeatureTable,
    y: npt.NDArray[Any],
    folds: Sequence[Fold],
    training: TrainingConfig,
    tuning: TuningConfig,
) -> str:
    """A name that only searches with comparable scores share."""
    settings = {
        "protocol": _PROTOCOL,
        "training": training.model_dump(mode="json", exclude={"threads", "export_onnx"}),
        "tuning": tuning.model_dump(mode="json", exclude={"n_trials", "timeout_seconds"}),
        "names": table.names,
        "shape": table.X.shape,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(table.X[:: max(1, len(table.X) // FINGERPRINT_ROWS)]).tobytes())
    digest.update(np.asarray(y, dtype=np.int8).tobytes())
    for train, held_out in folds:
        digest.update(np.asarray(train, dtype=np.int64).tobytes())
        digest.update(np.asarray(held_out, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _result(
    estimator: type[Estimator],
    training: TrainingConfig,
    tuning: TuningConfig,
    space: Space,
    trials: list[dict[str, Any]],
    importances: dict[str, float],
) -> SearchResult:
    """The best trial that is clearly better than the given configuration; the earliest of equals."""
    best = max(
        (
            trial
            for trial in trials
            if trial["state"] == "COMPLETE" and is_clearly_better(trial["foldScores"], trials[0]["foldScores"])
        ),
        key=lambda trial: (trial["score"], -trial["number"]),
        default=trials[0],
    )
    parameters, features = ({}, {}) if best is trials[0] else _divided(best["params"])
    return SearchResult(
        best=estimator.with_parameters(training, parameters) if parameters else training,
        best_features=features,
        best_score=best["score"],
        baseline_score=trials[0]["score"],
        trials=trials,
        best_number=best["number"],
        method=tuning.search_method,
        metric=tuning.scoring_metric,
        space=space,
        importances=importances,
    )


def is_clearly_better(scores: Sequence[float], given: Sequence[float]) -> bool:
    """Whether the mean gain over the same folds exceeds its standard error (n - 1 degrees of freedom)."""
    gains = np.subtract(scores, given)
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))
