"""``manifest.json``: which files a model version consists of, to the last byte.

It is written last, so a folder with a manifest is complete. It holds no time and no machine, so that equal files
give an equal manifest.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from ml.errors import IntegrityError, MissingArtifactError
from ml.workspace.files import read_json, sha256, write_json
from ml.workspace.safe_open import pinned

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


def write_manifest(folder: Path, organization_id: str, version: str) -> None:
    """Describe the files in `folder`; raises IntegrityError for anything in it that is not a regular file."""
    files = {name: _describe(folder / name) for name in sorted(_file_names(folder) - {MANIFEST})}
    write_json(
        folder / MANIFEST,
        {"formatVersion": FORMAT_VERSION, "organizationId": organization_id, "version": version, "files": files},
    )


def verify(folder: Path, organization_id: str, version: str) -> dict[str, Any]:
    """Check every byte in `folder` against its manifest, and return the manifest.

    Raises MissingArtifactError if there is no such version; IntegrityError if a file is changed, missing, added or a
    link; if the manifest is another organisation's or version's, or written by a newer release.
    """
    if not folder.is_dir():
        raise MissingArtifactError(
            f'there is no version "{version}"', hint=f"python -m ml.workspace list {organization_id}"
        )
    present = _file_names(folder)
    if MANIFEST not in present:
        raise _refused(version, f"it has no {MANIFEST}, so it is not complete")
    manifest = read_json(folder / MANIFEST, f'the manifest of version "{version}"')
    _check_origin(manifest, organization_id, version)
    _check_files(folder, manifest, present - {MANIFEST}, version)
    return manifest


def _check_origin(manifest: dict[str, Any], organization_id: str, version: str) -> None:
    written_by = manifest.get("formatVersion")
    if not isinstance(written_by, int) or isinstance(written_by, bool) or written_by < 1:
        raise _refused(version, "its manifest names no format version")
    if written_by > FORMAT_VERSION:
        raise _refused(version, f"its manifest has format {written_by}; this release reads up to {FORMAT_VERSION}")
    if manifest.get("organizationId") != organization_id:
        raise _refused(version, "its manifest belongs to another organisation")
    if manifest.get("version") != version:
        raise _refused(version, "its manifest belongs to another version")


def _check_files(folder: Path, manifest: dict[str, Any], present: set[str], version: str) -> None:
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise _refused(version, "its manifest lists no files")
    if missing := sorted(listed.keys() - present):
        raise _refused(version, f"{missing[0]} is missing")
    if extra := sorted(present - listed.keys()):
        raise _refused(version, f"{extra[0]} is not in its manifest")
    for name in sorted(listed):
        if _describe(folder / name) != listed[name]:
            raise _refused(version, f"{name} is not what its manifest says")


def _file_names(folder: Path) -> set[str]:
    with pinned(folder) as place:
        found = list(place.iterdir())
        for entry in found:
            status = entry.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise IntegrityError(f"{entry.name} in {folder.name} is not a regular file", hint="remove it")
            if status.st_nlink > 1:
                raise IntegrityError(
                    f"{entry.name} in {folder.name} has a second name (a hard link)", hint="put a copy in its place"
                )
    return {entry.name for entry in found}


def _describe(file: Path) -> dict[str, Any]:
    try:
        return {"sha256": sha256(file), "bytes": file.stat().st_size}
    except OSError as error:
        raise IntegrityError(f"{file.name} in {file.parent.name} cannot be read: {error.strerror}") from error


def _refused(version: str, reason: str) -> IntegrityError:
    return IntegrityError(
        f'version "{version}" is refused: {reason}', hint="restore the version from a backup, or train it again"
    )
