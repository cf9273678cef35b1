"""The memory of a search: which trials are finished, what to try next, and a journal that survives its process.

A search thinks in memory and writes each finished trial to the journal as one line. After kill -9 the journal therefore
holds whole trials only (a torn last line is cut off), and a resumed search is in the state in which an undisturbed one
was at that trial. As each trial's sampler is seeded by the trial's number, both go on alike, and end alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from ml.learning.search_space import distributions, grid_order, grid_points, stored

if TYPE_CHECKING:
    from ml.learning.estimators.base import Estimator
    from ml.learning.search_space import Space
    from ml.options.learning import TuningConfig

LOCK_SUFFIX = ".lock"
"""What Optuna appends to the journal's name for its lock file."""
_REDUCTION = 4  # one in so many trials at a rung goes on to the next: the default of the paper below


class SearchStudy:
    """Trials of one search, in the order of their numbers.

    Parameters
    ----------
    estimator, space, tuning
        What is searched, and how.
    journal
        Journal file, or None to keep nothing. One process at a time may use it.
    name
        Only searches with comparable scores have the same.
    """

    def __init__(
        self, estimator: type[Estimator], space: Space, tuning: TuningConfig, journal: Path | None, name: str
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._estimator, self._space, self._tuning = estimator, space, tuning
        self._study = optuna.create_study(storage=InMemoryStorage(), direction="maximize")
        self._journal = None if journal is None else _open(journal, name)
        for trial in self._journal.get_trials(deepcopy=False) if self._journal else ():
            self._study.add_trial(trial)

    @property
    def trials(self) -> list[FrozenTrial]:
        """Finished trials: complete, or given up as hopeless."""
        return list(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))

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

    def proposals(self, n_trials: int) -> Iterator[optuna.Trial]:
        """Trials, each to be finished before the next is drawn, until `n_trials` are finished or the grid ends."""
        grid: Iterator[Mapping[str, Any]] | None = None
        if self._tuning.search_method == "grid":
            order = grid_order(grid_points(self._estimator, self._space), self._tuning.random_state)
            grid = islice(order, len(self.trials) - 1, None)
        while len(self.trials) < n_trials:
            self._study.sampler = self._sampler(len(self.trials))
            if grid is not None:
                point = next(grid, None)
                if point is None:
                    return
                self._study.enqueue_trial({key: stored(value) for key, value in point.items()})
            yield self._study.ask()

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence([self._tuning.random_state, number]).generate_state(1)[0])
        if self._tuning.search_method == "optuna":
            return optuna.samplers.TPESampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)

    def is_hopeless(self, rung: int, score: float) -> bool:
        """Whether a trial with this score at a rung is given up there.

        Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
        2020): a trial goes on if it is among the best quarter of all that have come to this rung, itself and those
        given up included. The first four at a rung go on: fewer have no quarter.
        """
        if not self._tuning.pruning:
            return False
        reached = [scores[rung] for trial in self.trials if len(scores := trial.user_attrs["rungScores"]) > rung]
        promoted = (len(reached) + 1) // _REDUCTION
        return len(reached) >= _REDUCTION and sum(other > score for other in reached) >= promoted

    def finish(self, trial: optuna.Trial, score: float, *, pruned: bool, attributes: dict[str, Any]) -> None:
        """Count a trial, also in the journal."""
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        if pruned:
            self._keep(self._study.tell(trial, state=TrialState.PRUNED))
        else:
            self._keep(self._study.tell(trial, score))

    def add_baseline(self, values: dict[str, Any], score: float, *, attributes: dict[str, Any]) -> None:
        """Count the given configuration; `values` are those of its parameters that the space holds."""
        known = distributions(self._estimator, self._space)
        rungs = dict(enumerate(attributes["rungScores"]))
        trial = optuna.trial.create_trial(
            value=score,
            params={name: stored(value) for name, value in values.items()},
            distributions={name: known[name] for name in values},
            user_attrs=attributes,
            intermediate_values=rungs,
        )
        self._study.add_trial(trial)
        self._keep(trial)

    def _keep(self, trial: FrozenTrial) -> None:
        if self._journal is not None:
            self._journal.add_trial(trial)


def _open(path: Path, name: str) -> optuna.Study:
    _clear_after_kill(path)
    # Locked by a plain file: Optuna's default lock is a link, as a planted one would be.
    backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
    return optuna.create_study(
        storage=JournalStorage(backend), study_name=name, direction="maximize", load_if_exists=True
    )


def _clear_after_kill(path: Path) -> None:
    """Cut off a line that was being written, and drop the lock that its writer held."""
    path.with_name(path.name + LOCK_SUFFIX).unlink(missing_ok=True)
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
