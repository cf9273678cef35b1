"""The backend's TrainingService, unchanged: it trains again and again, reads reasons, cancels, and dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml.workspace.process.parent_death import KEEP_RUNNING
from simulation.database import TABLE
from tests.pipeline.backend import REPOSITORY, Json, TrainingFailedError, TrainingService, environment, tree

ORGANIZATION = "3f2c8b7e-0d41-4a52-9c0e-6a1f3be0d7aa"
THE_SIX = ["temperature", "pressure", "flow_rate", "vibration", "current", "voltage"]
HYPERPARAMETERS = {
    "numLeaves": 7,
    "learningRate": 0.1,
    "featureFraction": 0.9,
    "baggingFraction": 0.8,
    "baggingFreq": 5,
    "minDataInLeaf": 20,
    "maxDepth": -1,
    "numIterations": 20,
    "objective": "binary",
    "metric": "binary_logloss",
    "verbosity": -1,
}


def request(database: Path, **changes: Json) -> Json:
    """What the backend writes beside organisation, version and folder."""
    return {
        "dataRange": {"startDate": "2025-01-01T00:00:00.000Z", "endDate": "2025-01-24T00:00:00.000Z"},
        "hyperparameters": HYPERPARAMETERS,
        "validationSplit": 0.2,
        "targetColumn": "failure_indicator",
        "featureColumns": THE_SIX,
        "scadaDbConfig": {"driver": "sqlite", "database": str(database), "table": TABLE, "host": "", "password": ""},
        "schemaConfig": {
            "assetColumn": "asset_id",
            "table": "",
            "lagSeconds": [600, 1800, 2000],
            "columnMapping": {"volts_of_another_plant": "voltage"},
        },
        **changes,
    }


@pytest.fixture
def service(root: Path) -> TrainingService:
    return TrainingService(root)


def test_the_first_second_and_third_training(
    root: Path,
    database: Path,
    several_threads: None,  # noqa: ARG001
) -> None:
    """Features of metrics.json come back as featureColumns once a model is deployed; folders have whichever modes."""
    wanted, models = THE_SIX, []
    for number, umask in enumerate((0o022, 0o002, 0o077)):
        service = TrainingService(root, umask)
        models.append(service.train(ORGANIZATION, request(database, featureColumns=wanted), f"v{number}"))
        wanted = models[-1]["features"]
    assert [model["features"] for model in models] == [wanted] * 3
    told = warnings(root, "v0")
    assert told["COLUMNS_ABSENT"]["message"].endswith("has no voltage: left out")
    assert "lagSeconds 600 " in told["SERVING_LAG_OF_NEWEST_ROW"]["message"]


def warnings(root: Path, version: str) -> dict[str, Json]:
    """The warnings of metrics.json by their code."""
    metrics = json.loads((root / "artifacts" / ORGANIZATION / version / "metrics.json").read_text())
    return {warning["code"]: warning for warning in metrics["warnings"]}


FAILURES = {
    2: ({"hyperparameters": {"numLeafs": 3}}, 'unknown key "trainingConfig.lgbParams.numLeafs"'),
    3: ({"dataRange": {"startDate": "2031-01-01", "endDate": "2032-01-01"}}, "no usable rows from 2031-01-01"),
    4: ({"scadaDbConfig": {"driver": "sqlite", "database": str(REPOSITORY / "README.md"), "table": "t"}}, "README.md"),
    5: ({"hyperparameters": HYPERPARAMETERS | {"minDataInLeaf": 10**6}}, "the model has learned nothing"),
    6: ({"version": "../v1"}, "is not a safe identifier"),
}
# Imported into the step by Python itself: what nobody foresaw happens inside it.
A_BUG = """
import sys

class Bug:
    def find_spec(self, name, *_):
        if name == "ml.learning.training":
            raise ZeroDivisionError("a secret of the plant")

