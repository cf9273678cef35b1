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

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.errors import ConfigError
from ml.learning import estimators
from ml.learning.estimators.base import Estimator
from ml.learning.search.cross_validation import CrossValidation
from ml.learning.search.feature_sets import FeatureSource, SearchRows
from ml.learning.search.fingerprint import search_fingerprint
from ml.learning.search.space import Space, checked_space, contains
from ml.learning.search.storage import opened_storage
from ml.learning.search.study import SearchStudy, attributes
from ml.learning.search.trials import Trials, divided
from ml.options.learning import TrainingConfig, TuningConfig
from ml.progress import ProgressCallback, silent

SideBySide = Callable[[SearchStudy, str, float, Callable[[float], None]], None]
"""Given a study that has begun, the search's name, `time.monotonic` at which to stop, and what is told of progress,
runs the trials to their end; `ml.scale.parallel_search` does."""


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
    rows: SearchRows,
    training: TrainingConfig,
    tuning: TuningConfig,
    *,
    progress: ProgressCallback | None = None,
    storage_path: Path | None = None,
    owner: str = "",
    side_by_side: SideBySide | None = None,
) -> SearchResult:
    """Try parameters by grid, at random, or with Optuna's TPE sampler (Bergstra et al., NeurIPS 2011).

    Trial 0 is the given configuration, so the result is never worse than it on the folds. A grid combines the points
    of `grid_points` in a seeded order, at most ``nTrials`` of them. In this process, trials depend on the seed only,
    not on whether the search was interrupted. A trial that the timeout cuts short does not count; if that is trial 0,
    the result is the given configuration with the score that it had reached.

    Parameters
    ----------
    training, tuning
        The configuration to start from, and how to search.
    progress
        Called with trials done, trials at most, and a message. What it raises ends the search and reaches the caller.
    storage_path
        Optuna journal file. A search of the same data and configuration counts the finished trials in it as its own.
        One search at a time may use it. Not used where ``tuningConfig.storage`` names a database.
    owner
        ``organisation/version`` that the trials belong to.
    side_by_side
        Runs the trials in other processes. Default: one after the other in this one.

    Raises
    ------
    ConfigError
        If the search space names an unknown parameter or a value that is not allowed, or the time is too short for a
        single tree.
    TooFewFailuresError
        If a fold holds one class only.
    SourceError, MissingLibraryError
        As `ml.learning.search.storage.opened_storage`.
    """
    deadline = np.inf if tuning.timeout_seconds is None else time.monotonic() + tuning.timeout_seconds
    estimator = estimators.get(training.model_type)
    space = checked_space(estimator, training, tuning.search_space)
    table = rows.features.table({})
    name = search_fingerprint(owner, table, rows, training, tuning)
    with (
        opened_storage(tuning, storage_path, name) as storage,
        CrossValidation(rows.labels, rows.folds, tuning.scoring_metric, training.threads) as validate,
    ):
        study = SearchStudy(estimator, space, tuning, storage, name)
        trials = Trials(estimator, rows, training, validate, configured=table)
        telling = _telling(progress or silent, study, tuning)
        if not study.trials:
            current = _current_values(estimator, training, rows.features, space)
            outcome = trials.run(None, {}, deadline, telling)
            if outcome.state == "LATE":
                given = {"number": 0, "state": "LATE", "score": outcome.score, **attributes(outcome, current)}
                return _cut_short(estimator, training, tuning, space, given)
            inside = {key: value for key, value in current.items() if contains(space[key], value)}
            study.add_given(outcome, current, inside)
        study.begin()
        if side_by_side is None:
            trials.run_all(study, deadline, telling)
        else:
            del trials, table  # other processes have their own
            side_by_side(study, name, deadline, telling)
        return _result(estimator, training, tuning, space, study.rows(), study.importances())


def take_part(
    rows: SearchRows,
    training: TrainingConfig,
    tuning: TuningConfig,
    *,
    storage_path: Path | None,
    name: str,
    worker: int,
    deadline: float,
) -> None:
    """Run trials of a search that another process has begun under `name`; its other arguments are those of `search`.

    Parameters
    ----------
    worker
        Number of this process, from 1 on.
    deadline
        `time.monotonic` at which to stop.
    """
    estimator = estimators.get(training.model_type)
    space = checked_space(estimator, training, tuning.search_space)
    with (
        opened_storage(tuning, storage_path, name) as storage,
        CrossValidation(rows.labels, rows.folds, tuning.scoring_metric, training.threads) as validate,
    ):
        study = SearchStudy(estimator, space, tuning, storage, name, worker)
        trials = Trials(estimator, rows, training, validate, configured=rows.features.table({}))
        trials.run_all(study, deadline, lambda _: None)


def _telling(tell: ProgressCallback, study: SearchStudy, tuning: TuningConfig) -> Callable[[float], None]:
    """What turns the progress of running trials into that of the search."""

    def telling(running: float) -> None:
        done = len(study.trials)
        known = f", best {tuning.scoring_metric} {study.best_value:.4f}" if np.isfinite(study.best_value) else ""
        tell(done + running, tuning.n_trials, f"trial {min(done + 1, tuning.n_trials)} of {tuning.n_trials}{known}")

    return telling


def _cut_short(
    estimator: type[Estimator], training: TrainingConfig, tuning: TuningConfig, space: Space, trial: dict[str, Any]
) -> SearchResult:
    """The given configuration, as far as the time went."""
    if np.isnan(trial["score"]):
        raise ConfigError(
            f"the time of {tuning.timeout_seconds:g} s was over before the first trial had one tree",
            field="tuningConfig.timeoutSeconds",
            hint="allow more time",
        )
    return _result(estimator, training, tuning, space, [trial], {})


def _current_values(
    estimator: type[Estimator], training: TrainingConfig, features: FeatureSource, space: Space
) -> dict[str, Any]:
    """The value that the configuration gives to everything that is searched."""
    values = estimator.parameters(training).model_dump(by_alias=True) | features.current()
    return {name: values[name] for name in space}


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
    parameters, features = ({}, {}) if best is trials[0] else divided(best["params"])
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
