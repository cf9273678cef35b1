"""All five steps of an organisation in a fleet, the parameter search included: the later steps train with its best."""

from __future__ import annotations

import json
from pathlib import Path

from ml.evaluation.checks.gates import GATES
from tests.pipeline.backend import STEPS, fleet
from tests.pipeline.small_plant import ORGANIZATION
from tests.pipeline.test_fleet import row_of, write_config

TRAINING = {"threads": 4, "lgbParams": {"numLeaves": 4, "numIterations": 40, "learningRate": 0.1, "minDataInLeaf": 20}}
SEARCH = {"nTrials": 3, "cvFolds": 2, "workers": 2, "searchSpace": {"numLeaves": {"choices": [5, 6, 7]}}}


def test_all_five_steps_publish_what_the_search_has_found(database: Path, root: Path, tmp_path: Path) -> None:
    """Two trials side by side take no more than the one CPU of the task, and a scheduler of the fleet is not theirs."""
    configs = tmp_path / "configs"
    gates = dict.fromkeys(GATES) | {"robustnessRows": 100, "latencyRuns": 5}
    write_config(configs, database, ORGANIZATION, trainingConfig=TRAINING, tuningConfig=SEARCH, validationConfig=gates)
    outcome = fleet(configs, "--cpus", "1", "--memory", "4G", root=root)
    assert outcome.document["counts"] == {"done": 1}, outcome.document
    row = row_of(outcome, ORGANIZATION)
    assert [step["step"] for step in row["steps"]] == list(STEPS)
    assert row["verdict"] == "PASSED"
    results = root / "artifacts" / ORGANIZATION / "v1" / "hyperparameter_results"
    tuned = json.loads((results / "training_config.json").read_text())["trainingConfig"]["lgbParams"]
    best = json.loads((results / "best_parameters.json").read_text())
    assert len(json.loads((results / "trials.json").read_text())["trials"]) == 3
    assert best["trainingConfig"]["lgbParams"]["numLeaves"] == tuned["numLeaves"]
    model = root / "models" / ORGANIZATION / "current" / "model.txt"
    assert f"[num_leaves: {tuned['numLeaves']}]" in model.read_text()
    again = fleet(configs, "--cpus", "1", "--memory", "4G", root=root)
    assert again.document["counts"] == {"unchanged": 1}
