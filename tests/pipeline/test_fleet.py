"""Many organisations in one command: budgets, failures that stay where they are, runs that go on, an end on demand."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ml.scale.fleet.budget import Budget
from ml.scale.fleet.task import OrganizationTask, work_on
from ml.workspace.locks import version_lock
from ml.workspace.paths import OrganizationPaths
from tests.pipeline.backend import REPOSITORY, Json, Outcome, environment, fleet, spawn
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

LIGHT = {"threads": 4, "exportOnnx": False, "lgbParams": {"numLeaves": 4, "numIterations": 5, "minDataInLeaf": 20}}
ENDLESS = {
    "earlyStoppingRounds": 0,
    "lgbParams": {"numIterations": 100_000, "learningRate": 0.001, "minDataInLeaf": 20},
}
WRITING_SECONDS = 3.0  # longer than a step takes to find that the version is being written
STEPS = ("--steps", "train_model", "data_prep")  # in whatever order, they run in the pipeline's


def write_config(folder: Path, database: Path, organization: str, **sections: Json) -> Path:
    folder.mkdir(exist_ok=True)
    config = plant_config(database, **({"trainingConfig": LIGHT} | sections)) | {"organizationId": organization}
    config["schemaConfig"] |= {"lagSeconds": [1800], "rollingWindows": [4]}
    return write_json(folder / f"{organization}.json", config)


def row_of(outcome: Outcome, organization: str) -> Json:
    rows: list[Json] = [row for row in outcome.document["organizations"] if row["organizationId"] == organization]
    assert len(rows) == 1
    return rows[0]


def version_files(root: Path, organization: str) -> dict[str, bytes]:
    folder = root / "models" / organization / "versions" / "v1"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def configs(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound organisations, one without one of its columns, one file that is no JSON, and a schema to ignore."""
    folder = tmp_path_factory.mktemp("configs")
    write_config(folder, database, ORGANIZATION)
    write_config(folder, database, "plant_b")
    write_config(folder, database, "plant_c", schemaConfig={"targetColumn": "no_such_column"})
    (folder / "plant_d.json").write_text("{", encoding="utf-8")
    (folder / "organization.schema.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def first_run(configs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The workspace and the outcome; to be read only."""
    root = tmp_path_factory.mktemp("fleet")
    return root, fleet(configs, *STEPS, "--cpus", "2", "--memory", "4G", root=root)


def test_failures_touch_no_other_organisation(first_run: tuple[Path, Outcome]) -> None:
    _, outcome = first_run
    assert outcome.exit_code == 7
    assert outcome.error["code"] == "FLEET_INCOMPLETE"
    assert "2 of 4 organisations" in outcome.error["message"]
    assert outcome.document["counts"] == {"done": 2, "failed": 2}
    assert row_of(outcome, "plant_c")["error"]["code"] == "COLUMN_MISSING"
    broken = row_of(outcome, "")
    assert (broken["configFile"], broken["error"]["code"]) == ("plant_d.json", "CONFIG_INVALID")
    done = row_of(outcome, "plant_b")
    assert [step["step"] for step in done["steps"]] == ["data_prep", "train_model"]
    assert done["seconds"] == pytest.approx(sum(step["seconds"] for step in done["steps"]), abs=0.02)
    assert 50e6 < done["peakMemoryBytes"] < 2 * 1024**3


def test_results_are_those_of_the_steps_alone(first_run: tuple[Path, Outcome], configs: Path, root: Path) -> None:
    """The share of CPUs comes from the environment, so the configuration and its digest stay what they were."""
    file = configs / f"{ORGANIZATION}.json"
    assert spawn("train_model", file, root=root, env={"OMP_NUM_THREADS": "1"}).exit_code == 0
    assert version_files(root, ORGANIZATION) == version_files(first_run[0], ORGANIZATION)


def test_the_summary_is_beside_the_organisations_and_the_same_as_the_result(first_run: tuple[Path, Outcome]) -> None:
    root, outcome = first_run
    summary = json.loads((root / "fleet_summary" / "summary.json").read_text(encoding="utf-8"))
    assert summary.items() <= outcome.document.items()
    page = (root / "fleet_summary" / "summary.html").read_text(encoding="utf-8")
    assert "no_such_column" in page
    assert sorted(path.name for path in (root / "artifacts").iterdir()) == [ORGANIZATION, "plant_b", "plant_c"]


def test_progress_is_told_for_the_fleet_and_for_each_organisation(first_run: tuple[Path, Outcome]) -> None:
    _, outcome = first_run
    assert [event["done"] for event in outcome.progress] == sorted(event["done"] for event in outcome.progress)
    assert outcome.progress[-1]["done"] == outcome.progress[-1]["total"] == 4
    told = {(event["organizationId"], event["state"]) for event in outcome.stderr_events if "state" in event}
    assert told >= {(ORGANIZATION, "running"), (ORGANIZATION, "done"), ("plant_b", "done"), ("plant_c", "failed")}


def test_what_is_done_is_not_done_again(first_run: tuple[Path, Outcome], configs: Path) -> None:
    root, _ = first_run
    audit = root / "artifacts" / "plant_b" / "audit.jsonl"
    before = audit.read_bytes()
    outcome = fleet(configs, *STEPS, root=root)
    assert outcome.document["counts"] == {"failed": 2, "unchanged": 2}
    assert row_of(outcome, "plant_b")["steps"] == []
    assert row_of(outcome, "plant_c")["steps"] != []
    assert audit.read_bytes() == before


@pytest.mark.alone
def test_sigterm_ends_every_step_within_two_seconds(database: Path, root: Path, tmp_path: Path) -> None:
    for organization in ("plant_a", "plant_b"):
        write_config(tmp_path / "configs", database, organization, trainingConfig=LIGHT | ENDLESS)
    fitting: set[str] = set()
    times: list[float] = []
    listening: list[object] = []

    def both_fit(event: Json) -> bool:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                listening.extend(each for each in process.net_connections() if each.status == psutil.CONN_LISTEN)
        if event.get("message") == "fitting":
            fitting.add(event["organizationId"])
        if len(fitting) == 2 and not times:
            times.append(time.monotonic())
        return len(fitting) == 2

    outcome = fleet(tmp_path / "configs", "--steps", "train_model", "--cpus", "2", root=root, terminate_on=both_fit)
    assert time.monotonic() - times[0] < 2.0
    assert outcome.exit_code == 143
    assert outcome.error["code"] == "STOPPED"
    assert processes_about(tmp_path) == []
    assert listening == [], "a fleet opens no port"


def test_a_task_that_outgrows_its_share_runs_again_with_all_there_is(
    database: Path, root: Path, tmp_path: Path
) -> None:
    write_config(tmp_path / "configs", database, ORGANIZATION)
    arguments = (tmp_path / "configs", "--steps", "data_prep", "--cpus", "2")
    refused = fleet(*arguments, "--memory", "60M", root=root)
    error = row_of(refused, ORGANIZATION)["error"]
    assert (error["code"], error["message"]) == (
        "STORAGE_FAILED", "data_prep needed more memory than its share of 63 MB",
    )  # fmt: skip
    granted = fleet(*arguments, "--memory", "2G", "--task-memory", "60M", root=root)
    assert granted.document["counts"] == {"done": 1}
    assert granted.document["budget"]["taskMemoryBytes"] == 60 * 1024**2


def test_a_version_that_is_being_written_is_waited_for(database: Path, root: Path, tmp_path: Path) -> None:
    """As after the death of a worker whose step has not ended yet."""
    file = write_config(tmp_path / "configs", database, ORGANIZATION)
    share = Budget(1, 2 * 1024**3)
    task = OrganizationTask("run", ORGANIZATION, "v1", str(file), str(root), ("data_prep",), share, force=False)
    held, begun = threading.Event(), threading.Event()

    def write_for_a_while() -> None:
        with version_lock(OrganizationPaths(ORGANIZATION, root), "v1"):
            held.set()
            begun.wait()
            time.sleep(WRITING_SECONDS)

    writer = threading.Thread(target=write_for_a_while)
    writer.start()
    held.wait()
    outcome = work_on(task, lambda _: begun.set())
    writer.join()
    assert outcome.state == "done"


@pytest.mark.alone
def test_a_killed_fleet_takes_its_steps_with_it_and_goes_on_later(database: Path, root: Path, tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    write_config(configs, database, "plant_a")
    write_config(configs, database, "plant_b", trainingConfig=LIGHT | ENDLESS)
    command = [sys.executable, "-m", "ml.fleet", configs, "--steps", "train_model", "--cpus", "2"]
    seen = ""
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(root), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        while '"state": "done"' not in seen or '"fitting"' not in seen:
            line = running.stderr.readline()
            assert line, seen
            seen += line
        running.kill()
    deadline = time.monotonic() + 2
    while (left := processes_about(configs)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
    write_config(configs, database, "plant_b")
    assert fleet(configs, "--steps", "train_model", root=root).document["counts"] == {"done": 1, "unchanged": 1}


def processes_about(folder: Path) -> list[list[str]]:
    """Command lines of the processes that name something in `folder`."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(folder) in argument for argument in line)]
