"""Scoring one configuration on all folds side by side, and giving up early when it is hopeless or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ml.arrays import Float64s
from ml.errors import ConfigError
from ml.learning.events.alarm_rows import is_alarm
from ml.learning.folds.fitting import Fold, FoldFit, FoldFitter
from ml.learning.thresholds.f1 import best_f1_threshold
from ml.options.learning import TrainingConfig
from ml.windows.parallel import available_cpus

_CHUNK = 10  # rounds between two looks at progress; folds take turns, so that none waits for another's end
_PATIENCE = 0.2  # seconds between two looks at the clock while a round takes long


@dataclass(frozen=True)
class TrialOutcome:
    """What became of one configuration.

    Attributes
    ----------
    score
        Mean over folds, of the rounds that each would keep.
    fold_scores, rounds
        Score and kept rounds of each fold.
    seconds
        Wall time.
    rung_scores
        Score at each rung that was reached.
    state
        ``COMPLETE``, ``PRUNED`` (given up as hopeless) or ``LATE`` (time was up).
    """

    score: float
    fold_scores: list[float]
    rounds: list[int]
    seconds: float
    rung_scores: list[float]
    state: str


class CrossValidation:
    """Scores configurations on folds that grow side by side.

    Every fold is fitted by its own threads, so that folds x threads never exceed the CPUs; with as few threads as
    folds, a score does not depend on the number of CPUs.

    Parameters
    ----------
    y
        Labels of all rows, shape (n_rows,).
    folds
        ``(train, held_out)`` row positions.
    metric
        One of ``tuningConfig.scoringMetric``.
    threads
        CPU threads to use in all. Default: those that this process may use.
    """

    def __init__(self, y: npt.NDArray[Any], folds: Sequence[Fold], metric: str, threads: int | None) -> None:
        self._labels = [y[held_out] for _, held_out in folds]
        self._metric = metric
        cpus = threads or available_cpus()
        self._workers = min(cpus, len(folds))
        self._threads = cpus // self._workers

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._workers)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(
        self,
        fitter: FoldFitter,
        config: TrainingConfig,
        *,
        hopeless: Callable[[int, float], bool],
        deadline: float,
        progress: Callable[[float], None],
    ) -> TrialOutcome:
        """The score of a configuration.

        Parameters
        ----------
        fitter
            Fits on the folds' rows.
        hopeless
            Called with a rung's number and the score there; true gives the configuration up.
        deadline
            `time.monotonic` at which to stop; then the outcome is of the rounds until there.
        progress
            Called with the share of rounds done; what it raises ends the fits and reaches the caller.
        """
        started = time.monotonic()
        settings = config.model_copy(update={"threads": self._threads})
        fits = [fitter.begin(number, settings) for number in range(len(self._labels))]
        rungs = fitter.rungs(settings)
        scores: list[list[float]] = []
        state = "COMPLETE"
        for number, rounds in enumerate(rungs):
            in_time = self._grow(fits, rounds, deadline, progress)
            scores.append([self._score(fit, label) for fit, label in zip(fits, self._labels, strict=True)])
            if not in_time:
                state = "LATE"
            elif number + 1 < len(rungs) and not all(fit.done for fit in fits):
                if not hopeless(number, float(np.mean(scores[-1]))):
                    continue
                state = "PRUNED"
            break
        means = [float(np.mean(each)) for each in scores]
        seconds = round(time.monotonic() - started, 3)
        return TrialOutcome(means[-1], scores[-1], [fit.rounds for fit in fits], seconds, means, state)

    def _score(self, fit: FoldFit, label: npt.NDArray[Any]) -> float:
        return score(self._metric, label, fit.probability) if fit.grown else float("nan")

    def _grow(self, fits: Sequence[FoldFit], until: int, deadline: float, progress: Callable[[float], None]) -> bool:
        """Fit all folds up to a number of rounds; false if the deadline came first."""
        given_up = False

        def stop() -> bool:
            return given_up or time.monotonic() >= deadline

        def unfinished(fit: FoldFit) -> bool:
            return not fit.done and fit.grown < until

        def begin(fit: FoldFit) -> Future[None]:
            return self._pool.submit(fit.advance, min(_CHUNK, until - fit.grown), stop)

        running = {begin(fit): fit for fit in fits if unfinished(fit)}
        try:
            while running:
                finished, _ = wait(running, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    fit = running.pop(future)
                    if unfinished(fit) and not stop():
                        running[begin(fit)] = fit
                progress(float(np.mean([1.0 if fit.done else fit.grown / fit.total for fit in fits])))
        finally:
            given_up = True
            wait(running)
        return not any(unfinished(fit) for fit in fits)


def score(metric: str, label: npt.NDArray[Any], probability: Float64s) -> float:
    """A scoring metric, larger is better: log loss is negated.

    Metrics of alarms (F1, precision, recall, accuracy) are those at the threshold of the best F1 for these rows: by
    itself, recall would be best with an alarm that never ends, and precision with a single row.

    Raises ConfigError if the metric is not one of ``tuningConfig.scoringMetric``.
    """
    from sklearn import metrics

    match metric:
        case "average_precision":
            return float(metrics.average_precision_score(label, probability))
        case "roc_auc":
            return float(metrics.roc_auc_score(label, probability))
        case "f1" | "precision" | "recall" | "accuracy":
            alarm = is_alarm(probability, best_f1_threshold(label, probability))
            if metric == "accuracy":
                return float(metrics.accuracy_score(label, alarm))
            of_alarms = {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}
            return float(of_alarms[metric](label, alarm, zero_division=0.0))
        case "log_loss":
            return -float(metrics.log_loss(label, probability))
    raise ConfigError(f'unknown scoring metric "{metric}"', field="tuningConfig.scoringMetric")
