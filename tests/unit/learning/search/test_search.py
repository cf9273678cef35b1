from __future__ import annotations

import csv
import io
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from ml.errors import ConfigError, StoppedError
from ml.learning import estimators
from ml.learning.search.cross_validation import score
from ml.learning.search.feature_sets import FeatureTable, SearchRows
from ml.learning.search.results import write_results
from ml.learning.search.search import SearchResult, is_clearly_better, search
from ml.learning.search.space import checked_space, grid_points
from ml.options.learning import SearchRange, TrainingConfig, TuningConfig
from tests.unit.learning.feature_tables import feature_table, names

METHODS = ("grid", "random", "optuna")
SPACE = {
    "numLeaves": {"low": 3, "high": 15, "log": True},
    "learningRate": {"choices": [0.05, 0.2]},
    "minDataInLeaf": {"low": 5, "high": 55},
}
FILES = (
    "trials.csv", "trials.json", "best_parameters.json", "history.png", "importance.png", "parallel_coordinates.png",
)  # fmt: skip


def training(**lgb_params: Any) -> TrainingConfig:
    params = {"numIterations": 20, "numLeaves": 4, **lgb_params}
    return TrainingConfig.model_validate({"lgbParams": params, "earlyStoppingRounds": 5, "threads": 1})


def tuning(method: str = "random", **options: Any) -> TuningConfig:
    return TuningConfig.model_validate({"searchMethod": method, "nTrials": 4, "searchSpace": SPACE, **options})


def run(method: str = "random", *, start: TrainingConfig | None = None, **options: Any) -> SearchResult:
    X, y = feature_table(300)
    third = np.arange(300) % 3
    folds = [(np.flatnonzero(third != number), np.flatnonzero(third == number)) for number in range(3)]
    extra = {key: options.pop(key) for key in ("progress", "storage_path") if key in options}
    table = FeatureTable(X, names())
    return search(SearchRows(table, y, folds), start or training(), tuning(method, **options), **extra)


def without_seconds(result: SearchResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in result.trials]


@pytest.mark.parametrize("method", METHODS)
def test_trial_0_is_the_given_configuration_and_the_best_is_no_worse(method: str) -> None:
    result = run(method)
    assert [trial["number"] for trial in result.trials] == [0, 1, 2, 3]
    assert result.trials[0]["params"] == {"numLeaves": 4, "learningRate": 0.03, "minDataInLeaf": 50}
    assert result.trials[0]["score"] == result.baseline_score
    assert result.best_score == max(trial["score"] for trial in result.trials) >= result.baseline_score
    best = result.trials[result.best_number]
    assert result.best.lgb_params.num_leaves == best["params"]["numLeaves"]
    assert result.best.lgb_params.num_iterations == 20
    for trial in result.trials:
        assert trial["score"] == pytest.approx(np.mean(trial["foldScores"]))
        assert len(trial["rounds"]) == 3


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides_every_trial(method: str) -> None:
    first = run(method)
    assert without_seconds(first) == without_seconds(run(method))
    other = run(method, randomState=1)
    assert [trial["params"] for trial in first.trials] != [trial["params"] for trial in other.trials]


def test_a_grid_ends_when_every_point_was_tried_once() -> None:
    space = {"learningRate": {"choices": [0.05, 0.2]}, "numLeaves": {"low": 3, "high": 12, "log": True}}
    result = run("grid", searchSpace=space, nTrials=50)
    points = [tuple(trial["params"].values()) for trial in result.trials[1:]]
    assert sorted(points) == [(rate, leaves) for rate in (0.05, 0.2) for leaves in (3, 6, 12)]


def test_a_start_outside_the_space_is_still_trial_0() -> None:
    result = run("optuna", start=training(learningRate=0.33, numLeaves=64))
    assert result.trials[0]["params"]["learningRate"] == 0.33
    assert result.trials[0]["params"]["numLeaves"] == 64
    assert len(result.trials) == 4


def test_the_given_configuration_wins_a_tie() -> None:
    start = training()
    result = run("grid", searchSpace={"verbosity": {"choices": [-1, -2]}}, start=start)
    assert result.best is start
    assert result.best_number == 0


