"""A search that is killed at any moment goes on, and ends as one that was not."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.learning.search.feature_sets import FeatureTable, SearchRows
from ml.learning.search.search import SearchResult, search
from ml.options.learning import TrainingConfig, TuningConfig
from tests.unit.learning.feature_tables import feature_table, names

REPOSITORY = Path(__file__).resolve().parents[4]
TRIALS = 40
KILLS = 10


def run(journal: Path, method: str) -> SearchResult:
    """The search that is killed here: one thread, and trials that take a few hundredths of a second."""
    X, y = feature_table(300)
    third = np.arange(300) % 3
    folds = [(np.flatnonzero(third != number), np.flatnonzero(third == number)) for number in range(3)]
    training = TrainingConfig.model_validate({"threads": 1, "lgbParams": {"numIterations": 60}})
    tuning = TuningConfig.model_validate({"searchMethod": method, "nTrials": TRIALS})
    return search(SearchRows(FeatureTable(X, names()), y, folds), training, tuning, storage_path=journal)


def outcome(result: SearchResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in result.trials]


def start(journal: Path, method: str) -> subprocess.Popen[bytes]:
    program = f"from pathlib import Path; from {__name__} import run; run(Path({str(journal)!r}), {method!r})"
    return subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)


def finished(journal: Path) -> list[Any]:
    """What Optuna wrote when each trial was finished."""
    if not journal.exists():
        return []
    lines = [line for line in journal.read_bytes().split(b"\n")[:-1] if line]
    # 4: a trial was created, the first one as a finished one; 6: one has another state. States: complete 1, pruned 2
    return [entry for entry in map(json.loads, lines) if entry["op_code"] in (4, 6) and entry.get("state") in (1, 2)]


@pytest.mark.parametrize("method", ["optuna"])
def test_ten_kills_lose_no_finished_trial_and_change_no_result(tmp_path: Path, method: str) -> None:
    undisturbed = run(tmp_path / "undisturbed.log", method)
    journal = tmp_path / "killed.log"
    moments = random.Random(7)
    kept: list[Any] = []
    for kill in range(1, KILLS + 1):
        process = start(journal, method)
        goal = len(kept) + moments.randint(1, 2)
        while process.poll() is None and len(finished(journal)) < min(goal, TRIALS - 1):
            time.sleep(0.002)
        time.sleep(moments.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it ended by itself before kill {kill}"
        now = finished(journal)
        assert now[: len(kept)] == kept
        kept = now
    assert len(kept) >= KILLS
    resumed = run(journal, method)
    assert outcome(resumed) == outcome(undisturbed)
    assert resumed.best == undisturbed.best
    assert resumed.importances == undisturbed.importances
    assert finished(journal)[: len(kept)] == kept
    assert len(finished(journal)) == TRIALS


@pytest.mark.parametrize("method", ["grid", "random", "optuna"])
@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_journal_cut_anywhere_goes_on_with_its_whole_lines(tmp_path: Path, method: str, cut: int) -> None:
    whole = run(tmp_path / "whole.log", method)
    content = (tmp_path / "whole.log").read_bytes()
    journal = tmp_path / "cut.log"
    journal.write_bytes(content[: len(content) // 2 - cut])
    left = len(finished(journal))
    assert 0 < left < TRIALS
    resumed = run(journal, method)
    assert outcome(resumed) == outcome(whole)
    kept = [trial["seconds"] for trial in whole.trials[:left]]
    assert [trial["seconds"] for trial in resumed.trials[:left]] == kept
