"""Several processes that ask and tell one study: no trial twice, none too many, and what a dead one held comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from ml.errors import BusyError, StoppedError
from ml.learning import estimators
from ml.learning.search.cross_validation import CrossValidation
from ml.learning.search.feature_sets import FeatureTable, SearchRows
from ml.learning.search.search import SearchResult, search, take_part
from ml.learning.search.space import checked_space
from ml.learning.search.storage import opened_storage
from ml.learning.search.study import SearchStudy
from ml.learning.search.trials import Trials
from ml.options.learning import TrainingConfig, TuningConfig
from tests.unit.learning.feature_tables import feature_table, names

TRIALS = 16
THIRD = np.arange(300) % 3
FOLDS = [(np.flatnonzero(number != THIRD), np.flatnonzero(number == THIRD)) for number in range(3)]
X, Y = feature_table(300)
TABLE = FeatureTable(X, names())
ROWS = SearchRows(TABLE, Y, FOLDS)
TRAINING = TrainingConfig.model_validate({"threads": 1, "lgbParams": {"numIterations": 30}, "earlyStoppingRounds": 0})
GRID = 1 + 3 * 3  # the given configuration, and three values of each parameter
SPACE = {"learningRate": {"low": 0.02, "high": 0.3, "log": True}, "minDataInLeaf": {"low": 5, "high": 150}}


def tuning(method: str = "optuna", **options: Any) -> TuningConfig:
    return TuningConfig.model_validate(
        {"searchMethod": method, "nTrials": TRIALS, "workers": 3, "searchSpace": SPACE} | options
    )


def run(settings: TuningConfig, **options: Any) -> SearchResult:
    return search(ROWS, TRAINING, settings, **options)


def threads_of(
    settings: TuningConfig, journal: Path, workers: int = 3
) -> Callable[[SearchStudy, str, float, Callable[[float], None]], None]:
    """Workers as threads with a storage each, which know as little of each other as processes do."""

    def run_side_by_side(study: SearchStudy, name: str, deadline: float, _: Callable[[float], None]) -> None:
        def work(worker: int) -> None:
            shared = {"storage_path": journal, "name": name, "worker": worker, "deadline": deadline}
            take_part(ROWS, TRAINING, settings, **shared)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(1, workers + 1)))
        study.refresh()

    return run_side_by_side


@pytest.mark.parametrize("method", ["grid", "random", "optuna"])
def test_workers_share_the_trials_of_one_search(tmp_path: Path, method: str) -> None:
    settings, journal = tuning(method), tmp_path / "journal.log"
    result = run(settings, storage_path=journal, side_by_side=threads_of(settings, journal))
    trials = GRID if method == "grid" else TRIALS
    assert [trial["number"] for trial in result.trials] == list(range(trials))
    assert {trial["state"] for trial in result.trials} <= {"COMPLETE", "PRUNED"}
    tried = {tuple(trial["params"].values()) for trial in result.trials}
    assert len(tried) == trials
    assert result.trials[0]["score"] == result.baseline_score <= result.best_score
    again: list[float] = []
    assert run(settings, storage_path=journal, progress=lambda *told: again.append(told[0])).trials == result.trials
    assert again == []


def test_a_grid_that_ends_early_ends_for_all(tmp_path: Path) -> None:
    settings = tuning("grid", searchSpace={"numLeaves": {"choices": [3, 4, 5, 6]}}, pruning=False)
    journal = tmp_path / "journal.log"
    result = run(settings, storage_path=journal, side_by_side=threads_of(settings, journal))
    assert sorted(trial["params"]["numLeaves"] for trial in result.trials[1:]) == [3, 4, 5, 6]
    alone = run(settings)
    assert {trial["score"] for trial in alone.trials} == {trial["score"] for trial in result.trials}


def study_in(storage: optuna.storages.BaseStorage, settings: TuningConfig, worker: int) -> SearchStudy:
    estimator = estimators.get("lightgbm")
    return SearchStudy(
        estimator, checked_space(estimator, TRAINING, settings.search_space), settings, storage, "plant/v1/x", worker
    )


@pytest.mark.parametrize("method", ["grid", "random"])
def test_the_trial_of_a_dead_process_is_run_by_another(tmp_path: Path, method: str) -> None:
    settings, journal = tuning(method), tmp_path / "journal.log"
    died: list[dict[str, Any]] = []

    def dies_in_a_trial(study: SearchStudy, name: str, deadline: float, progress: Callable[[float], None]) -> None:
        proposal = study.draw()
        assert proposal is not None
        died.append(proposal.values)
        study.begin()
        threads_of(settings, journal)(study, name, deadline, progress)

    result = run(settings, storage_path=journal, side_by_side=dies_in_a_trial)
    assert len(result.trials) == (GRID if method == "grid" else TRIALS)
    if method == "grid":
        assert [trial["params"] for trial in result.trials].count(died[0]) == 1


def test_a_trial_that_another_search_has_ended_is_told(tmp_path: Path) -> None:
    """As of two machines that run the same search on one database, out of sight of each other's locks."""
    with opened_storage(tuning(), tmp_path / "journal.log", "plant/v1/x") as storage:
        study = study_in(storage, tuning(), 0)
        proposal = study.draw()
        assert proposal is not None
        with opened_storage(tuning(), tmp_path / "journal.log", "plant/v1/x") as same:
            study_in(same, tuning(), 0).begin()
        with CrossValidation(Y, FOLDS, "average_precision", 1) as validate:
            trials = Trials(estimators.get("lightgbm"), ROWS, TRAINING, validate, configured=TABLE)
            outcome = trials.run(proposal.values, {}, float("inf"), lambda _: None)
        with pytest.raises(BusyError, match="another search"):
            study.finish(proposal, outcome)


