from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ml.workspace import audit
from ml.workspace.__main__ import main
from ml.workspace.files import write_json
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import current_version, link_model, publish, stage_version


@pytest.fixture
def published(paths: OrganizationPaths) -> OrganizationPaths:
    """Versions v1 and v2; v2 is published, v1 was before."""
    for version in ("v1", "v2"):
        with stage_version(paths, version) as folder:
            (folder / "model.onnx").write_text(version)
            (folder / "metadata.json").write_text('{"modelType": "lightgbm", "metrics": {"auc": 0.91}}')
        publish(paths, version)
    return paths


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> tuple[int, dict[str, Any]]:
        status = main(list(arguments))
        return status, json.loads(capsys.readouterr().out)

    return command


@pytest.mark.usefixtures("published")
def test_list(command: Any) -> None:
    status, result = command("list", "plant_a")
    assert (status, result["status"], result["organizationId"]) == (0, "SUCCESS", "plant_a")
    shown = [(entry["version"], entry["current"], entry["metrics"]) for entry in result["versions"]]
    assert shown == [("v1", False, {"auc": 0.91}), ("v2", True, {"auc": 0.91})]


def test_rollback_and_publish(command: Any, published: OrganizationPaths) -> None:
    status, result = command("rollback", "plant_a")
    assert (status, result["version"], result["previousVersion"]) == (0, "v1", "v2")
    assert result["auditHead"] == audit.head(published)
    assert command("publish", "plant_a", "v2", "--force")[1]["version"] == "v2"
    assert command("rollback", "plant_a", "v1")[1]["version"] == "v1"
    assert current_version(published) == "v1"


def test_verify(command: Any, published: OrganizationPaths) -> None:
    status, result = command("verify", "plant_a")
    assert (status, result["versions"], result["current"], result["auditRecords"]) == (0, 2, "v2", 4)
    assert result["auditHead"] == audit.head(published)


def report(paths: OrganizationPaths, version: str, **changes: Any) -> None:
    """A validation report that lets the version pass, but for `changes`."""
    model = (paths.version(version) / "model.onnx").read_bytes()
    content = {"status": "PASSED", "verdict": "Good.", "modelSha256": sha256(model).hexdigest(), "threshold": None}
    file = paths.validation_report(version, ".json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (None, "has no validation report"),
        (
            {"status": "REFUSED", "verdict": "It is in alarm for 100 % of the healthy time."},
            "100 % of the healthy time",
        ),
        ({"status": "passed"}, "did not pass"),
        ({"modelSha256": "0" * 64}, "about another model"),
        ({"modelSha256": None}, "about another model"),
        ({"threshold": 0.5}, "validated at a threshold of 0.5, but ships with None"),
    ],
)
def test_what_validation_refused_is_published_by_force_only_and_that_is_told(
    command: Any, published: OrganizationPaths, changes: dict[str, Any] | None, words: str
) -> None:
    if changes is not None:
        report(published, "v1", **changes)
    status, result = command("publish", "plant_a", "v1")
    assert (status, result["error"]["code"]) == (5, "QUALITY_GATE")
    assert words in result["error"]["message"]
    assert current_version(published) == "v2"

    status, result = command("publish", "plant_a", "v1", "--force")
    assert (status, result["version"], result["forced"]) == (0, "v1", True)
    assert [record.get("forced") for record in audit.records(published)[-2:]] == [True, True]
    assert [entry["forced"] for entry in command("list", "plant_a")[1]["versions"]] == [True, False]
    assert command("verify", "plant_a")[0] == 0
    assert command("rollback", "plant_a", "v2")[1]["forced"] is False
    assert command("rollback", "plant_a", "v1")[1]["forced"] is True  # going back does not wash it clean


def test_what_passed_is_published_and_force_changes_nothing(command: Any, published: OrganizationPaths) -> None:
    report(published, "v1")
    assert command("publish", "plant_a", "v1", "--force")[1]["forced"] is False
    assert command("publish", "plant_a", "v1")[1]["version"] == "v1"
    assert [entry["forced"] for entry in command("list", "plant_a")[1]["versions"]] == [False, False]


