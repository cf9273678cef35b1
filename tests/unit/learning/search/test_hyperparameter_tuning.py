from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.config import OrganizationConfig
from ml.errors import IsolationError
from ml.ingest import inputs
from ml.ingest.prepared.data import Prepared
from ml.scripts.hyperparameter_tuning import run
from tests.unit.learning.grid_frames import regular_plant


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the results in a workspace whose prepared data is a small plant."""
    frame = regular_plant(2, 900, 60, horizon=600)
    frame["segment"] = frame["asset_id"].factorize()[0].astype(np.int32)
    rng = np.random.default_rng(0)
    for sensor in ("pressure", "temperature"):
        frame[sensor] = (rng.normal(size=len(frame)) + (frame["label"] == 1)).astype(np.float32)
    prepared = Prepared(frame, {}, interval=60, max_gap=120)
    monkeypatch.setattr(inputs, "prepared_data", lambda *_, **__: inputs.Input(prepared, "", ""))
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path))
    return tmp_path / "artifacts/plant_a/v1/hyperparameter_results"


def config(**features: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "version": "v1",
            "schemaConfig": {"continuousColumns": ["pressure", "temperature"]},
            "dataConfig": {"predictionHorizonSeconds": 600},
            "featureConfig": features,
            "trainingConfig": {"lgbParams": {"numIterations": 5}, "threads": 1},
            "tuningConfig": {"nTrials": 2, "cvFolds": 2, "searchMethod": "random"},
        }
    )


def scores(results: Path) -> Any:
    return [trial["foldScores"] for trial in json.loads((results / "trials.json").read_text())["trials"]]


def test_selection_is_left_out_of_the_search_and_kept_for_training(results: Path) -> None:
    plain = run(config()).to_json()
    on_all_features = scores(results)
    selected = run(config(selection={"method": "f_test", "k": 1})).to_json()
    assert scores(results) == on_all_features
    assert (plain["selection"], selected["selection"]) == ("none", "not used in the search")
    tuned = OrganizationConfig.load_from_file(Path(selected["trainingConfigPath"]))
    assert tuned.feature_config.selection.k == 1


@pytest.mark.parametrize("name", ["journal.log", "training_config.json"])
def test_a_planted_link_is_refused_before_the_search(results: Path, tmp_path: Path, name: str) -> None:
    foreign = tmp_path / "artifacts/plant_b/v1/hyperparameter_results/journal.log"
    for folder in (foreign.parent, results):
        folder.mkdir(parents=True)
    foreign.write_text("theirs")
    (results / name).symlink_to(foreign)
    with pytest.raises(IsolationError):
        run(config())
    assert foreign.read_text() == "theirs"
    assert [file.name for file in results.iterdir()] == [name]


@pytest.mark.parametrize("method", ["grid", "optuna"])
def test_windows_and_families_are_searched_and_written_into_the_training_configuration(
    results: Path, method: str
) -> None:
    start = config()
    space = {
        "rollingWindows": {"choices": [[3], [5, 20]]},
        "families": {"choices": [["raw", "rolling"], ["raw"]]},
        "numLeaves": {"choices": [4]},
    }
    tuning = start.tuning_config.model_validate(
        {"searchSpace": space, "nTrials": 5, "cvFolds": 2, "searchMethod": method, "pruning": False}
    )
    found = run(start.model_copy(update={"tuning_config": tuning}))
    trials = json.loads((results / "trials.json").read_text())["trials"]
    assert len(trials) == 5
    assert all(trial["params"]["rollingWindows"] in ([3], [5, 20]) for trial in trials[1:])
    best = max(trials, key=lambda trial: (trial["score"], -trial["number"]))
    tuned = OrganizationConfig.load_from_file(found.training_config)
    if best["number"] > 0:
        assert list(tuned.schema_config.rolling_windows or ()) == best["params"]["rollingWindows"]
        on = [name for name, family in tuned.feature_config.families if family.enabled]
        assert on == best["params"]["families"]
    else:
        assert tuned.schema_config == start.schema_config


def test_scores_of_shuffled_rows_say_that_they_leak(results: Path) -> None:
    purged = run(config()).to_json()
    assert "folds" not in purged
    assert "leaks" not in (results / "trials.csv").read_text()
    given = config()
    tuning = given.tuning_config.model_copy(update={"shuffled_folds": "leaks"})
    leaking = run(given.model_copy(update={"tuning_config": tuning, "version": "v2"})).to_json()
    assert leaking["folds"] == "leaks"
    folder = results.parents[1] / "v2/hyperparameter_results"
    for name in ("trials.json", "best_parameters.json"):
        assert json.loads((folder / name).read_text())["folds"] == "leaks"
    lines = (folder / "trials.csv").read_text().splitlines()
    assert lines[0].endswith(",folds")
    assert all(line.endswith(",leaks") for line in lines[1:])
