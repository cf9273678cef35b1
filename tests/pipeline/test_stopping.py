"""SIGTERM in the middle of training, as the backend cancels a job."""

from __future__ import annotations

import json
from pathlib import Path

from tests.pipeline.backend import Json, spawn, tree
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

# Far more trees than are grown before the signal, and nothing that ends training early.
ENDLESS = {
    "threads": 1,
    "earlyStoppingRounds": 0,
    "lgbParams": {"numIterations": 100_000, "learningRate": 0.001, "minDataInLeaf": 20},
}


def is_fitting(event: Json) -> bool:
    return event.get("message") == "fitting"


def test_sigterm_while_training_leaves_what_was_there(published: Path, database: Path) -> None:
    folder = published / "models" / ORGANIZATION
    before = {path: content for path, content in tree(folder).items() if "lock" not in path}
    config = published.parent / "config.json"
    write_json(config, plant_config(database, trainingConfig=ENDLESS) | {"version": "v2"})

    stopped = spawn("train_model", config, root=published, terminate_on=is_fitting)
    assert stopped.exit_code == 143
    assert stopped.error["code"] == "STOPPED"
    assert "SIGTERM" in stopped.error["message"]
    assert {path: content for path, content in tree(folder).items() if "lock" not in path} == before
    assert not (published / "artifacts" / ORGANIZATION / "v2" / "metrics.json").exists()
    audit = (published / "artifacts" / ORGANIZATION / "audit.jsonl").read_text().splitlines()
    assert "STOPPED" in json.dumps(json.loads(audit[-1]))

    write_json(config, plant_config(database) | {"version": "v2"})
    again = spawn("train_model", config, root=published)
    assert again.exit_code == 0, again.document
    assert sorted(path.name for path in (folder / "versions").iterdir()) == ["v1", "v2"]
    assert (folder / "current").readlink().as_posix() == "versions/v1"
