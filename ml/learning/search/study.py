"""The trials of one search: an Optuna study in a storage that one process, or several, ask and tell.

A process that searches alone seeds each draw by the trial's number and draws it from all trials before it, so the seed
decides the search, however often it was interrupted. Several processes draw from what is finished at the moment, and
keep away from what the others are trying (Optuna's constant liar): which trial ends first decides what comes next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from ml.learning.search.space import distributions, grid_order, grid_points, stored, suggest
from ml.learning.search.storage import plain_refusals

if TYPE_CHECKING:
    from ml.learning.estimators.base import Estimator
    from ml.learning.search.cross_validation import TrialOutcome
    from ml.learning.search.space import Space
    from ml.options.learning import TuningConfig

_REDUCTION = 4  # one in so many trials at a rung goes on to the next: the default of successive halving
_OUTCOME = "outcome"  # attribute of a trial
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Proposal:
    """What a trial is to try.

    Attributes
    ----------
    trial
        Optuna's.
    values
        The value of each searched parameter.
    bars
        The score that it needs at each rung, from the trials finished before it; below it the trial is hopeless.
    """

    trial: optuna.Trial
    values: dict[str, Any]
    bars: dict[int, float]


class SearchStudy:
    """Trials of one search. What reads or changes the storage raises SourceError if a database refuses.

    Parameters
    ----------
    estimator, space, tuning
        What is searched, and how.
    storage
        Keeps the trials.
    name
        Of the search; the storage may hold others.
    worker
        Number of this process among those that search together, from 1 on; 0: it searches alone.
    """

    def __init__(
        self,
        estimator: type[Estimator],
        space: Space,
        tuning: TuningConfig,
        storage: BaseStorage,
        name: str,
        worker: int = 0,
    ) -> None:
        self._estimator, self._space, self._tuning, self._worker = estimator, space, tuning, worker
        self._storage = storage
        self._limit = tuning.n_trials
        if tuning.search_method == "grid":
            self._limit = min(self._limit, 1 + math.prod(map(len, grid_points(estimator, space).values())))
        with plain_refusals():
            self._study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
        self.trials: list[FrozenTrial] = []
        """Finished trials, complete or given up as hopeless, in the order in which they were begun."""
        self.refresh()

    @property
    def best_value(self) -> float:
        """Best score of a complete trial; -inf if there is none."""
        return max((trial.value for trial in self.trials if trial.state == TrialState.COMPLETE), default=-np.inf)

    @property
    def missing(self) -> int:
        """How many trials are still to be finished."""
        return max(0, self._limit - len(self.trials))

    def rows(self) -> list[dict[str, Any]]:
        """The finished trials as the results show them."""
        return [
            {"number": number, "state": trial.state.name, "score": trial.value, **trial.user_attrs[_OUTCOME]}
            for number, trial in enumerate(self.trials)
        ]

    def importances(self) -> dict[str, float]:
        """Share of each searched value in the scores' variance, by fANOVA (Hutter et al., ICML 2014).

        Over complete trials; empty where there are fewer than two different scores.
        """
        compared = optuna.create_study(storage=InMemoryStorage(), direction="maximize")
        for trial in self.trials:
            # the given configuration may have values that the space does not hold
            if trial.state == TrialState.COMPLETE and set(trial.params) == set(self._space):
                compared.add_trial(trial)
        if len({trial.value for trial in compared.get_trials(deepcopy=False)}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._tuning.random_state)
        return dict(optuna.importance.get_param_importances(compared, evaluator=evaluator))

    def refresh(self) -> None:
        """See what other processes have finished."""
        with plain_refusals():
            self.trials = self._study.get_trials(deepcopy=False, states=_FINISHED)

    def begin(self) -> None:
        """Count as failed what a killed process has left unfinished, and line up the points of a grid.

        After the given configuration, and while no other process searches.
        """
        with plain_refusals():
            study = self._storage.get_study_id_from_name(self._study.study_name)
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
                identity = self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)
                self._storage.set_trial_state_values(identity, state=TrialState.FAIL)
            if self._tuning.search_method == "grid":
                self._line_up_grid()

    def add_given(self, outcome: TrialOutcome, values: Mapping[str, Any], inside: Mapping[str, Any]) -> None:
        """Count the given configuration as the first trial.

        Parameters
        ----------
        values, inside
            Its values of what is searched, and those of them that the space holds.
        """
        known = distributions(self._estimator, self._space)
        with plain_refusals():
            self._study.add_trial(
                optuna.trial.create_trial(
                    value=outcome.score,
                    params={name: stored(value) for name, value in inside.items()},
                    distributions={name: known[name] for name in inside},
                    user_attrs={_OUTCOME: attributes(outcome, values)},
                )
            )
        self.refresh()

    def draw(self) -> Proposal | None:
        """The next trial to run; None when ``nTrials`` are begun, or the grid has no more points."""
        with plain_refusals():
            begun = self._begun()
            if sum(trial.state != TrialState.WAITING for trial in begun) >= self._limit:
                return None
            self._study.sampler = self._sampler(len(begun))
            trial = self._study.ask()
            if sum(other.number < trial.number for other in self._begun()) >= self._limit:  # others were quicker
                self._study.tell(trial, state=TrialState.FAIL)
                return None
            self.refresh()
            return Proposal(trial, suggest(trial, self._estimator, self._space), self._bars())

    def finish(self, proposal: Proposal, outcome: TrialOutcome) -> None:
        """Count a trial; it is in the storage when this returns. One whose time was up counts as failed."""
        with plain_refusals():
            if outcome.state == "LATE":
                self._study.tell(proposal.trial, state=TrialState.FAIL, skip_if_finished=True)
                return
            proposal.trial.set_user_attr(_OUTCOME, attributes(outcome, proposal.values))
            if outcome.state == "PRUNED":
                proposal.trial.report(outcome.score, len(outcome.rung_scores) - 1)
                self._study.tell(proposal.trial, state=TrialState.PRUNED)
            else:
                self._study.tell(proposal.trial, outcome.score)
        self.refresh()

    def _begun(self) -> list[FrozenTrial]:
        """Trials that count: finished, running, or lined up."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]

    def _line_up_grid(self) -> None:
        """Have the points of the grid tried that were not tried yet, in their order."""
        points = grid_order(grid_points(self._estimator, self._space), self._tuning.random_state)
        tried = [trial.params for trial in self.trials[1:]]
        for point in islice(points, self._limit - 1):
            wanted = {key: stored(value) for key, value in point.items()}
            if wanted not in tried:
                self._study.enqueue_trial(wanted)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        own = [self._worker] if self._worker else []
        seed = int(np.random.SeedSequence([self._tuning.random_state, number, *own]).generate_state(1)[0])
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
        known = (trial.user_attrs[_OUTCOME]["rungScores"] for trial in self.trials)
        for rung, reached in enumerate(zip_longest(*known)):
            scores = sorted((score for score in reached if score is not None), reverse=True)
            if len(scores) >= _REDUCTION:
                bars[rung] = scores[(len(scores) + 1) // _REDUCTION - 1]
        return bars


def attributes(outcome: TrialOutcome, values: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a trial besides its score."""
    return {
        "foldScores": outcome.fold_scores,
        "rungScores": outcome.rung_scores,
        "rounds": outcome.rounds,
        "seconds": outcome.seconds,
        "params": {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()},
    }
