"""The memory of a search: which trials are finished, and what to try next.

A search thinks in memory, in batches of ``tuningConfig.workers`` trials. A batch is drawn from the state after the
batch before, each trial by a sampler that is seeded by its number and knows what was drawn before it, and is judged by
the scores of that state. Neither depends on when or where a trial of the batch is finished. As finished trials are in
the storage at once, a resumed search draws the same batch again, runs those of it that are missing, and ends as an
undisturbed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
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
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Proposal:
    """What a trial is to try.

    Attributes
    ----------
    number
        Number of the trial.
    values
        The value of each searched parameter; None for trial 0, which is the configuration as it is.
    """

    number: int
    values: dict[str, Any] | None


@dataclass(frozen=True)
class Batch:
    """Trials to run side by side.

    Attributes
    ----------
    study
        Name of the search.
    proposals
        Its trials, those left out that the storage held already.
    bars
        The score that a trial needs at each rung, from the trials before the batch; below it a trial is hopeless.
    """

    study: str
    proposals: list[Proposal]
    bars: dict[int, float]


class SearchStudy:
    """Trials of one search.

    Parameters
    ----------
    estimator, space, tuning
        What is searched, and how.
    storage
        Keeps finished trials; None: nothing does.
    name
        Only searches with comparable scores have the same.
    """

    def __init__(
        self,
        estimator: type[Estimator],
        space: Space,
        tuning: TuningConfig,
        storage: TrialStorage | None,
        name: str,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._estimator, self._space, self._tuning = estimator, space, tuning
        self._storage, self._name = storage, name
        self._study = optuna.create_study(storage=InMemoryStorage(), direction="maximize")
        self._drawn: dict[int, optuna.Trial] = {}
        self._kept = storage.read() if storage else {}
        self._begun = self._whole_batches() * tuning.workers
        grid = grid_order(grid_points(estimator, space), tuning.random_state) if tuning.search_method == "grid" else ()
        self._points = islice(grid, max(0, self._begun - 1), None)
        for number in sorted(filter(lambda number: number < self._begun, self._kept), key=self._place):
            self._study.add_trial(self._kept[number])

    @property
    def trials(self) -> list[FrozenTrial]:
        """Finished trials, complete or given up as hopeless, by number."""
        finished = self._study.get_trials(deepcopy=False, states=_FINISHED)
        return sorted(finished, key=lambda trial: int(trial.user_attrs[NUMBER]))

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

    def batches(self) -> Iterator[Batch]:
        """Batches until ``nTrials`` are finished or the grid ends; all trials of one end before the next is drawn."""
        while self._begun < self._tuning.n_trials:
            first = self._begun
            self._begun = min(first + self._tuning.workers, self._tuning.n_trials)
            bars = self._bars()
            proposals = [self._draw(number) for number in range(first, self._begun)]
            asked = [proposal for proposal in proposals if proposal is not None]
            for number in (proposal.number for proposal in asked if proposal.number in self._kept):
                self._count(number, self._kept[number])
            unknown = [proposal for proposal in asked if proposal.number not in self._kept]
            if unknown:
                yield Batch(self._name, unknown, bars)
            if len(asked) < len(proposals):
                return

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
        self._count(number, trial)

    def _count(self, number: int, trial: FrozenTrial) -> None:
        """Make a trial that was drawn one of the finished ones; it keeps its place among them."""
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

    def _whole_batches(self) -> int:
        """How many batches from the first on are in the storage whole."""
        number = 0
        while number in self._kept:
            number += 1
        return number // self._tuning.workers

    def _place(self, number: int) -> tuple[int, bool, int]:
        """Where a trial stands in the study: trial 0 is not drawn, so those drawn beside it stand before it."""
        return number // self._tuning.workers, number == 0, number

    def _draw(self, number: int) -> Proposal | None:
        """The trial of that number; None if the grid has no more points."""
        if number == 0:
            return Proposal(0, None)
        self._study.sampler = self._sampler(number)
        if self._tuning.search_method == "grid":
            point = next(self._points, None)
            if point is None:
                return None
            self._study.enqueue_trial({key: stored(value) for key, value in point.items()})
        trial = self._study.ask()
        self._drawn[number] = trial
        return Proposal(number, suggest(trial, self._estimator, self._space))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence([self._tuning.random_state, number]).generate_state(1)[0])
        if self._tuning.search_method == "optuna":
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # no two of a batch in the same corner
        return optuna.samplers.RandomSampler(seed=seed)

    def _bars(self) -> dict[int, float]:
        """The score that a trial needs at each rung.

        Successive halving as it comes (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020):
        a trial goes on if it is among the best quarter of all that have come to the rung, itself and those given up
        there included. The first four go on: fewer have no quarter.
        """
        bars: dict[int, float] = {}
        if not self._tuning.pruning:
            return bars
        for rung, reached in enumerate(zip_longest(*(trial.user_attrs["rungScores"] for trial in self.trials))):
            scores = sorted((score for score in reached if score is not None), reverse=True)
            if len(scores) >= _REDUCTION:
                bars[rung] = scores[(len(scores) + 1) // _REDUCTION - 1]
        return bars
