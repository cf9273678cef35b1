"""What a prepared file says about itself: whose it is and how it was made, in the metadata of the Parquet file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet
from pydantic import ValidationError, field_validator
from pydantic_core import PydanticCustomError

from ml.errors import IntegrityError, IsolationError
from ml.options.base import Identifier, PositiveSeconds, Seconds, Section
from ml.workspace.files import parse_json

METADATA_KEY = b"eagle"
FORMAT_VERSION: Literal[2] = 2
WITH_MODES: Literal[3] = 3
"""Formats of prepared data; the second has a column more, for the modes of failure."""


class Fingerprint(Section):
    """Origin of a prepared file."""

    format_version: Literal[2, 3] = FORMAT_VERSION
    organization_id: Identifier
    interval: PositiveSeconds
    max_gap: PositiveSeconds
    own_gaps: dict[str, PositiveSeconds]
    horizon: Seconds
    config_digest: str
    sensors: tuple[str, ...]
    modes: tuple[str, ...] = ()
    summary: dict[str, Any]

    @field_validator("summary")
    @classmethod
    def findings_are_findings(cls, summary: dict[str, Any]) -> dict[str, Any]:
        """What steps tell of the summary: a list of findings in their JSON form."""
        findings = summary.get("findings", [])
        if not isinstance(findings, list) or not all(_is_finding(each) for each in findings):
            raise PydanticCustomError("findings", "findings must be a list of objects with a code and a message")
        return summary

    def to_metadata(self) -> dict[bytes, bytes]:
        """The entry of the Parquet file's metadata."""
        content = {**self.model_dump(by_alias=True), "sensors": list(self.sensors), "modes": list(self.modes)}
        if self.modes:
            content["formatVersion"] = WITH_MODES
        else:
            del content["modes"]
        return {METADATA_KEY: json.dumps(content, sort_keys=True, separators=(",", ":")).encode()}


def _is_finding(entry: object) -> bool:
    texts = isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())
    return texts and isinstance(entry, dict) and {"code", "message"} <= entry.keys()


def read_fingerprint(path: Path) -> Fingerprint | None:
    """The fingerprint of a prepared file; None for any other file.

    Raises IntegrityError if the fingerprint is damaged, or of a format that this release does not know.
    """
    try:
        metadata = pyarrow.parquet.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    if METADATA_KEY not in metadata:
        return None
    try:
        content = parse_json(metadata[METADATA_KEY])
        version = content["formatVersion"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None
    if version not in (FORMAT_VERSION, WITH_MODES):
        raise IntegrityError(
            f"{path.name} has the prepared data format {str(version)[:20]}; this release reads the formats "
            f"{FORMAT_VERSION} and {WITH_MODES}",
            hint="prepare the data again, or use the release that wrote it",
        )
    try:
        return Fingerprint.model_validate(content)
    except ValidationError:
        raise _damaged(path) from None


def refuse_foreign(path: Path, *, organization_id: str) -> Fingerprint | None:
    """As `read_fingerprint`, for files that this organisation may read.

    Raises IsolationError if the file was prepared for another organisation, which the message does not name.
    """
    fingerprint = read_fingerprint(path)
    if fingerprint is not None and fingerprint.organization_id != organization_id:
        raise IsolationError(
            f"{path.name} was prepared for another organisation than {organization_id}",
            hint="give a file that this organisation's data_prep wrote",
        )
    return fingerprint


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(f"the description inside {path.name} is damaged", hint="prepare the data again")