def test_a_gain_within_its_standard_error_is_no_reason_to_leave_the_given_configuration() -> None:
    given = [0.90, 0.80, 0.70]
    assert is_clearly_better([0.91, 0.82, 0.73], given)
    # means of 0.02 and 0.01; standard errors of 0.021 and 0
    assert not is_clearly_better([0.96, 0.82, 0.68], given)
    assert is_clearly_better([0.91, 0.81, 0.71], given)
    assert not is_clearly_better(given, given)


def test_a_forest_can_be_searched() -> None:
    start = TrainingConfig.model_validate({"modelType": "random_forest", "rfParams": {"nEstimators": 5}, "threads": 1})
    result = run("optuna", start=start, searchSpace=None, nTrials=3)
    assert len(result.trials) == 3
    assert set(result.trials[1]["params"]) == {"minSamplesLeaf", "maxFeatures", "maxSamples", "criterion"}


def test_progress_rises_to_the_end_and_tells_the_best_score() -> None:
    seen: list[tuple[float, float, str]] = []
    result = run(progress=lambda *told: seen.append(told))
    done = [told[0] for told in seen]
    assert done == sorted(done)
    assert seen[-1][:2] == (pytest.approx(4), 4)
    assert f"best average_precision {max(t['score'] for t in result.trials[:3]):.4f}" in seen[-1][2]


def test_being_stopped_ends_the_search_and_keeps_finished_trials(tmp_path: Path) -> None:
    def stop(done: float, total: float, message: str) -> None:
        if done > 2.5:
            raise StoppedError(f"{message}: {done} of {total}")

    journal = tmp_path / "study.log"
    with pytest.raises(StoppedError):
        run(progress=stop, storage_path=journal)
    seen: list[float] = []
    result = run(progress=lambda done, *_: seen.append(done), storage_path=journal)
    assert min(seen) > 2
    assert sum(trial["state"] == "COMPLETE" for trial in result.trials) == 4
    drawn = [tuple(trial["params"].values()) for trial in result.trials if trial["state"] == "COMPLETE"]
    assert len(set(drawn)) == 4


def test_a_journal_of_another_search_is_not_taken_for_this_one(tmp_path: Path) -> None:
    run(storage_path=tmp_path / "study.log")
    seen: list[float] = []
    run(progress=lambda done, *_: seen.append(done), storage_path=tmp_path / "study.log", scoringMetric="roc_auc")
    assert min(seen) < 1


def test_a_hopeless_trial_is_given_up_and_counts_as_one() -> None:
    space = {"learningRate": {"choices": [0.1]}, "minDataInLeaf": {"choices": [5, 10, 30, 60, 140, 145, 150, 155]}}
    start = training(numIterations=60, learningRate=0.1, minDataInLeaf=5)
    start = start.model_copy(update={"early_stopping_rounds": 0})
    pruned = run("grid", start=start, searchSpace=space, nTrials=9)
    whole = run("grid", start=start, searchSpace=space, nTrials=9, pruning=False)
    states = [trial["state"] for trial in pruned.trials]
    assert "PRUNED" in states
    assert {trial["state"] for trial in whole.trials} == {"COMPLETE"}
    assert [trial["params"] for trial in pruned.trials] == [trial["params"] for trial in whole.trials]
    before: list[list[float]] = []
    for cut, full in zip(pruned.trials, whole.trials, strict=True):
        rungs = cut["rungScores"]
        assert rungs == full["rungScores"][: len(rungs)]
        if cut["state"] == "PRUNED":
            there = [scores[len(rungs) - 1] for scores in before if len(scores) >= len(rungs)]
            assert rungs[-1] < sorted(there)[-((len(there) + 1) // 4)]
        else:
            assert cut["score"] == full["score"]
        before.append(rungs)


def test_a_time_too_short_for_one_tree_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr("ml.learning.search.search.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(ConfigError, match="before the first trial had one tree"):
        run(timeoutSeconds=50)


def test_the_timeout_holds_inside_a_trial() -> None:
    begun = time.monotonic()
    start = training(numIterations=100_000)
    result = run(start=start.model_copy(update={"early_stopping_rounds": 0}), timeoutSeconds=1, nTrials=50)
    assert time.monotonic() - begun < 20  # 100,000 rounds take minutes
    assert [trial["state"] for trial in result.trials] == ["LATE"]
    assert (result.best_number, result.best_score) == (0, result.baseline_score)
    assert np.isfinite(result.best_score)


def test_optuna_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run("optuna")
    out, err = capfd.readouterr()
    assert (out, err, caplog.text) == ("", "", "")


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"numLeavs": {"choices": [3]}}, r"searchSpace\.numLeavs"),
        ({"numLeaves": {"low": 1, "high": 5}}, r"searchSpace\.numLeaves"),
        ({"numLeaves": {"low": 2.5, "high": 5}}, r"searchSpace\.numLeaves"),
        ({"featureFraction": {"low": 0.5, "high": 1.5}}, r"searchSpace\.featureFraction"),
        ({"linearTree": {"choices": [True]}}, r"searchSpace\.linearTree"),
        ({}, "searchSpace is empty"),
    ],
)
def test_a_space_that_is_not_allowed_is_refused_before_any_trial(space: dict[str, Any], words: str) -> None:
    seen: list[float] = []
    with pytest.raises(ConfigError, match=words):
        run(searchSpace=space, progress=lambda done, *_: seen.append(done))
    assert not seen


