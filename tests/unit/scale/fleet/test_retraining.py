"""Retraining, with steps that are only told of: when it begins, what it asks for, how it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import BusyError, ConfigError, DataError, IntegrityError, IsolationError, SourceError
from ml.monitoring.kept import fingerprint, kept_result
from ml.scale.fleet import retraining
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.retraining import carry_out, retrain
from ml.scale.fleet.task import OrganizationTask, Outcome
from ml.workspace import audit
from ml.workspace.files import write_json
from ml.workspace.locks import retraining_lock
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import current_version, list_versions, publish
from tests.unit.predict.installed import install

Json = dict[str, Any]
PLANT: Json = {
    "organizationId": "plant_a",
    "version": "v1",
    "schemaConfig": {"continuousColumns": ["temp"]},
    "dataSource": {"path": "readings.csv"},
}
VERDICT = {"retrain": "no", "verdict": "No new model is needed.", "reasons": []}
DUE = {"retrain": "yes", "verdict": "It is due.", "reasons": [{"code": "PRECISION", "message": "of false alarms"}]}


@pytest.fixture(scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    paths = OrganizationPaths("plant_a", root)
    install(paths, "v1")
    publish(paths, "v1")
    return root


@pytest.fixture
def paths(_published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OrganizationPaths:
    root = Path(shutil.copytree(_published, tmp_path / "workspace", symlinks=True))
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    monkeypatch.setattr(retraining, "RETRY_WAITS", (0.0, 0.0))
    return OrganizationPaths("plant_a", root)


@pytest.fixture
def task(paths: OrganizationPaths, tmp_path: Path) -> OrganizationTask:
    (tmp_path / "readings.csv").write_text("timestamp,temp\n")
    return task_of(paths, tmp_path, PLANT)


def task_of(paths: OrganizationPaths, folder: Path, config: Json, *, if_needed: bool = False) -> OrganizationTask:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    steps, root = ("train_model", "convert_to_onnx"), str(paths.root)
    share = Budget(1, 1 << 30)
    return OrganizationTask("run", "plant_a", "v1", str(file), root, steps, share, force=False, if_needed=if_needed)


def needed(task: OrganizationTask, paths: OrganizationPaths, found: Json) -> OrganizationTask:
    """The task with --if-needed, after a look that has found this."""
    config = OrganizationConfig.load_from_file(task.config_file)
    published = current_version(paths) or ""
    mark = fingerprint(config, paths, published)
    write_json(paths.monitoring(published, ".json"), {"fingerprint": mark, **found})
    return OrganizationTask(**{**vars(task), "if_needed": True})


class Steps:
    """Takes the place of the steps: each call does the next of what it was told, and notes for which version."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, paths: OrganizationPaths, *does: str) -> None:
        self._paths, self._does = paths, list(does)
        self.versions: list[str] = []
        monkeypatch.setattr(retraining, "work_on", self)

    def __call__(self, task: OrganizationTask, _: Callable[[Json], None]) -> Outcome:
        self.versions.append(task.version)
        does = self._does.pop(0)
        if does == "publish":
            install(self._paths, task.version, seed=len(self.versions))
            publish(self._paths, task.version)
            return Outcome("plant_a", task.version, "done", findings={"verdict": "It is good."})
        if does == "refuse":
            return Outcome("plant_a", task.version, "refused", error={"code": "QUALITY_GATE", "message": "Worse."})
        if does == "die":
            raise KeyboardInterrupt
        kind = SourceError if does == "away" else DataError
        return Outcome("plant_a", task.version, "failed", error=kind(does).to_json())


def tell(_: Json) -> None:
    return None


def state(paths: OrganizationPaths) -> Json:
    content: Json = json.loads(paths.retraining.read_text())
    return content


