"""The memory of a search: which trials are finished, and what to try next.

A search thinks in memory. With ``tuningConfig.workers`` above 1, trials run beside each other, and trial n is drawn
from the results of trial n - lag and those before it. What lies between may be running or finished, and is known by
its parameters only; so each draw, by a sampler that is seeded by the trial's number, is the same wherever, whenever
and in whatever order trials are finished. As finished trials are in the storage at once, a resumed search draws again
what is missing, and ends as an undisturbed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, islice, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from ml.learning.search_space import distributions, grid_order, grid_points, stored, suggest
from ml.learning.search_storage import NUMBER, TrialStorage

if TYPE_CHECKING:
    from ml.learning.cross_validation import Outcome
    from ml.learning.estimators.base import Estimator
    from ml.learning.search_space import Space
    from ml.options.learning import TuningConfig

_REDUCTION = 4  # one in so many trials at a rung goes on to the next: the default of successive halving
_AHEAD = 2
"""Trials that may be drawn ahead for each worker: with fewer, workers wait long for those that run longest; with more,
trials learn late from others."""


@dataclass(frozen=True)
class Proposal:
    """What a trial is to try.

    Attributes
    ----------
    number
        Number of the trial.
    values
        The value of each searched parameter; None for trial 0, which is the configuration as it is.
    bars
        The score that it needs at each rung, from the trials that it was drawn from; below it the trial is hopeless.
    """

    number: int
    values: dict[str, Any] | None
    bars: dict[int, float]


class SearchStudy:
    """Trials of one search.

    Parameters
    ----------
    estimator, space, tuning
        What is searched, and how.
    storage
        Keeps finished trials; None: nothing does.
    """

    def __init__(
        self, estimator: type[Estimator], space: Space, tuning: TuningConfig, storage: TrialStorage | None
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._estimator, self._space, self._tuning, self._storage = estimator, space, tuning, storage
        self._lag = 1 if tuning.workers == 1 else _AHEAD * tuning.workers
        self._study = optuna.create_study(storage=InMemoryStorage(), direction="maximize")
        self._finished = storage.read() if storage else {}
        self._drawn: dict[int, optuna.Trial] = {}
        self._next = next(number for number in count() if number not in self._finished)
        grid = grid_order(grid_points(estimator, space), tuning.random_state) if tuning.search_method == "grid" else ()
        self._points = islice(grid, max(0, self._next - 1), None)
        self._restore()

    @property
    def trials(self) -> list[FrozenTrial]:
        """Finished trials, complete or given up as hopeless, by number."""
        return [trial for _, trial in sorted(self._finished.items())]

    @property
    def best_value(self) -> float:
        """Best score of a complete trial; -inf if there is none."""
        return max((trial.value for trial in self.trials if trial.state == TrialState.COMPLETE), default=-np.inf)

    def importances(self) -> dict[str, float]:
        """Share of each searched value in the scores' variance, by fANOVA (Hutter et al., ICML 2014).

        Over complete trials; empty where there are fewer than two different scores.
        """
        compared = optuna.create_study(storage=InMemoryStorage(), direction="maximize")
        for trial in self.trials:
            # trial 0 may have values that the space does not hold
            if trial.state == TrialState.COMPLETE and set(trial.params) == set(self._space):
                compared.add_trial(trial)
        if len({trial.value for trial in compared.get_trials(deepcopy=False)}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._tuning.random_state)
        return dict(optuna.importance.get_param_importances(compared, evaluator=evaluator))

    def draw(self) -> Proposal | None:
        """The next trial to run; None while a trial that it is drawn from is unfinished, and at the end of the search.

        That is when ``nTrials`` are drawn, the grid has no more points, or the search was closed.
        """
        while self._next < self._tuning.n_trials:
            number, known = self._next, self._next - self._lag
            if known >= 0:
                if known not in self._finished:
                    return None
                self._count(known)
            proposal = self._propose(number)
            if proposal is None:
                self.close()
                return None
            self._next += 1
            if number not in self._finished:
                return proposal
        return None

    def close(self) -> None:
        """Draw no more trials; those that are running may still be finished."""
        self._next = self._tuning.n_trials

    def finish(self, number: int, outcome: Outcome, attributes: dict[str, Any], current: Mapping[str, Any]) -> None:
        """Count a trial, also in the storage.

        Parameters
        ----------
        attributes
            What is kept of it besides.
        current
            For trial 0: those values of the configuration that the space holds.
        """
        scores = dict(enumerate(outcome.rung_scores))
        pruned = outcome.state == "PRUNED"
        if number == 0:
            known = distributions(self._estimator, self._space)
            params = {name: stored(value) for name, value in current.items()}
        else:
            drawn = self._drawn[number]
            known, params = drawn.distributions, drawn.params
            if not pruned:
                del scores[len(scores) - 1]  # the end is no rung, at which others could be compared
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
            value=outcome.score,
            params=params,
            distributions={name: known[name] for name in params},
            user_attrs={NUMBER: number, **attributes},
            intermediate_values=scores,
        )
        if self._storage is not None:
            self._storage.add(trial)
        self._finished[number] = trial

    def _restore(self) -> None:
        """Bring the study into the state in which the next trial was drawn, or would have been."""
        for number in sorted(range(self._next), key=self._place):
            trial = self._finished[number]
            if number < self._next - self._lag:
                self._study.add_trial(trial)
            elif number > 0:
                self._study.enqueue_trial(trial.params)
                self._drawn[number] = self._study.ask()
                suggest(self._drawn[number], self._estimator, self._space)

    def _place(self, number: int) -> float:
        """Where a trial stands in the study: trial 0, which is not drawn, before the first that knows its result."""
        return number or self._lag - 0.5

    def _count(self, number: int) -> None:
        """From now on, draw trials from the result of this one; one that was drawn keeps its place in the study."""
        trial = self._finished[number]
        if number == 0:
            self._study.add_trial(trial)
            return
        drawn = self._drawn.pop(number)
        for key, value in trial.user_attrs.items():
            drawn.set_user_attr(key, value)
        for rung, score in trial.intermediate_values.items():
            drawn.report(score, rung)
        if trial.state == TrialState.PRUNED:
            self._study.tell(drawn, state=TrialState.PRUNED)
        else:
            self._study.tell(drawn, trial.value)

    def _propose(self, number: int) -> Proposal | None:
        """The trial of that number; None if the grid has no more points."""
        if number == 0:
            return Proposal(0, None, {})
        self._study.sampler = self._sampler(number)
        if self._tuning.search_method == "grid":
            point = next(self._points, None)
            if point is None:
                return None
            self._study.enqueue_trial({key: stored(value) for key, value in point.items()})
        trial = self._study.ask()
        self._drawn[number] = trial
        return Proposal(number, suggest(trial, self._estimator, self._space), self._bars())

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence([self._tuning.random_state, number]).generate_state(1)[0])
        if self._tuning.search_method == "optuna":
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # keeps away from what is running
        return optuna.samplers.RandomSampler(seed=seed)

    def _bars(self) -> dict[int, float]:
        """The score that the next trial needs at each rung.

        Successive halving as it comes (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020):
        a trial goes on if it is among the best quarter of all that have come to the rung, itself and those given up
        there included. The first four go on: fewer have no quarter.
        """
        bars: dict[int, float] = {}
        if not self._tuning.pruning:
            return bars
        known = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        for rung, reached in enumerate(zip_longest(*(trial.user_attrs["rungScores"] for trial in known))):
            scores = sorted((score for score in reached if score is not None), reverse=True)
            if len(scores) >= _REDUCTION:
                bars[rung] = scores[(len(scores) + 1) // _REDUCTION - 1]
        return bars
