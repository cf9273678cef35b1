"""Everything an organisation has published or could publish, checked at once."""

from __future__ import annotations

from typing import Any

from ml.errors import EagleError, IntegrityError, MissingArtifactError
from ml.workspace import audit
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.listing import check_listing
from ml.workspace.versions.manifest import verify
from ml.workspace.versions.store import current_version, list_versions

_NAMED_PROBLEMS = 5  # enough to act on; a thousand would not be read


def verify_organization(paths: OrganizationPaths) -> dict[str, Any]:
    """Check every version's manifest and listing, the published link and the audit chain.

    Gives ``versions`` and ``auditRecords`` counted, ``current`` and ``auditHead``. Raises MissingArtifactError if the
    organisation has neither models nor artifacts, and IntegrityError, which names what is not as it was written.
    """
    require_organization(paths)
    problems: list[str] = []
    names: list[str] = []
    current, count = None, 0
    try:
        current = current_version(paths)
        names = [info.name for info in list_versions(paths)]
    except EagleError as error:
        problems.append(error.message)
    for name in names:
        problems += _problem(paths, name)
    try:
        count = audit.verify_chain(paths)
    except IntegrityError as error:
        problems.append(error.message)
    if problems:
        more = f" (and {len(problems) - _NAMED_PROBLEMS} more)" if len(problems) > _NAMED_PROBLEMS else ""
        raise IntegrityError("; ".join(problems[:_NAMED_PROBLEMS]) + more, hint="restore from a backup")
    return {"versions": len(names), "current": current, "auditRecords": count, "auditHead": audit.head(paths)}


def require_organization(paths: OrganizationPaths) -> None:
    """Raise MissingArtifactError if the organisation has neither models nor artifacts."""
    if not paths.models.is_dir() and not paths.artifacts.is_dir():
        raise MissingArtifactError(
            f'there is no organisation "{paths.organization_id}"',
            hint=f"check the spelling, or name the workspace; this one is {paths.models.parent.parent}",
        )


def _problem(paths: OrganizationPaths, version: str) -> list[str]:
    try:
        verify(paths.version(version), paths.organization_id, version)
        check_listing(paths, version)
    except EagleError as error:
        return [error.message]
    return []