def test_grid_points_of_intervals_are_ends_and_middle() -> None:
    kind = estimators.get("lightgbm")
    space = {
        "numLeaves": SearchRange(low=4, high=64, log=True),
        "featureFraction": SearchRange(low=0.2, high=1.0),
        "maxDepth": SearchRange(low=3, high=3),
    }
    points = grid_points(kind, checked_space(kind, training(), space))
    assert points == {"numLeaves": [4, 16, 64], "featureFraction": [0.2, pytest.approx(0.6), 1.0], "maxDepth": [3]}
    assert all(type(value) is int for value in points["numLeaves"])


def test_scores_are_those_of_scikit_learn_larger_being_better() -> None:
    rng = np.random.default_rng(0)
    label, probability = rng.integers(0, 2, 200), np.round(rng.random(200), 2)
    assert score("average_precision", label, probability) == average_precision_score(label, probability)
    assert score("roc_auc", label, probability) == roc_auc_score(label, probability)
    assert score("log_loss", label, probability) == -log_loss(label, probability)
    every = [f1_score(label, probability >= threshold) for threshold in np.unique(probability)]
    assert score("f1", label, probability) == pytest.approx(max(every))
    best = probability >= np.unique(probability)[int(np.argmax(every))]
    assert score("accuracy", label, probability) == pytest.approx(np.mean(best == label))
    with pytest.raises(ConfigError):
        score("balanced_accuracy", label, probability)


def test_results_are_written_as_table_json_picture_and_configuration(tmp_path: Path) -> None:
    result = run()
    write_results(tmp_path, result)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text())))
    assert [float(row["score"]) for row in rows] == [trial["score"] for trial in result.trials]
    assert [int(row["numLeaves"]) for row in rows] == [trial["params"]["numLeaves"] for trial in result.trials]
    kept = json.loads((tmp_path / "trials.json").read_text())
    assert kept["trials"] == result.trials
    best = json.loads((tmp_path / "best_parameters.json").read_text())
    assert TrainingConfig.model_validate(best["trainingConfig"]) == result.best
    assert best["features"] == {}
    assert kept["importances"] == result.importances
    assert set(result.importances) == set(SPACE)
    assert sum(result.importances.values()) == pytest.approx(1)
    for name in FILES[-3:]:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_results_replace_a_planted_link_and_leave_its_target_alone(tmp_path: Path) -> None:
    foreign, results = tmp_path / "foreign", tmp_path / "results"
    results.mkdir()
    foreign.write_text("theirs")
    files = [results / name for name in FILES]
    for file in files:
        file.symlink_to(foreign)
    write_results(results, run())
    assert foreign.read_text() == "theirs"
    assert not any(file.is_symlink() for file in files)
    assert sorted(results.iterdir()) == sorted(files)


def test_no_lock_of_the_journal_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a link was made")

    monkeypatch.setattr("os.symlink", refuse)
    run(storage_path=tmp_path / "study.log")
    assert [file.name for file in tmp_path.iterdir()] == ["study.log"]
