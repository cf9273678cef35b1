"""Searching the parameters of a model on purged event folds.

Each trial is one set of parameters. It is fitted once per fold and scored on the fold's held-out rows, and its score
is the mean over folds. LightGBM stops early by the same held-out rows, so scores are slightly optimistic; every trial
gets the same advantage, and the final verdict falls on the test part, which no search sees. The number of trees is
not searched: folds report the rounds they stopped at (``rounds``, and their mean), and training finds its own by early
stopping on the validation part.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.errors import ConfigError
from ml.learning import estimators
from ml.learning.estimators.base import Estimator, FloatMatrix, Fold
from ml.learning.search_space import (
    Space,
    checked_space,
    contains,
    current_values,
    distributions,
    grid_points,
    suggest,
)
from ml.learning.thresholds import best_f1_threshold, is_alarm
from ml.options.learning import TrainingConfig, TuningConfig
from ml.progress import ProgressCallback

if TYPE_CHECKING:
    import optuna
    from optuna.storages.journal import JournalFileBackend


LOCK_SUFFIX = ".lock"
"""What Optuna appends to the journal's name for its lock file."""
FINGERPRINT_ROWS = 1_000  # enough to notice other data; hashing all of it would take longer than a trial


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    best: TrainingConfig
    """The given configuration with the parameters of the best trial."""
    best_score: float
    baseline_score: float
    """Score of the given configuration as it is, which is trial 0."""
    trials: list[dict[str, Any]]
    """Per trial: number, state, score, foldScores, rounds, seconds, params."""
    best_number: int
    method: str
    metric: str


def search(
    X: FloatMatrix,
    y: npt.NDArray[Any],
    folds: Sequence[Fold],
    training: TrainingConfig,
    tuning: TuningConfig,
    *,
    names: Sequence[str],
    progress: ProgressCallback | None = None,
    storage_path: Path | None = None,
) -> SearchResult:
    """Try parameters by grid, at random, or with Optuna's TPE sampler (Bergstra et al., NeurIPS 2011).

    Trial 0 is the given configuration, so the result is never worse than it on the folds. A grid combines the points
    of `grid_points` in a seeded order, at most ``nTrials`` of them.

    Parameters
    ----------
    X, y
        Features, float32 of shape (n_rows, n_features), and labels 0 and 1 of shape (n_rows,).
    folds
        ``(train, held_out)`` row positions in `X`, as from `ml.learning.splits.EventFolds`.
    training, tuning
        The configuration to start from, and how to search.
    names
        Feature names.
    progress
        Called with trials done, trials at most, and a message after each fold. What it raises ends the search and
        reaches the caller.
    storage_path
        Optuna journal file; while it is written, a lock file has its name and `LOCK_SUFFIX`. A search of the same
        data and configuration counts the finished trials in it as its own.

    Raises
    ------
    ConfigError
        If the search space names an unknown parameter or a value that is not allowed.
    TooFewFailuresError
        If a fold holds one class only.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    estimator = estimators.get(training.model_type)
    space = checked_space(estimator, training, tuning.search_space)
    evaluate = _Evaluation(X, y, folds, training, tuning, names, progress)
    study = _open_study(estimator, space, tuning, storage_path, _fingerprint(X, y, folds, training, tuning, names))

    started = time.monotonic()
    if not _completed(study):
        outcome = evaluate(training, 0)
        study.add_trial(_baseline_trial(estimator, training, space, outcome))
    evaluate.best = study.best_value

    def objective(trial: optuna.Trial) -> float:
        config = estimator.with_parameters(training, suggest(trial, estimator, space))
        outcome = evaluate(config, len(_completed(study)))
        for key, value in outcome.items():
            trial.set_user_attr(key, value)
        return float(outcome["score"])

    remaining = tuning.n_trials - len(_completed(study))
    budget = None if tuning.timeout_seconds is None else tuning.timeout_seconds - (time.monotonic() - started)
    if remaining > 0 and (budget is None or budget > 0):
        study.optimize(objective, n_trials=remaining, timeout=budget)
    return _result(estimator, training, tuning, study)


class _Evaluation:
    """Scores configurations on the folds and tells of progress."""

    def __init__(
        self,
        X: FloatMatrix,
        y: npt.NDArray[Any],
        folds: Sequence[Fold],
        training: TrainingConfig,
        tuning: TuningConfig,
        names: Sequence[str],
        progress: ProgressCallback | None,
    ) -> None:
        self.X, self.y, self.folds, self.tuning, self.progress = X, y, folds, tuning, progress
        self.fitter = estimators.get(training.model_type).folds(X, y, folds, names=names)
        self.best = -np.inf

    def __call__(self, config: TrainingConfig, done: int) -> dict[str, Any]:
        """Score, score and rounds of each fold, and seconds; `done` trials came before."""
        started = time.monotonic()
        scores: list[float] = []
        rounds: list[int] = []
        for number, (_, held_out) in enumerate(self.folds):
            model = self.fitter.fit(number, config)
            scores.append(score(self.tuning.scoring_metric, self.y[held_out], model.predict(self.X[held_out])))
            rounds.append(model.rounds)
            self._report(done, number + 1)
        mean = float(np.mean(scores))
        self.best = max(self.best, mean)
        seconds = round(time.monotonic() - started, 3)
        return {"score": mean, "foldScores": scores, "rounds": rounds, "seconds": seconds}

    def _report(self, done: int, folds_done: int) -> None:
        if self.progress is None:
            return
        total = self.tuning.n_trials
        best = f", best {self.tuning.scoring_metric} {self.best:.4f}" if np.isfinite(self.best) else ""
        self.progress(done + folds_done / len(self.folds), total, f"trial {done + 1} of {total}{best}")


def score(metric: str, label: npt.NDArray[Any], probability: npt.NDArray[np.float64]) -> float:
    """A scoring metric, larger is better: log loss is negated, F1 is that at the best threshold for these rows.

    Raises
    ------
    ConfigError
        If the metric is not one of ``tuningConfig.scoringMetric``.
    """
    from sklearn import metrics

    match metric:
        case "average_precision":
            return float(metrics.average_precision_score(label, probability))
        case "roc_auc":
            return float(metrics.roc_auc_score(label, probability))
        case "f1":
            return float(metrics.f1_score(label, is_alarm(probability, best_f1_threshold(label, probability))))
        case "log_loss":
            return -float(metrics.log_loss(label, probability))
    raise ConfigError(f'unknown scoring metric "{metric}"', field="tuningConfig.scoringMetric")


def _open_study(
    estimator: type[Estimator], space: Space, tuning: TuningConfig, storage_path: Path | None, fingerprint: str
) -> optuna.Study:
    import optuna
    from optuna.storages import InMemoryStorage, JournalStorage

    storage = InMemoryStorage() if storage_path is None else JournalStorage(_journal(str(storage_path)))
    study = optuna.create_study(storage=storage, study_name=fingerprint, direction="maximize", load_if_exists=True)
    # A resumed random search must not draw the values of its first trials again.
    seed = tuning.random_state + len(_completed(study))
    match tuning.search_method:
        case "grid":
            study.sampler = optuna.samplers.GridSampler(grid_points(estimator, space), seed=tuning.random_state)
        case "random":
            study.sampler = optuna.samplers.RandomSampler(seed=seed)
        case "optuna":
            study.sampler = optuna.samplers.TPESampler(seed=seed)
    return study


def _journal(path: str) -> JournalFileBackend:
    """The journal, locked by a plain file: Optuna's default lock is a link, as a planted one would be."""
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    return JournalFileBackend(path, lock_obj=JournalFileOpenLock(path))


