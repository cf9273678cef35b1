"""Model versions: staged whole, installed by a rename, published by swapping one link.

A reader of ``current`` sees the version before or the version after, never a mixture and never nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.errors import ConfigError, EagleError, IntegrityError, MissingArtifactError, StorageError
from ml.workspace import audit
from ml.workspace.files import (
    FILE_MODE,
    install_directory,
    json_if_readable,
    plain_storage_errors,
    scratch_directory,
    sync_folder,
)
from ml.workspace.locks import organization_lock
from ml.workspace.paths import OrganizationPaths
from ml.workspace.safe_open import pinned, read_bytes
from ml.workspace.temp_files import clear_leftovers, temporary_path
from ml.workspace.versions.listing import write_listing
from ml.workspace.versions.manifest import MANIFEST, verify, write_manifest

MODEL_FILE = "model.onnx"
METADATA_FILE = "metadata.json"


@dataclass(frozen=True)
class VersionInfo:
    """One line of the list of versions; what ``metadata.json`` does not tell is None or empty."""

    name: str
    current: bool
    forced: bool
    """Whether it was published, the last time, without a passed validation."""
    installed: datetime
    model_type: str | None
    metrics: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {
            "version": self.name,
            "current": self.current,
            "forced": self.forced,
            "installed": self.installed.isoformat(timespec="seconds"),
            "modelType": self.model_type,
            "metrics": self.metrics,
        }


@dataclass(frozen=True)
class Published:
    """What publishing changed."""

    version: str
    previous: str | None
    forced: bool = False
    """Whether no passed validation stood behind it."""

    def to_json(self) -> dict[str, Any]:
        """The change as JSON."""
        return {"version": self.version, "previousVersion": self.previous, "forced": self.forced}


def recover(paths: OrganizationPaths) -> None:
    """Put the models in order after runs that were killed: a version that one had only moved aside comes back.

    Raises StorageError, BusyError if the disk refuses, or another process holds the organisation's lock.
    """
    with organization_lock(paths), plain_storage_errors("the models folder"):
        clear_leftovers(paths.models)
        clear_leftovers(paths.versions)


@contextmanager
def stage_version(paths: OrganizationPaths, version: str) -> Iterator[Path]:
    """An empty folder that becomes the model version `version` when the block ends well.

    A version with the same content is kept as it is. One with other content is replaced, unless it is published.
    If the block fails, nothing has changed.

    Raises ConfigError if the published version has this name and other content; IntegrityError if something in the
    folder is not a regular file; StorageError, BusyError if the disk refuses, or another process holds the
    organisation's lock.
    """
    target = paths.version(version)
    recover(paths)
    with scratch_directory(target.parent, version) as staged:
        yield staged
        with plain_storage_errors(f'version "{version}"'):
            write_manifest(staged, paths.organization_id, version)
            with pinned(staged) as folder:
                for file in folder.iterdir():
                    file.chmod(FILE_MODE)
        with organization_lock(paths):
            _install(paths, version, staged)


def current_version(paths: OrganizationPaths) -> str | None:
    """Name of the published version, None if nothing is published.

    Raises IntegrityError if ``current`` is not a link to a version.
    """
    link = paths.current
    if not os.path.lexists(link):
        return None
    if not link.is_symlink():
        raise IntegrityError('"current" is not a link', hint="move it away, then publish a version")
    target = link.readlink()
    if target.parent != Path("versions") or not paths.version(target.name).is_dir():
        raise IntegrityError('"current" does not lead to a version', hint="publish a version again")
    return target.name


def published_version(paths: OrganizationPaths) -> str:
    """As `current_version`; raises MissingArtifactError if nothing is published."""
    published = current_version(paths)
    if published is None:
        raise MissingArtifactError(
            f'nothing is published for organisation "{paths.organization_id}"',
            hint="run convert_to_onnx.py, or name a version",
        )
    return published


def is_current(paths: OrganizationPaths, version: str) -> bool:
    """Whether `version` is the published one; raises as `current_version`."""
    return current_version(paths) == version


def list_versions(paths: OrganizationPaths) -> list[VersionInfo]:
    """All installed versions by name."""
    if not paths.versions.is_dir():
        return []
    current, published = current_version(paths), publications(paths)
    with pinned(paths.versions) as folder:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    return [_info(paths.version(name), name == current, published.get(name, False)) for name in names]


def require_version(paths: OrganizationPaths, version: str) -> None:
    """Raise MissingArtifactError or IntegrityError unless the version is there, and is what its manifest says."""
    verify(paths.version(version), paths.organization_id, version)


def publish(
    paths: OrganizationPaths, version: str, *, config_digest: str | None = None, forced: bool = False
) -> Published:
    """Make `version` the one that ``current`` leads to, after checking every byte of it.

    Whether validation lets it pass is the caller's to ask (`ml.workspace.versions.release`); `forced` says that it
    does not, and goes into the audit log.

    Raises
    ------
    MissingArtifactError, IntegrityError
        If there is no such version, or it is not what its manifest says. Nothing has changed then.
    StorageError
        If the disk refuses, or the file system has no symbolic links.
    """
    with organization_lock(paths):
        return _switch(paths, version, "publish", config_digest, forced)


def publications(paths: OrganizationPaths) -> dict[str, bool]:
    """Every version that was ever published, and whether it was forced the last time.

    Empty where the audit log is broken, which `verify` tells.
    """
    try:
        return {record["version"]: record.get("forced") is True for record in _published_records(paths)}
    except IntegrityError:
        return {}


def live_since(paths: OrganizationPaths, version: str) -> datetime | None:
    """When the published version went live: the first of the publications in a row that it is in now.

    None where the audit log does not know of it; raises IntegrityError where that is broken.
    """
    since = None
    for record in reversed(_published_records(paths)):
        if record["version"] != version:
            break
        since = datetime.fromisoformat(record["time"])
    return since


def rollback(paths: OrganizationPaths, to: str | None = None) -> Published:
    """Publish the version that was published before the current one, or the one named by `to`.

    Raises MissingArtifactError if none was published before that is still there; IntegrityError if the audit log, which
    tells what was published before, is broken.
    """
    with organization_lock(paths):
        version = to or _published_before(paths)
        return _switch(paths, version, "rollback", None, publications(paths).get(version, False))


def link_model(paths: OrganizationPaths, version: str) -> Path:
    """Make the name under which the backend opens this version's model lead to it, list it, and return that name.

    Raises MissingArtifactError if the version has no ``model.onnx``.
    """
    target = paths.version(version) / MODEL_FILE
    if not target.is_file():
        raise MissingArtifactError(f'version "{version}" has no {MODEL_FILE}', hint="run convert_to_onnx.py")
    link = paths.model_link(version)
    with organization_lock(paths):
        _point(link, target)
        write_listing(paths, version)
    return link


def _install(paths: OrganizationPaths, version: str, staged: Path) -> None:
    target = paths.version(version)
    if _same_content(paths, version, staged):
        return
    if target.exists() and is_current(paths, version):
        raise ConfigError(
            f'version "{version}" is published and must not change',
            field="version",
            hint='choose a new "version", or publish another one first',
        )
    install_directory(staged, target)


def _same_content(paths: OrganizationPaths, version: str, staged: Path) -> bool:
    """Whether the installed version has the manifest of the staged one, and is what that manifest says."""
    try:
        verify(paths.version(version), paths.organization_id, version)
    except EagleError:
        return False
    return read_bytes(paths.version(version) / MANIFEST) == read_bytes(staged / MANIFEST)


def _switch(
    paths: OrganizationPaths, version: str, operation: str, config_digest: str | None, forced: bool
) -> Published:
    target = paths.version(version)
    verify(target, paths.organization_id, version)
    previous = _current_if_whole(paths)
    trained_by, trained_on = _origin(target)
    digest = config_digest or trained_by
    with audit.recorded(paths, operation, version=version, config_digest=digest, data_digest=trained_on, forced=forced):
        _point(paths.current, target)
    return Published(version, previous, forced)


def _origin(folder: Path) -> tuple[str | None, str | None]:
    """SHA-256s of the configuration and of the data that a version was trained with, as far as it tells."""
    metadata = json_if_readable(folder / METADATA_FILE)
    data = metadata.get("data")
    config_digest, data_digest = metadata.get("configDigest"), data.get("digest") if isinstance(data, dict) else None
    return (
        config_digest if isinstance(config_digest, str) else None,
        data_digest if isinstance(data_digest, str) else None,
    )


def _current_if_whole(paths: OrganizationPaths) -> str | None:
    """As `current_version`; None for a broken link, which publishing repairs."""
    try:
        return current_version(paths)
    except IntegrityError:
        return None


def _point(link: Path, target: Path) -> None:
    """Make `link` a relative symbolic link to `target` in one step; the caller holds the organisation's lock."""
    with plain_storage_errors("the models folder"), pinned(link.parent) as folder:
        clear_leftovers(link.parent)
        _point_in(folder, link.name, target.relative_to(link.parent))