def test_a_new_version_is_named_after_the_time_and_published(
    task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, paths, "publish")
    outcome = retrain(task, tell)
    assert outcome.state == "done"
    assert current_version(paths) == outcome.version == steps.versions[0]
    named = datetime.strptime(outcome.version, "v%Y-%m-%dT%H-%M-%S-%fZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - named) < timedelta(minutes=1)
    assert (state(paths)["outcome"], state(paths)["previousVersion"]) == ("published", "v1")
    last = audit.records(paths)[-1]
    assert (last["operation"], last["version"], last["result"]) == ("retrain", outcome.version, "succeeded")


def test_a_worse_version_leaves_the_one_before_and_says_so(
    task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    Steps(monkeypatch, paths, "refuse")
    outcome = retrain(task, tell)
    assert outcome.state == "refused"
    assert current_version(paths) == "v1"
    assert outcome.error is not None
    assert "version v1 stays published: Worse." in outcome.error["message"]
    assert state(paths)["outcome"] == "kept"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"startDate": "2025-01-01", "endDate": "2026-01-01"}, {"last": "8760h"}),
        ({"startDate": "2025-01-01T00:00:00Z", "endDate": "2025-01-01T00:30:00Z"}, {"last": "1h"}),
        ({"last": "52w", "endDate": "2026-01-01"}, {"last": "52w"}),
        ({"last": "365d"}, {"last": "365d"}),
        ({"endDate": "2026-01-01"}, {}),
        ({"startDate": "2025-01-01"}, {"startDate": "2025-01-01T00:00:00"}),
        ({}, {}),
    ],
)
def test_it_asks_for_the_newest_rows(
    asked: Json, expected: Json, paths: OrganizationPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, paths, "refuse")
    retrain(task_of(paths, tmp_path, PLANT | {"dataRange": asked}), tell)
    made = json.loads(paths.request(steps.versions[0]).read_text())["dataRange"]
    assert {key: value for key, value in made.items() if value is not None} == expected


def test_it_cannot_go_around_the_comparison_and_finds_its_files_from_anywhere(
    paths: OrganizationPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readings.csv").write_text("timestamp,temp\n")
    steps = Steps(monkeypatch, paths, "refuse")
    free = {"validationConfig": {"champion": "ignore"}, "conversionConfig": {"publish": "always"}}
    retrain(task_of(paths, tmp_path, PLANT | free), tell)
    made = OrganizationConfig.load_from_file(paths.request(steps.versions[0]))
    assert (made.validation_config.champion, made.conversion_config.publish) == ("compare", "if_valid")
    assert made.data_source is not None
    assert Path(made.data_source.path) == tmp_path / "readings.csv"


def test_what_may_pass_by_itself_is_tried_twice_more_and_nothing_else_is(
    task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, paths, "away", "away", "publish")
    assert retrain(task, tell).state == "done"
    assert len(steps.versions) == 3
    assert len(set(steps.versions)) == 1
    away = Steps(monkeypatch, paths, "away", "away", "away")
    assert retrain(task, tell).state == "failed"
    assert len(away.versions) == 3
    broken = Steps(monkeypatch, paths, "no rows")
    assert retrain(task, tell).state == "failed"
    assert len(broken.versions) == 1


def test_a_killed_one_goes_on_with_its_version_unless_something_else_is_asked(
    task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, paths, "die", "die", "publish", "refuse")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            retrain(task, tell)
    assert "outcome" not in state(paths)
    assert retrain(task, tell).state == "done"
    assert len(set(steps.versions)) == 1
    retrain(task, tell)
    assert len(set(steps.versions)) == 2


def test_a_killed_one_of_another_configuration_is_given_up(
    task: OrganizationTask, paths: OrganizationPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, paths, "die", "publish")
    with pytest.raises(KeyboardInterrupt):
        retrain(task, tell)
    retrain(task_of(paths, tmp_path, PLANT | {"dataRange": {"last": "30d"}}), tell)
    assert len(set(steps.versions)) == 2


def test_two_at_once_are_one(task: OrganizationTask, paths: OrganizationPaths) -> None:
    with retraining_lock(paths), ThreadPoolExecutor() as beside, pytest.raises(BusyError):
        beside.submit(retrain, task, tell).result()


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        "not JSON",
        '{"version": 3, "reasons": [], "previousVersion": null, "began": "2026-01-01T00:00:00Z"}',
        '{"version": "v2", "reasons": [], "previousVersion": null, "began": "soon"}',
        '{"version": "v2", "reasons": [], "previousVersion": null, "began": "2026-01-01T00:00:00Z", "outcome": "kept"}',
    ],
)
def test_a_state_that_no_retraining_wrote_is_refused(
    task: OrganizationTask, paths: OrganizationPaths, content: str
) -> None:
    paths.retraining.parent.mkdir(exist_ok=True)
    paths.retraining.write_text(content)
    with pytest.raises(IntegrityError):
        retrain(task, tell)