sys.meta_path.insert(0, Bug())
"""


@pytest.mark.parametrize("code", FAILURES)
def test_an_operator_reads_the_reason(code: int, service: TrainingService, database: Path) -> None:
    changes, words = FAILURES[code]
    with pytest.raises(TrainingFailedError) as failure:
        service.train(ORGANIZATION, request(database, **changes))
    told = str(failure.value)
    assert told.startswith(f"Python training failed with code {code}: ")
    assert words in last_error(told)["message"]


def test_an_operator_reads_where_to_find_an_unforeseen_error(
    service: TrainingService, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(A_BUG)
    service.variables["PYTHONPATH"] = str(tmp_path)
    with pytest.raises(TrainingFailedError) as failure:
        service.train(ORGANIZATION, request(database), "v1")
    told = str(failure.value)
    assert told.startswith("Python training failed with code 70: ")
    error = last_error(told)
    identity = error["message"].rpartition(" ")[2]
    assert identity in error["hint"]
    assert "secret" not in told
    log = service.base / "artifacts" / ORGANIZATION / "v1" / "training_logs" / "train_model.log"
    assert identity in log.read_text()


def last_error(told: str) -> Json:
    """The JSON line that ends what the backend tells its operators."""
    last: Json = json.loads("{" + told.splitlines()[-1].partition("{")[2])
    assert last["event"] == "error"
    return last


@pytest.mark.parametrize("field", ["organizationId", "version"])
def test_a_request_is_read_for_its_own_organisation_and_version_only(
    field: str, service: TrainingService, database: Path
) -> None:
    file = service.prepare(ORGANIZATION, "v1", request(database))
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: "another"}))
    stdout, _ = service.spawn(file).communicate(timeout=60)
    assert json.loads(stdout)["error"]["code"] == "ISOLATION_REFUSED"
    assert not [name for name in tree(service.base) if "another" in name]


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("how", ["cancelled", "parent killed"])
def test_a_training_that_is_not_wanted_any_more_ends(
    how: str, seconds: float, service: TrainingService, database: Path
) -> None:
    file = service.prepare(ORGANIZATION, "v1", endless(database))
    if how == "cancelled":
        process = service.spawn(file)
        time.sleep(seconds)
        process.terminate()
        process.communicate(timeout=5)
        assert process.returncode in (143, -signal.SIGTERM)
    else:
        child = orphaned(service, file, seconds)
        until = time.monotonic() + 5
        while is_running(child) and time.monotonic() < until:
            time.sleep(0.05)
        assert not is_running(child)
    models = tree(service.base / "models" / ORGANIZATION)
    assert [name for name in models if "lock" not in name and name != "versions"] == []
    assert "metrics.json" not in tree(file.parent)
    assert not [name for name in tree(service.base) if "staging" in name]


def endless(database: Path) -> Json:
    """A request that trains far longer than the test waits."""
    many = HYPERPARAMETERS | {"numIterations": 100_000}
    return request(database, hyperparameters=many) | {"trainingConfig": {"earlyStoppingRounds": 0, "threads": 1}}


def orphaned(service: TrainingService, request: Path, seconds: float, **env: str) -> int:
    """Have another process start a training, and kill it; the id of the training's process."""
    code = (
        "import subprocess, sys, time\n"
        "pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)\n"
        "child = subprocess.Popen(sys.argv[1:], **pipes)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    command = [sys.executable, str(service.base / "scripts" / "train_model.py"), str(request)]
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code, *command],
        cwd=service.base,
        env=environment(service.base, env),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(seconds)
        parent.kill()
    return child


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_who_wants_it_goes_on_without_the_parent(service: TrainingService, database: Path) -> None:
    file = service.prepare(ORGANIZATION, "v1", endless(database))
    child = orphaned(service, file, 1.0, **{KEEP_RUNNING: "1"})
    time.sleep(2)
    assert is_running(child)
    os.kill(child, signal.SIGTERM)
