from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ml.errors import BusyError, ConfigError, IntegrityError, IsolationError, MissingArtifactError, StorageError
from ml.workspace import audit
from ml.workspace.locks import organization_lock
from ml.workspace.paths import OrganizationPaths
from ml.workspace.temp_files import temporary_path
from ml.workspace.versions.manifest import verify
from ml.workspace.versions.store import (
    current_version,
    is_current,
    link_model,
    list_versions,
    publish,
    recover,
    rollback,
    stage_version,
)
from tests.unit.workspace.lock_holder import hold


class Killed(BaseException):
    pass


def install(paths: OrganizationPaths, version: str, content: str = "model") -> None:
    with stage_version(paths, version) as folder:
        (folder / "model.onnx").write_text(content)
        (folder / "metadata.json").write_text(json.dumps({"modelType": "lightgbm", "metrics": {"auc": 0.9}}))


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything below `folder`: file contents and link targets."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def model(paths: OrganizationPaths) -> str:
    return (paths.current / "model.onnx").read_text()


def test_a_version_is_installed_whole_and_private(paths: OrganizationPaths) -> None:
    install(paths, "v1")
    manifest = verify(paths.version("v1"), "plant_a", "v1")
    assert set(manifest["files"]) == {"model.onnx", "metadata.json"}
    assert {file.stat().st_mode & 0o777 for file in paths.version("v1").iterdir()} == {0o600}
    assert [entry.name for entry in paths.versions.iterdir()] == ["v1"]
    assert current_version(paths) is None


@pytest.mark.parametrize("failure", [ValueError("x"), Killed()])
def test_a_failed_stage_leaves_nothing(paths: OrganizationPaths, failure: BaseException) -> None:
    install(paths, "v1")
    before = tree(paths.models)

    def stage_half(version: str) -> None:
        with stage_version(paths, version) as folder:
            (folder / "model.onnx").write_text("half")
            raise failure

    for version in ("v1", "v2"):
        with pytest.raises(type(failure)):
            stage_half(version)
    assert tree(paths.models) == before
    assert [entry.name for entry in paths.versions.iterdir()] == ["v1"]


def test_the_same_content_again_changes_nothing_even_if_published(paths: OrganizationPaths) -> None:
    install(paths, "v1")
    publish(paths, "v1")
    identity = paths.version("v1").stat().st_ino
    install(paths, "v1")
    assert paths.version("v1").stat().st_ino == identity


def test_a_version_that_is_not_published_is_replaced(paths: OrganizationPaths) -> None:
    install(paths, "v1", "old")
    install(paths, "v1", "new")
    assert (paths.version("v1") / "model.onnx").read_text() == "new"
    assert [entry.name for entry in paths.versions.iterdir()] == ["v1"]


def test_a_damaged_version_is_replaced_by_the_same_content(paths: OrganizationPaths) -> None:
    install(paths, "v1")
    (paths.version("v1") / "model.onnx").write_text("mOdel")
    install(paths, "v1")
    assert (paths.version("v1") / "model.onnx").read_text() == "model"


def test_the_published_version_is_never_changed(paths: OrganizationPaths) -> None:
    install(paths, "v1", "old")
    publish(paths, "v1")
    before = tree(paths.models)
    with pytest.raises(ConfigError, match=r'version "v1" is published.*') as refusal:
        install(paths, "v1", "new")
    assert "choose a new" in (refusal.value.hint or "")
    assert tree(paths.models) == before