def test_going_back_is_no_way_around_validation(command: Any, published: OrganizationPaths) -> None:
    with stage_version(published, "v3") as folder:
        (folder / "model.onnx").write_text("v3")
    status, result = command("rollback", "plant_a", "v3")
    assert (status, result["error"]["code"]) == (5, "QUALITY_GATE")
    assert current_version(published) == "v2"


def test_an_organisation_that_does_not_exist_has_no_list(command: Any) -> None:
    status, result = command("list", "plant_x")
    assert (status, result["error"]["code"]) == (3, "ARTIFACT_MISSING")
    assert "plant_x" in result["error"]["message"]


@pytest.mark.parametrize("broken", ["model", "audit", "current"])
def test_verify_notices(command: Any, published: OrganizationPaths, broken: str) -> None:
    if broken == "model":
        (published.version("v1") / "model.onnx").write_text("V1")
    elif broken == "audit":
        published.audit_log.write_bytes(published.audit_log.read_bytes()[:-3])
    else:
        published.current.unlink()
        (published.models / "current").symlink_to("versions/v9")
    status, result = command("verify", "plant_a")
    assert (status, result["error"]["code"]) == (6, "INTEGRITY_REFUSED")
    words = {"model": 'version "v1" is refused', "audit": "the audit log is broken", "current": '"current" does not'}
    assert words[broken] in result["error"]["message"]


def test_verify_names_all_that_is_broken(command: Any, published: OrganizationPaths) -> None:
    for version in ("v1", "v2"):
        (published.version(version) / "model.onnx").unlink()
    message = command("verify", "plant_a")[1]["error"]["message"]
    assert 'version "v1"' in message
    assert 'version "v2"' in message


def test_prune_keeps_the_published_version_and_the_newest(command: Any, published: OrganizationPaths) -> None:
    for number, version in enumerate(("v3", "v4", "v5")):
        with stage_version(published, version) as folder:
            (folder / "model.onnx").write_text(version)
        link_model(published, version)
        os.utime(published.version(version), (2e9 + number, 2e9 + number))
    publish(published, "v1")
    status, result = command("prune", "plant_a", "--keep", "2", "--actor", "night shift")
    assert (status, result["kept"], result["removed"], result["busy"]) == (0, ["v1", "v5", "v4"], ["v3", "v2"], [])
    assert sorted(entry.name for entry in published.versions.iterdir()) == ["v1", "v4", "v5"]
    assert not os.path.lexists(published.models / "model_v3.onnx")
    assert current_version(published) == "v1"
    records = [record for record in audit.records(published) if record["operation"] == "prune"]
    assert [(record["version"], record["result"], record["actor"]) for record in records] == [
        (version, result, "night shift") for version in ("v3", "v2") for result in ("started", "succeeded")
    ]
    assert command("prune", "plant_a", "--keep", "0")[1]["kept"] == ["v1"]
    assert command("verify", "plant_a")[1]["versions"] == 1