def test_a_trial_that_is_cut_short_does_not_count(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"

    def cut_short(study: SearchStudy, *_: Any) -> None:
        proposal = study.draw()
        assert proposal is not None
        with CrossValidation(Y, FOLDS, "average_precision", 1) as validate:
            trials = Trials(estimators.get("lightgbm"), ROWS, TRAINING, validate, configured=TABLE)
            study.finish(proposal, replace(trials.run(proposal.values, {}, 0.0, lambda _: None), state="LATE"))

    assert [trial["number"] for trial in run(tuning(), storage_path=journal, side_by_side=cut_short).trials] == [0]
    alone = run(tuning(workers=1), storage_path=journal)
    assert [trial["params"] for trial in alone.trials] == [trial["params"] for trial in run(tuning(workers=1)).trials]


def test_no_two_workers_draw_the_same_and_none_draws_too_many(tmp_path: Path) -> None:
    settings = tuning("random", nTrials=4)
    with opened_storage(settings, tmp_path / "journal.log", "plant/v1/x") as storage:
        studies = [study_in(storage, settings, worker) for worker in (1, 2, 3)]
        drawn = [study.draw() for _ in range(2) for study in studies]
        values = [tuple(proposal.values.values()) for proposal in drawn if proposal is not None]
        assert len(set(values)) == len(values) == 4
        states = [trial.state for trial in storage.get_all_trials(0)]
        assert states.count(TrialState.RUNNING) == 4


def test_trials_are_compared_with_all_that_came_to_the_rung_before() -> None:
    whole = run(tuning("random", workers=1, nTrials=20, pruning=False))
    result = run(tuning("random", workers=1, nTrials=20))
    for trial in result.trials:
        before = [other["rungScores"] for other in result.trials[: trial["number"]]]
        rungs = whole.trials[trial["number"]]["rungScores"]
        expected = next((end for end in range(1, len(rungs)) if is_hopeless(rungs[:end], before)), None)
        assert (trial["state"] == "PRUNED") == (expected is not None)
        assert trial["rungScores"] == rungs[:expected]
    assert 3 < sum(trial["state"] == "PRUNED" for trial in result.trials) < 18


def is_hopeless(scores: list[float], before: list[list[float]]) -> bool:
    """By definition: four at least were here, and a quarter of them and this one together were better."""
    here = [others[len(scores) - 1] for others in before if len(others) >= len(scores)]
    better = [other for other in here if other > scores[-1]]
    return len(here) >= 4 and len(better) >= (len(here) + 1) // 4


def test_features_are_computed_once_for_each_set_of_them() -> None:
    asked: list[str] = []

    class Source(FeatureTable):
        def table(self, values: Mapping[str, Any]) -> FeatureTable:
            asked.append(str(values))
            return self

    source = Source(X, names())
    with CrossValidation(Y, FOLDS, "average_precision", 1) as validate:
        trials = Trials(estimators.get("lightgbm"), SearchRows(source, Y, FOLDS), TRAINING, validate, configured=source)
        for values in (None, {"numLeaves": 4}, {"rollingWindows": (5,)}, {"rollingWindows": (5,), "numLeaves": 4}):
            trials.run(values, {}, float("inf"), lambda _: None)
    assert asked == [str({"rollingWindows": (5,)})]


def test_another_number_of_workers_goes_on_with_the_same_search(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"

    def stop(done: float, *_: Any) -> None:
        if done > 5.5:
            raise StoppedError("stopped")

    with pytest.raises(StoppedError):
        run(tuning(workers=1), storage_path=journal, progress=stop)
    settings, seen = tuning(workers=2), []

    def note(study: SearchStudy, *rest: Any) -> None:
        seen.append(len(study.trials))
        threads_of(settings, journal, 2)(study, *rest)

    assert len(run(settings, storage_path=journal, side_by_side=note).trials) == TRIALS
    assert seen == [5]


def test_a_line_that_a_killed_process_has_left_half_written_is_cut_off_by_the_next(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    run(tuning(workers=1, nTrials=3), storage_path=journal)
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    assert len(run(tuning(workers=1, nTrials=4), storage_path=journal).trials) == 4
    assert journal.read_bytes().startswith(whole + b"{")
    assert b'"wor{' not in journal.read_bytes()