def test_links_in_a_staged_version_are_refused_and_left_alone(paths: OrganizationPaths, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    with pytest.raises(IntegrityError, match="not a regular file"), stage_version(paths, "v1") as folder:
        (folder / "model.onnx").symlink_to(outside)
    assert outside.stat().st_mode & 0o777 == 0o644
    assert not paths.version("v1").exists()


def test_remains_of_a_killed_run_are_removed_by_the_next(paths: OrganizationPaths) -> None:
    code = """
import os
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import stage_version
with stage_version(OrganizationPaths("plant_a"), "v1") as folder:
    (folder / "model.onnx").write_text("half")
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(list(paths.versions.iterdir())) == 2  # with its lock
    with temporary_path(paths.version("v3"), "staging") as alive:
        alive.mkdir()
        install(paths, "v2")
        assert {entry.name for entry in paths.versions.iterdir() if ".alive" not in entry.name} == {alive.name, "v2"}


def test_publishing_swaps_a_relative_link_and_is_audited(paths: OrganizationPaths) -> None:
    install(paths, "v1", "one")
    install(paths, "v2", "two")
    assert publish(paths, "v1").previous is None
    assert paths.current.readlink() == Path("versions/v1")
    published = publish(paths, "v2", config_digest="c" * 64)
    assert (published.previous, model(paths)) == ("v1", "two")
    assert is_current(paths, "v2")
    records = [(r["operation"], r["version"], r["result"]) for r in audit.records(paths)]
    assert records[2:] == [("publish", "v2", "started"), ("publish", "v2", "succeeded")]


def test_a_damaged_or_missing_version_is_not_published(paths: OrganizationPaths) -> None:
    install(paths, "v1", "one")
    install(paths, "v2", "two")
    publish(paths, "v1")
    before = tree(paths.models)
    (paths.version("v2") / "model.onnx").write_text("twO")
    with pytest.raises(IntegrityError):
        publish(paths, "v2")
    with pytest.raises(MissingArtifactError):
        publish(paths, "v3")
    with pytest.raises(IsolationError):
        publish(paths, "../v1")
    (paths.version("v2") / "model.onnx").write_text("two")
    assert tree(paths.models) == before


@pytest.mark.parametrize("failing", ["symlink_to", "replace"])
def test_a_swap_that_fails_leaves_the_old_version(
    paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    install(paths, "v1", "one")
    install(paths, "v2", "two")
    publish(paths, "v1")
    before = tree(paths.models)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, failing, refuse)
    with pytest.raises(StorageError):
        publish(paths, "v2")
    monkeypatch.undo()
    assert tree(paths.models) == before


def test_where_links_cannot_be_made_the_message_says_so(
    paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(paths, "v1")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(StorageError) as refusal:
        publish(paths, "v1")
    assert "symbolic links" in (refusal.value.hint or "")


def test_the_name_for_the_backend(paths: OrganizationPaths) -> None:
    install(paths, "v1")
    link = link_model(paths, "v1")
    assert link.readlink() == Path("versions/v1/model.onnx")
    assert (link.name, link.read_text()) == ("model_v1.onnx", "model")
    with stage_version(paths, "v2") as folder:
        (folder / "model.txt").touch()
    with pytest.raises(MissingArtifactError, match=r"no model\.onnx"):
        link_model(paths, "v2")


def test_rollback_goes_back_step_by_step(paths: OrganizationPaths) -> None:
    for version in ("v1", "v2", "v3"):
        install(paths, version, version)
        publish(paths, version)
    assert [rollback(paths).version, model(paths)] == ["v2", "v2"]
    assert [rollback(paths).version, model(paths)] == ["v1", "v1"]
    with pytest.raises(MissingArtifactError, match="published before"):
        rollback(paths)
    assert rollback(paths, "v3").previous == "v1"
    assert rollback(paths).version == "v1"


def test_rollback_skips_what_was_deleted_and_what_is_current(paths: OrganizationPaths) -> None:
    import shutil

    for version in ("v1", "v2", "v3"):
        install(paths, version, version)
        publish(paths, version)
    publish(paths, "v3")
    shutil.rmtree(paths.version("v2"))
    assert rollback(paths).version == "v1"


def test_rollback_needs_a_whole_audit_log_or_a_name(paths: OrganizationPaths) -> None:
    for version in ("v1", "v2"):
        install(paths, version, version)
        publish(paths, version)
    paths.audit_log.write_bytes(paths.audit_log.read_bytes()[10:])
    with pytest.raises(IntegrityError, match="audit log"):
        rollback(paths)
    assert is_current(paths, "v2")
    assert rollback(paths, "v1").version == "v1"


def test_current_that_is_no_link_to_a_version_is_noticed(paths: OrganizationPaths) -> None:
    install(paths, "v1")
    for target in ("versions/v9", "versions", "versions/v1/model.onnx"):
        paths.current.unlink(missing_ok=True)
        (paths.models / "current").symlink_to(target)
        with pytest.raises(IntegrityError, match="does not lead to a version"):
            current_version(paths)
    assert publish(paths, "v1").previous is None
    paths.current.unlink()
    paths.current.mkdir()
    for read in (current_version, list_versions, lambda p: publish(p, "v1")):
        with pytest.raises(IntegrityError, match="is not a link"):
            read(paths)


def test_the_list_survives_missing_metadata(paths: OrganizationPaths) -> None:
    assert list_versions(paths) == []
    install(paths, "v2")
    with stage_version(paths, "v1") as folder:
        (folder / "metadata.json").write_text("[]")
    publish(paths, "v2")
    first, second = list_versions(paths)
    assert (first.name, first.current, first.model_type, first.metrics) == ("v1", False, None, {})
    assert (second.name, second.current, second.model_type, second.metrics) == ("v2", True, "lightgbm", {"auc": 0.9})
    assert second.to_json()["installed"].endswith("+00:00")


def test_publishing_waits_for_the_organisation_s_lock(
    paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(paths, "v1")
    monkeypatch.setattr("ml.workspace.locks.SHORT_WORK_SECONDS", 0.1)
    with hold(paths, "organization_lock(paths)"), pytest.raises(BusyError, match="organisation's models"):
        publish(paths, "v1")
    with organization_lock(paths):
        assert publish(paths, "v1").version == "v1"


def test_nothing_of_another_organisation_changes(paths: OrganizationPaths, root: Path) -> None:
    other = OrganizationPaths("plant_b", root)
    install(other, "v1", "other")
    publish(other, "v1")
    before = tree(other.models) | tree(other.artifacts)
    install(paths, "v1")
    publish(paths, "v1")
    install(paths, "v2", "new")
    publish(paths, "v2")
    rollback(paths)
    assert tree(other.models) | tree(other.artifacts) == before


def test_a_version_that_a_killed_run_had_moved_aside_comes_back(paths: OrganizationPaths) -> None:
    install(paths, "v1")
    before = tree(paths.versions)
    paths.version("v1").rename(paths.versions / ".old-0123456789abcdef-v1")
    assert list_versions(paths) == []
    recover(paths)
    assert tree(paths.versions) == before


def test_a_link_that_a_killed_rollback_left_is_cleared_by_the_next(paths: OrganizationPaths) -> None:
    for version in ("v1", "v2"):
        install(paths, version)
        publish(paths, version)
    left = paths.models / ".staging-0123456789abcdef-current"
    left.symlink_to("versions/v1")
    rollback(paths)
    assert not left.is_symlink()
    assert current_version(paths) == "v1"
