"""``python -m ml.retrain`` and ``ml.fleet --if-needed`` with real steps: killed, two at once, for nothing."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import current_version, list_versions
from tests.pipeline.backend import REPOSITORY, Json, called, environment, fleet
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

STEPS = ("data_prep", "train_model", "validate_model", "convert_to_onnx")
SMALL: dict[str, Json] = {
    "trainingConfig": {"modelType": "logistic_regression"},
    "validationConfig": {
        "scheme": "holdout", "robustnessRows": 50, "latencyRuns": 5, "untunedModel": False, "minPrecision": None,
        "minRecall": None, "minAuc": None, "minAccuracy": None, "minEventRecall": None, "maxHealthyTimeInAlarm": None,
        "maxFalseAlarmsPerAssetDay": None, "maxLatencyMs": None,
    },
}  # fmt: skip


def start(config: Path, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ml.retrain", str(config), "--steps", *STEPS],
        cwd=REPOSITORY,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def until_training(process: subprocess.Popen[str]) -> None:
    """Read progress until the training has begun."""
    assert process.stderr is not None
    assert any('"train_model"' in line for line in process.stderr)


@pytest.fixture(scope="module")
def retrained(database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Json]:
    """A workspace in which a retraining was killed and run again; the configuration, and the last result."""
    folder = tmp_path_factory.mktemp("retrained")
    root = folder / "workspace"
    root.mkdir()
    config = write_json(folder / "config.json", plant_config(database, **SMALL))
    first = start(config, root)
    until_training(first)
    beside = called("ml.retrain", [config], root)
    assert (beside.exit_code, beside.error["code"]) == (4, "VERSION_BUSY")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    begun = json.loads((root / "artifacts" / ORGANIZATION / "retraining.json").read_text())
    assert "outcome" not in begun
    again = called("ml.retrain", [config, "--steps", *STEPS], root)
    assert again.exit_code == 0, again.document
    assert again.document["version"] == begun["version"]
    return root, config, again.document


def test_a_killed_one_goes_on_after_the_last_step_that_was_done(retrained: tuple[Path, Path, Json]) -> None:
    root, _, document = retrained
    assert [step["step"] for step in document["steps"]] == list(STEPS[1:])
    paths = OrganizationPaths(ORGANIZATION, root)
    assert [info.name for info in list_versions(paths)] == [document["version"]] == [current_version(paths)]
    request = json.loads(paths.request(document["version"]).read_text())
    assert request["version"] == document["version"]


def test_an_organisation_that_needs_nothing_costs_nothing(retrained: tuple[Path, Path, Json], tmp_path: Path) -> None:
    live, config, document = retrained
    root = Path(shutil.copytree(live, tmp_path / "workspace", symlinks=True))
    looked = called("ml.retrain", [config, "--if-needed"], root)
    assert (looked.exit_code, looked.document["state"], looked.document["steps"]) == (0, "unchanged", [])
    assert OrganizationPaths(ORGANIZATION, root).monitoring(document["version"], ".json").is_file()
    folder = tmp_path / "configs"
    folder.mkdir()
    shutil.copy(config, folder / "plant.json")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = fleet(folder, "--if-needed", root=root)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = outcome.document["organizations"][0]
    assert (outcome.exit_code, row["state"], row["steps"]) == (0, "unchanged", [])
    assert row["reason"].startswith("There are no readings since")
    # the processes of the fleet and of its checker included; numerical libraries alone take longer to load
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3.0


def test_force_and_if_needed_exclude_each_other(tmp_path: Path) -> None:
    assert fleet(tmp_path, "--if-needed", "--force", root=tmp_path).error["code"] == "USAGE"


def test_the_processes_are_gone(retrained: tuple[Path, Path, Json]) -> None:
    """The step that a killed retraining had begun ended with it."""
    _, config, _ = retrained
    mine = [each.name for each in Path("/proc").iterdir() if each.name.isdigit() and str(config) in _command_line(each)]
    assert mine == []


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""