def _fingerprint(
    X: FloatMatrix,
    y: npt.NDArray[Any],
    folds: Sequence[Fold],
    training: TrainingConfig,
    tuning: TuningConfig,
    names: Sequence[str],
) -> str:
    """A name that only searches with comparable scores share."""
    settings = {
        "training": training.model_dump(mode="json", exclude={"threads", "export_onnx"}),
        "tuning": tuning.model_dump(mode="json", exclude={"n_trials", "timeout_seconds"}),
        "names": list(names),
        "shape": X.shape,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(X[:: max(1, len(X) // FINGERPRINT_ROWS)]).tobytes())
    digest.update(np.asarray(y, dtype=np.int8).tobytes())
    for train, held_out in folds:
        digest.update(np.asarray(train, dtype=np.int64).tobytes())
        digest.update(np.asarray(held_out, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _baseline_trial(
    estimator: type[Estimator], training: TrainingConfig, space: Space, outcome: dict[str, Any]
) -> optuna.trial.FrozenTrial:
    """The given configuration as a finished trial; Optuna is told those of its values that the space holds."""
    from optuna.trial import create_trial

    values = current_values(estimator, training, space)
    inside = {name: value for name, value in values.items() if contains(space[name], value)}
    known = distributions(estimator, space)
    return create_trial(
        value=outcome["score"],
        params=inside,
        distributions={name: known[name] for name in inside},
        user_attrs={**outcome, "params": values},
    )


def _completed(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _result(
    estimator: type[Estimator], training: TrainingConfig, tuning: TuningConfig, study: optuna.Study
) -> SearchResult:
    """The best trial; the earliest of equals, so that the given configuration wins a tie."""
    trials = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "score": trial.value,
            "foldScores": trial.user_attrs.get("foldScores", []),
            "rounds": trial.user_attrs.get("rounds", []),
            "seconds": trial.user_attrs.get("seconds"),
            "params": trial.user_attrs.get("params", trial.params),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    completed = [trial for trial in trials if trial["state"] == "COMPLETE"]
    best = max(completed, key=lambda trial: (trial["score"], -trial["number"]))
    is_baseline = best is completed[0]
    return SearchResult(
        best=training if is_baseline else estimator.with_parameters(training, best["params"]),
        best_score=best["score"],
        baseline_score=completed[0]["score"],
        trials=trials,
        best_number=best["number"],
        method=tuning.search_method,
        metric=tuning.scoring_metric,
    )
