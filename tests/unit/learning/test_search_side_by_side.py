"""A search on many workers: what it finds depends on their number, not on where, when or how often trials run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from ml.errors import StoppedError
from ml.learning import estimators
from ml.learning.cross_validation import CrossValidation, Outcome
from ml.learning.feature_sets import FeatureTable
from ml.learning.search import SearchResult, search
from ml.learning.search_storage import opened_storage
from ml.learning.search_study import Proposal
from ml.learning.search_trials import Trials
from ml.options.learning import TrainingConfig, TuningConfig
from tests.unit.learning.feature_tables import feature_table, names

TRIALS, WORKERS = 24, 3
LAG = 2 * WORKERS  # a trial is drawn from those that are so many before it, and earlier
THIRD = np.arange(300) % 3
FOLDS = [(np.flatnonzero(number != THIRD), np.flatnonzero(number == THIRD)) for number in range(3)]
X, Y = feature_table(300)
TRAINING = TrainingConfig.model_validate({"threads": 1, "lgbParams": {"numIterations": 30}, "earlyStoppingRounds": 0})
SPACE = {"learningRate": {"low": 0.02, "high": 0.3, "log": True}, "minDataInLeaf": {"low": 5, "high": 150}}


def run(method: str = "optuna", workers: int = WORKERS, **options: Any) -> SearchResult:
    settings = {"searchMethod": method, "nTrials": TRIALS, "workers": workers, "searchSpace": SPACE}
    tuning = TuningConfig.model_validate(settings | options.pop("tuning", {}))
    return search(FeatureTable(X, names()), Y, FOLDS, TRAINING, tuning, **options)


@cache
def undisturbed(method: str) -> SearchResult:
    return run(method)


def outcome(result: SearchResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in result.trials]


class Shuffled:
    """Finishes trials that run side by side in an order of its own, and stops after some, as a killed search does."""

    def __init__(self, seed: int, stop_after: int | None = None) -> None:
        self._random, self._left = random.Random(seed), stop_after
        self.ran: list[int] = []

    def __call__(
        self, _: str, draw: Callable[[], Proposal | None], deadline: float, __: Callable[[float], None]
    ) -> Iterator[tuple[Proposal, Outcome]]:
        running: list[Proposal] = []
        while True:
            while len(running) < WORKERS and (proposal := draw()) is not None:
                running.append(proposal)
            if not running:
                return
            if self._left == len(self.ran):
                raise StoppedError("stopped")
            chosen = running.pop(self._random.randrange(len(running)))
            self.ran.append(chosen.number)
            with CrossValidation(Y, FOLDS, "average_precision", 1) as validate:
                table = FeatureTable(X, names())
                # New ones for each trial, as on a worker that has just been started.
                trials = Trials(estimators.get("lightgbm"), table, Y, FOLDS, TRAINING, validate, configured=table)
                yield chosen, trials.run(chosen.values, chosen.bars, deadline, lambda _: None)


@pytest.mark.parametrize("method", ["grid", "random", "optuna"])
def test_the_order_in_which_trials_finish_changes_nothing(method: str) -> None:
    first, other = undisturbed(method), run(method, runner=Shuffled(1))
    assert outcome(other) == outcome(first)
    assert (other.best, other.importances) == (first.best, first.importances)
    assert [trial["number"] for trial in first.trials] == list(range(len(first.trials)))
    assert {trial["state"] for trial in first.trials} == {"COMPLETE", "PRUNED"}


@pytest.mark.parametrize(("method", "finished"), [("grid", 5), ("optuna", 1), ("optuna", 5), ("optuna", 13)])
def test_a_stopped_search_runs_what_is_missing_and_ends_alike(tmp_path: Path, method: str, finished: int) -> None:
    journal = tmp_path / "journal.log"
    stopped, resumed = Shuffled(finished, stop_after=finished), Shuffled(finished + 1)
    with pytest.raises(StoppedError):
        run(method, runner=stopped, storage_path=journal)
    assert outcome(run(method, runner=resumed, storage_path=journal)) == outcome(undisturbed(method))
    assert sorted(stopped.ran + resumed.ran) == list(range(len(undisturbed(method).trials)))
    again = Shuffled(0)
    assert outcome(run(method, runner=again, storage_path=journal)) == outcome(undisturbed(method))
    assert again.ran == []


@pytest.mark.parametrize("finished", [LAG, LAG + 3])
def test_more_trials_later_are_those_of_a_longer_search(tmp_path: Path, finished: int) -> None:
    journal = tmp_path / "journal.log"
    run(storage_path=journal, tuning={"nTrials": finished})
    more = Shuffled(2)
    assert outcome(run(runner=more, storage_path=journal)) == outcome(undisturbed("optuna"))
    assert sorted(more.ran) == list(range(finished, TRIALS))


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_trials_are_judged_by_all_that_came_to_the_rung_and_that_they_were_drawn_from(workers: int) -> None:
    whole = run(workers=workers, tuning={"pruning": False, "searchMethod": "random"})
    result = run(workers=workers, tuning={"searchMethod": "random"})
    for trial in result.trials:
        known = max(0, trial["number"] - (1 if workers == 1 else LAG) + 1)
        before = [other["rungScores"] for other in result.trials[:known]]
        rungs = whole.trials[trial["number"]]["rungScores"]
        expected = next((end for end in range(1, len(rungs)) if is_hopeless(rungs[:end], before)), None)
        assert (trial["state"] == "PRUNED") == (expected is not None)
        assert trial["rungScores"] == rungs[:expected]
    assert 3 < sum(trial["state"] == "PRUNED" for trial in result.trials) < 21


def is_hopeless(scores: list[float], before: list[list[float]]) -> bool:
    """By definition: four at least were here, and a quarter of them and this one together were better."""
    here = [others[len(scores) - 1] for others in before if len(others) >= len(scores)]
    better = [other for other in here if other > scores[-1]]
    return len(here) >= 4 and len(better) >= (len(here) + 1) // 4


def test_a_trial_that_is_cut_short_does_not_count_and_those_beside_it_do(tmp_path: Path) -> None:
    journal, missing = tmp_path / "journal.log", Shuffled(5)

    def run_out_of_time(*arguments: Any) -> Iterator[tuple[Proposal, Outcome]]:
        for proposal, found in Shuffled(4)(*arguments):
            yield proposal, replace(found, state="LATE") if proposal.number == 4 else found

    kept = [trial["number"] for trial in run(runner=run_out_of_time, storage_path=journal).trials]
    assert 4 not in kept
    assert max(kept) > 4
    assert outcome(run(runner=missing, storage_path=journal)) == outcome(undisturbed("optuna"))
    assert sorted(missing.ran + kept) == list(range(TRIALS))


def test_features_are_computed_once_for_each_set_of_them() -> None:
    asked: list[str] = []

    class Source(FeatureTable):
        def table(self, values: Mapping[str, Any]) -> FeatureTable:
            asked.append(str(values))
            return self

    source = Source(X, names())
    with CrossValidation(Y, FOLDS, "average_precision", 1) as validate:
        trials = Trials(estimators.get("lightgbm"), source, Y, FOLDS, TRAINING, validate, configured=source)
        for values in (None, {"numLeaves": 4}, {"rollingWindows": (5,)}, {"rollingWindows": (5,), "numLeaves": 4}):
            trials.run(values, {}, float("inf"), lambda _: None)
    assert asked == [str({"rollingWindows": (5,)})]


def test_another_number_of_workers_is_another_search(tmp_path: Path) -> None:
    journal, other = tmp_path / "journal.log", Shuffled(3)
    run(storage_path=journal)
    run(workers=2, runner=other, storage_path=journal)
    assert sorted(other.ran) == list(range(TRIALS))


def test_a_trial_that_was_kept_twice_counts_once(tmp_path: Path) -> None:
    """As after two machines have run the same search on one database, out of sight of each other's locks."""
    journal = tmp_path / "journal.log"
    tuning = TuningConfig()
    first = run(storage_path=journal)
    with opened_storage(tuning, journal, "x") as storage:
        assert storage is not None
        assert storage.read() == {}
        for seconds in (1.0, 2.0):
            trial = optuna.trial.create_trial(value=seconds, user_attrs={"number": 4})
            storage.add(trial)
        assert {number: trial.value for number, trial in storage.read().items()} == {4: 1.0}
    assert outcome(run(storage_path=journal)) == outcome(first)