def _point_in(folder: Path, name: str, target: Path) -> None:
    link = folder / name
    if link.exists() and not link.is_symlink():
        raise IntegrityError(f'"{link.name}" is not a link', hint="move it away, then try again")
    with plain_storage_errors(link.name), temporary_path(link, "staging") as temporary:
        try:
            temporary.symlink_to(target)
        except OSError as error:
            raise StorageError(
                f'the link "{link.name}" cannot be made: {error.strerror}',
                hint="put the workspace on a file system with symbolic links, and allow the user to make them",
            ) from error
        try:
            temporary.replace(link)
            sync_folder(folder)
        finally:
            temporary.unlink(missing_ok=True)


def _published_before(paths: OrganizationPaths) -> str:
    current = current_version(paths)
    earlier = (name for name in reversed(_publications(paths)) if name != current and paths.version(name).is_dir())
    version = next(earlier, None)
    if version is None:
        raise MissingArtifactError(
            "no version that is still there was published before this one",
            hint=f"name one: python -m ml.workspace rollback {paths.organization_id} VERSION",
        )
    return version


def _publications(paths: OrganizationPaths) -> list[str]:
    """Versions in the order they were published; a rollback takes back everything after the version it went to."""
    history: list[str] = []
    for record in _published_records(paths):
        version = record["version"]
        if record["operation"] == "publish" and history[-1:] != [version]:
            history.append(version)
        else:
            kept = len(history) - history[::-1].index(version) if version in history else 0
            history = history[:kept] if kept else [*history, version]
    return history


def _published_records(paths: OrganizationPaths) -> list[dict[str, Any]]:
    """Records of publishing and of going back that succeeded, oldest first."""
    return [
        record
        for record in audit.records(paths)
        if record.get("operation") in ("publish", "rollback")
        and record.get("result") == audit.SUCCEEDED
        and isinstance(record.get("version"), str)
    ]


def _info(folder: Path, current: bool, forced: bool) -> VersionInfo:
    metadata = json_if_readable(folder / METADATA_FILE)
    model_type, metrics = metadata.get("modelType"), metadata.get("metrics")
    return VersionInfo(
        name=folder.name,
        current=current,
        forced=forced,
        installed=datetime.fromtimestamp(folder.stat().st_mtime, UTC),
        model_type=model_type if isinstance(model_type, str) else None,
        metrics=metrics if isinstance(metrics, dict) else {},
    )
