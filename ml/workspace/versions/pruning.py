"""Removes old model versions; the published one and the backend's way to it are never touched."""

from __future__ import annotations

from ml.errors import BusyError
from ml.workspace import audit
from ml.workspace.files import plain_storage_errors, sync_folder
from ml.workspace.locks import organization_lock, version_lock
from ml.workspace.paths import OrganizationPaths
from ml.workspace.safe_open import pinned
from ml.workspace.temp_files import clear_leftovers, remove, temporary_path
from ml.workspace.versions.store import current_version, list_versions


def prune(paths: OrganizationPaths, keep: int) -> dict[str, list[str]]:
    """Remove all model versions but the `keep` installed last; the published one stays and is not counted.

    Gives the versions that went, those that are in use and stay for that, and those that are kept.
    A version goes by a rename, so that no reader sees half of one, together with its ``model_<version>.onnx``
    and the listing of that. What runs left in ``artifacts/`` stays. Each removal has its own records in the audit log.

    Raises IntegrityError if ``current`` does not lead to a version: then nothing is known to be safe to remove;
    StorageError, BusyError if the disk refuses, or another process holds the organisation's lock.
    """
    with organization_lock(paths):
        with plain_storage_errors("the models folder"):
            clear_leftovers(paths.versions)
        current = current_version(paths)
        newest_first = sorted(list_versions(paths), key=lambda info: (info.installed, info.name), reverse=True)
        others = [info.name for info in newest_first if info.name != current]
        removed, busy = list[str](), list[str]()
        for version in others[keep:]:
            try:
                with version_lock(paths, version):
                    _remove(paths, version)
                removed.append(version)
            except BusyError:
                busy.append(version)
    return {"removed": removed, "busy": busy, "kept": [*([] if current is None else [current]), *others[:keep]]}


def _remove(paths: OrganizationPaths, version: str) -> None:
    folder, link, listing = paths.version(version), paths.model_link(version), paths.model_listing(version)
    with audit.recorded(paths, "prune", version=version), plain_storage_errors(f'version "{version}"'):
        with pinned(link.parent) as place:
            if (place / link.name).is_symlink():
                (place / link.name).unlink()
            (place / listing.name).unlink(missing_ok=True)
            sync_folder(place)
        # a killed run's remains under this name are cleared, not given back
        with pinned(folder.parent) as place, temporary_path(place / folder.name, "staging") as aside:
            (place / folder.name).rename(aside)
            sync_folder(place)
            remove(aside)