def test_prune_leaves_what_a_run_holds(command: Any, published: OrganizationPaths) -> None:
    code = (
        "import sys; from ml.workspace.locks import version_lock; from ml.workspace.paths import OrganizationPaths\n"
        "with version_lock(OrganizationPaths('plant_a'), 'v1'): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        result = command("prune", "plant_a", "--keep", "0")[1]
        holder.communicate()
    assert (result["removed"], result["busy"], result["kept"]) == ([], ["v1"], ["v2"])
    assert published.version("v1").is_dir()


def test_prune_removes_nothing_while_current_is_broken(command: Any, published: OrganizationPaths) -> None:
    published.current.unlink()
    (published.models / "current").symlink_to("versions/v9")
    status, result = command("prune", "plant_a", "--keep", "0")
    assert (status, result["error"]["code"]) == (6, "INTEGRITY_REFUSED")
    assert sorted(entry.name for entry in published.versions.iterdir()) == ["v1", "v2"]


def test_records_of_publishing_tell_what_the_version_was_trained_with(paths: OrganizationPaths) -> None:
    with stage_version(paths, "v1") as folder:
        (folder / "metadata.json").write_text(json.dumps({"configDigest": "c" * 64, "data": {"digest": "d" * 64}}))
    publish(paths, "v1")
    digests = [(record["configDigest"], record["dataDigest"]) for record in audit.records(paths)]
    assert digests == [("c" * 64, "d" * 64)] * 2


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["publish", "plant_a", "v9"], 3),
        (["publish", "plant_a", "v9", "--force"], 3),
        (["publish", "plant_a", "v1"], 5),
        (["rollback", "plant_a", "v9"], 3),
        (["list", "plant_x"], 3),
        (["verify", "plant_x"], 3),
        (["prune", "plant_x", "--keep", "1"], 3),
        (["list", "../plant_a"], 6),
        (["list", "PLANT_A"], 6),
        (["publish", "plant_a", "../v1"], 6),
        (["publish", "plant_a"], 2),
        ([], 2),
        (["delete", "plant_a"], 2),
        (["prune", "plant_a"], 2),
        (["prune", "plant_a", "--keep", "-1"], 2),
        (["publish", "plant_a", "v1", "--actor", "a\nb"], 2),
        (["publish", "plant_a", "v1", "--actor", ""], 2),
    ],
)
def test_refusals(command: Any, published: OrganizationPaths, arguments: list[str], status: int) -> None:
    done, result = command(*arguments)
    assert (done, result["status"]) == (status, "FAILED")
    assert current_version(published) == "v2"


def on_terminal(*arguments: str) -> str:
    """What a person sees on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ml.workspace", *arguments]
    done = subprocess.run(command, stdout=theirs, cwd=Path(__file__).parents[3], check=True)
    assert done.returncode == 0
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    return shown.replace("\r\n", "\n")


@pytest.mark.usefixtures("published")
def test_people_see_a_table() -> None:
    header, first, second = on_terminal("list", "plant_a").splitlines()
    assert header.split() == ["version", "installed", "verdict", "detected", "false", "alarms", "report"]
    assert first.split()[0] == "v1"
    assert "current" not in first
    assert second.split()[:2] == ["v2", "current"]
    assert "not validated" in second
    assert json.loads(on_terminal("list", "plant_a", "--json"))["status"] == "SUCCESS"


def test_the_list_has_what_validation_said(command: Any, published: OrganizationPaths) -> None:
    report = {"status": "REFUSED", "events": {"failures": 7, "detected": 5, "falseAlarms": 2}}
    write_json(published.validation_report("v1", ".json"), report)
    published.validation_report("v1", ".html").touch()
    first, second = command("list", "plant_a")[1]["versions"]
    assert (first["verdict"], first["failures"], first["detected"], first["falseAlarms"]) == ("REFUSED", 7, 5, 2)
    assert (second["verdict"], second["reportPath"]) == (None, None)
    assert command("report", "plant_a", "v1")[1]["reportPath"] == first["reportPath"]
    assert command("report", "plant_a")[1]["error"]["code"] == "ARTIFACT_MISSING"  # the published one has none


def test_a_configuration_names_organisation_and_version(
    command: Any, published: OrganizationPaths, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"organizationId": "plant_a", "version": "v1", "schemaConfig": {"continuousColumns": ["t"]}}')
    assert command("publish", str(config), "--force")[1]["version"] == "v1"
    assert command("publish", "plant_a")[1]["error"]["code"] == "USAGE"
    assert current_version(published) == "v1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rollback", "plant_a"], "Version v1 is published in place of v2."),
        (["prune", "plant_a", "--keep", "0"], "Removed: v1"),
        (["verify", "plant_a"], "2 versions and 4 records of the audit log are as they were written."),
    ],
)
@pytest.mark.usefixtures("published")
def test_people_read_words(arguments: list[str], words: str) -> None:
    assert words in on_terminal(*arguments).splitlines()
