"""Models that say nothing, in the place of a trained one, through validation: refused, and the sentence says why."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ml.config import OrganizationConfig
from ml.evaluation.checks.gates import GATES
from ml.evaluation.model_version import TrainedVersion, load_version
from ml.evaluation.rows import evaluated_data
from ml.learning import estimators
from ml.options.learning import TrainingConfig
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.manifest import MANIFEST
from tests.pipeline.backend import Json, run_here
from tests.pipeline.public_data import VARIABLE, data_folder, turbofan_config, valve_config
from tests.pipeline.small_plant import plant_config, write_json

FEW_TREES: Json = {
    "threads": 1,
    "calibration": "none",
    "lgbParams": {"numIterations": 5, "numLeaves": 7, "minDataInLeaf": 20},
}
# No gate is asked: what is refused is refused whatever is configured.
LENIENT: Json = dict.fromkeys(GATES) | {"threshold": 0.5, "scheme": "holdout", "robustnessRows": 20, "latencyRuns": 2}
LENIENT |= {"noiseLevels": [], "missingRates": [], "stuckShares": [], "lostShares": [], "jitterSteps": []}
HISTORIES = ("station", "FD001", "valve1")


def history(name: str, database: Path) -> Json:
    """The configuration of a data set, with few features and a model that is fitted in seconds."""
    public = data_folder()
    if name == "station":
        config = plant_config(database)
    elif public is None:
        pytest.skip(f"{VARIABLE} does not name the folder of the public data")
    elif name == "FD001":
        config = turbofan_config(public / "cmapss" / "train_FD001.csv", operating=False)
        config["schemaConfig"]["continuousColumns"] = ["s02", "s03", "s04", "s07", "s11", "s12"]
        config["dataConfig"]["testSplit"] = 0.2
    else:
        config = valve_config(public / "skab" / "valve1.csv")
    config["schemaConfig"] |= {"rollingWindows": [5], "lagSeconds": [3600]}
    config["conversionConfig"] = {"parityRows": 100}
    return config | {"version": "v1", "trainingConfig": FEW_TREES, "validationConfig": LENIENT}


@pytest.fixture(scope="module", params=HISTORIES)
def trained(
    request: pytest.FixtureRequest, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Json, TrainedVersion]:
    """The workspace, the configuration and a version that the real steps made."""
    folder = tmp_path_factory.mktemp(request.param)
    config = history(request.param, database)
    outcome = run_here("train_model", write_json(folder / "config.json", config), root=folder)
    assert outcome.exit_code == 0, outcome.document
    paths = OrganizationPaths(config["organizationId"], root=folder)
    return folder, config, load_version(OrganizationConfig.from_dict(config), paths)


def with_leaves(model: str, value: int) -> str:
    """The trees of a model with one value in all leaves of the first, and 0 in those of the others.

    Each value is written in as many characters as the one before, as the file names the size of each tree.
    """
    values = iter([value])

    def replaced(found: re.Match[str]) -> str:
        now = f"{next(values, 0)}."
        return "leaf_value=" + " ".join(now.ljust(len(before), "0") for before in found[1].split())

    return re.sub(r"leaf_value=(.*)", replaced, model)


def of_one_machine(trained: TrainedVersion, config: Json, folder: Path) -> tuple[str, str]:
    """A model that knows one machine from all others, and the machine: the one with most healthy test rows."""
    settings = OrganizationConfig.from_dict(config)
    rows = evaluated_data(settings, OrganizationPaths(config["organizationId"], root=folder), trained, None)
    machine = str(rows.table["asset_id"][rows.label == 0].mode().iloc[0])
    features = trained.engineer.scaling.apply(trained.engineer.matrix(rows.frame, rows=rows.scored))
    label = (rows.table["asset_id"] == machine).to_numpy().astype(np.int8)
    many = {"numIterations": 60, "numLeaves": 63, "minDataInLeaf": 2, "learningRate": 0.3}
    options = TrainingConfig.model_validate({"threads": 1, "lgbParams": many})
    model = estimators.get("lightgbm")(options).fit(features, label, names=list(trained.metadata.features))
    model.save(folder / "one_machine.txt")
    return (folder / "one_machine.txt").read_text(), machine


def refusal(folder: Path, config: Json, version: Path, model: str) -> tuple[str, list[Json]]:
    """What validation of the version says with another model in it, and the refusals in its report."""
    content = model.encode()
    (version / "model.txt").write_bytes(content)
    manifest = json.loads((version / MANIFEST).read_text())
    manifest["files"]["model.txt"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    for exported in ("model.onnx", "window.onnx"):  # of the model before; validation makes what is not there
        (version / exported).unlink(missing_ok=True)
        manifest["files"].pop(exported, None)
    (version / MANIFEST).write_text(json.dumps(manifest))
    outcome = run_here("validate_model", folder / "config.json", root=folder)
    assert (outcome.exit_code, outcome.document["error"]["code"]) == (5, "QUALITY_GATE"), outcome.document
    report = folder / "artifacts" / config["organizationId"] / "v1" / "validation_report.json"
    refusals: list[Json] = json.loads(report.read_text())["refusals"]
    return outcome.error["message"].replace("\u00a0", " "), refusals


def test_models_that_say_nothing_are_refused_and_the_sentence_says_why(
    trained: tuple[Path, Json, TrainedVersion],
) -> None:
    folder, config, version = trained
    own = (version.folder / "model.txt").read_text()
    message, refusals = refusal(folder, config, version.folder, with_leaves(own, 50))
    assert [each["code"] for each in refusals] == ["MODEL_CONSTANT", "ALARM_NEVER_ENDS"]
    assert "it gives the probability 1 for all" in message
    assert "it is in alarm for 100 % of the healthy time of all machines" in message
    message, refusals = refusal(folder, config, version.folder, with_leaves(own, -1))
    assert [each["code"] for each in refusals] == ["MODEL_CONSTANT"]
    assert "so it tells no row from another" in message
    model, machine = of_one_machine(version, config, folder)
    message, refusals = refusal(folder, config, version.folder, model)
    assert [(each["code"], each["field"]) for each in refusals] == [("ALARM_NEVER_ENDS", machine)]
    assert f"of the healthy time of {machine}" in message
