"""``model_<version>.onnx.metadata.json``: what the backend's deployment service lists a model by.

It lies beside the link, outside the version: the version's bytes do not know when it was made.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ml.errors import IntegrityError
from ml.workspace.files import json_if_readable, read_json, sha256, write_json
from ml.workspace.paths import OrganizationPaths

_SCORES = ("accuracy", "precision", "recall", "auc")
_WHAT_IT_IS = ("organizationId", "version", "size", "checksum", "features")


def write_listing(paths: OrganizationPaths, version: str) -> None:
    """List an installed version that has a ``model.onnx``; the same version gives the same bytes.

    Scores are those of ``metrics.json``, where that is about this model, else the ones on the validation part.
    """
    write_json(paths.model_listing(version), _listing(paths, version))


def check_listing(paths: OrganizationPaths, version: str) -> None:
    """Compare the listing, where there is one, with the version.

    Raises IntegrityError if it is about another model than the version holds: a server would be told the wrong
    features.
    """
    listing = paths.model_listing(version)
    if not listing.exists():
        return
    found, wanted = read_json(listing, "the listing"), _listing(paths, version)
    wrong = [key for key in _WHAT_IT_IS if found.get(key) != wanted[key]]
    if wrong:
        raise IntegrityError(
            f'{listing.name} does not describe version "{version}": {wrong[0]} differs',
            hint="run train_model.py or convert_to_onnx.py for the version again",
        )


def _listing(paths: OrganizationPaths, version: str) -> dict[str, Any]:
    folder = paths.version(version)
    model = folder / "model.onnx"
    if not model.is_file():
        raise IntegrityError(f'version "{version}" is listed for the backend, but has no {model.name}')
    metadata = json_if_readable(folder / "metadata.json")
    scores = _scores(paths, version, metadata)
    return {
        "organizationId": paths.organization_id,
        "version": version,
        "createdAt": datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="milliseconds"),
        **{name: scores.get(name) for name in _SCORES},
        "size": model.stat().st_size,
        "checksum": sha256(model),
        "features": metadata.get("features"),
        "servingProfile": metadata.get("servingProfile"),
        "suggestedThreshold": metadata.get("suggestedThreshold"),
        "encrypted": False,
    }


def _scores(paths: OrganizationPaths, version: str, metadata: dict[str, Any]) -> dict[str, Any]:
    metrics, validation = json_if_readable(paths.metrics(version)), metadata.get("metrics")
    if metrics.get("validation") == validation:
        return metrics
    return validation if isinstance(validation, dict) else {}
