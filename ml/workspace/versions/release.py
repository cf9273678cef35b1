"""Whether validation lets a version be published: its report, of exactly this model and threshold, has passed."""

from __future__ import annotations

import hashlib
from typing import Any

from ml.errors import QualityGateError
from ml.workspace.files import read_json
from ml.workspace.paths import OrganizationPaths
from ml.workspace.safe_open import read_bytes
from ml.workspace.versions.store import METADATA_FILE, MODEL_FILE


def require_passed_report(paths: OrganizationPaths, version: str, *, hint: str) -> None:
    """Refuse a version that did not pass validation as it is installed.

    Raises QualityGateError if there is no report, it did not pass, or it is about another model or threshold;
    MissingArtifactError, IntegrityError if a file of the version cannot be read.

    Parameters
    ----------
    hint
        How to publish it all the same.
    """
    file = paths.validation_report(version, ".json")
    if not file.is_file():
        raise _refused(version, "has no validation report; it is not published", hint)
    report = read_json(file, "the validation report")
    if report.get("status") != "PASSED":
        told = f"did not pass validation; it is not published: {report.get('verdict')}"
        raise _refused(version, told, hint)
    folder = paths.version(version)
    model = folder / MODEL_FILE
    if not model.is_file():
        raise _refused(version, f"has no {MODEL_FILE}; it is not published", "run convert_to_onnx.py")
    if report.get("modelSha256") != hashlib.sha256(read_bytes(model)).hexdigest():
        raise _refused(version, "has a validation report about another model; it is not published", hint)
    shipped = read_json(folder / METADATA_FILE, "the metadata").get("threshold")
    if report.get("threshold") != shipped:
        told = f"was validated at a threshold of {_number(report.get('threshold'))}, but ships with {_number(shipped)}"
        raise _refused(
            version, f"{told}; it is not published", "run validate_model.py without validationConfig.threshold"
        )


def has_passed(paths: OrganizationPaths, version: str) -> bool:
    """Whether `require_passed_report` lets the version pass."""
    try:
        require_passed_report(paths, version, hint="")
    except QualityGateError:
        return False
    return True


def _refused(version: str, told: str, hint: str) -> QualityGateError:
    return QualityGateError(f'version "{version}" {told}', hint=hint)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