def test_a_state_cannot_name_another_place(task: OrganizationTask, paths: OrganizationPaths) -> None:
    digest = OrganizationConfig.load_from_file(task.config_file).digest()
    state = {"version": "../../rival/v1", "reasons": [], "previousVersion": None, "began": "2026-01-01T00:00:00Z"}
    write_json(paths.retraining, state | {"configDigest": digest})
    with pytest.raises(IsolationError):
        retrain(task, tell)


def test_a_password_is_not_written_down(paths: OrganizationPaths, tmp_path: Path) -> None:
    database = {"driver": "postgresql", "database": "plant", "password": "Tr0ub4dor-canary"}
    config = {key: value for key, value in PLANT.items() if key != "dataSource"} | {"scadaDbConfig": database}
    with pytest.raises(ConfigError, match="password"):
        retrain(task_of(paths, tmp_path, config), tell)
    written = [file.read_text(errors="replace") for file in paths.artifacts.rglob("*") if file.is_file()]
    assert not any("canary" in text for text in written)


class TestIfNeeded:
    def test_nothing_is_done_where_none_is_needed(
        self, task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = Steps(monkeypatch, paths)
        outcome = carry_out(needed(task, paths, VERDICT), tell)
        assert (outcome.state, outcome.version) == ("unchanged", "v1")
        assert outcome.to_json()["reason"] == VERDICT["verdict"]
        assert steps.versions == []

    def test_a_due_one_is_replaced_with_its_reasons(
        self, task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Steps(monkeypatch, paths, "publish")
        assert carry_out(needed(task, paths, DUE), tell).state == "done"
        assert state(paths)["reasons"] == DUE["reasons"]

    def test_after_one_that_was_not_better_it_waits(
        self, task: OrganizationTask, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = Steps(monkeypatch, paths, "refuse", "refuse")
        assert carry_out(needed(task, paths, DUE), tell).state == "refused"
        assert carry_out(needed(task, paths, DUE), tell).state == "unchanged"
        assert len(steps.versions) == 1
        long_ago = (datetime.now(UTC) - timedelta(days=29)).isoformat()
        write_json(paths.retraining, state(paths) | {"ended": long_ago})
        assert carry_out(needed(task, paths, DUE), tell).state == "refused"

    def test_where_nothing_is_published_a_first_version_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        empty = OrganizationPaths("plant_a", tmp_path / "empty")
        monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "empty"))
        Steps(monkeypatch, empty, "publish")
        assert carry_out(task_of(empty, tmp_path, PLANT, if_needed=True), tell).state == "done"

    def test_a_failure_is_an_outcome(self, task: OrganizationTask, paths: OrganizationPaths) -> None:
        with retraining_lock(paths), ThreadPoolExecutor() as beside:
            outcome = beside.submit(carry_out, needed(task, paths, DUE), tell).result()
        assert outcome.state == "failed"
        assert outcome.error is not None
        assert outcome.error["code"] == BusyError.code


def test_a_look_is_used_again_until_a_file_the_version_or_the_configuration_changes(
    task: OrganizationTask, paths: OrganizationPaths, tmp_path: Path
) -> None:
    needed(task, paths, VERDICT)
    config = OrganizationConfig.load_from_file(task.config_file)
    assert kept_result(config, paths, "v1") is not None
    limits = config.monitoring_config.model_copy(update={"min_precision": 0.5})
    assert kept_result(config.model_copy(update={"monitoring_config": limits}), paths, "v1") is None
    (tmp_path / "readings.csv").write_text("timestamp,temp\n2026-01-01,3\n")
    assert kept_result(config, paths, "v1") is None
    needed(task, paths, VERDICT)
    install(paths, "v2", seed=2)
    publish(paths, "v2")
    publish(paths, "v1")
    assert kept_result(config, paths, "v1") is None  # it went live anew


def test_old_versions_are_removed(paths: OrganizationPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "readings.csv").write_text("timestamp,temp\n")
    few = task_of(paths, tmp_path, PLANT | {"monitoringConfig": {"keepVersions": 1}})
    Steps(monkeypatch, paths, "publish", "publish")
    first, second = (retrain(few, tell).version for _ in range(2))
    assert {info.name for info in list_versions(paths)} == {first, second}
