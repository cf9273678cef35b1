"""What a prepared file says about itself: whose it is and how it was made, in the metadata of the Parquet file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ml.errors import IntegrityError, IsolationError

METADATA_KEY = b"eagle"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class Fingerprint:
    """Origin of a prepared file."""

    organization_id: str
    interval: int
    max_gap: int
    horizon: int
    config_digest: str
    sensors: tuple[str, ...]
    summary: dict[str, Any]

    def to_metadata(self) -> dict[bytes, bytes]:
        """The entry of the Parquet file's metadata."""
        content = {
            "formatVersion": FORMAT_VERSION,
            "organizationId": self.organization_id,
            "interval": self.interval,
            "maxGap": self.max_gap,
            "horizon": self.horizon,
            "configDigest": self.config_digest,
            "sensors": list(self.sensors),
            "summary": self.summary,
        }
        return {METADATA_KEY: json.dumps(content, sort_keys=True, separators=(",", ":")).encode()}


def read_fingerprint(path: Path) -> Fingerprint | None:
    """The fingerprint of a prepared file; None for any other file.

    Raises
    ------
    IntegrityError
        If the fingerprint is damaged, or of a format that this release does not know.
    """
    try:
        metadata = pyarrow.parquet.read_metadata(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return None
    if METADATA_KEY not in metadata:
        return None
    try:
        content = json.loads(metadata[METADATA_KEY])
        version = content["formatVersion"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None
    if version != FORMAT_VERSION:
        raise IntegrityError(
            f"{path.name} has the prepared data format {version}; this release reads format {FORMAT_VERSION}",
            hint="prepare the data again, or use the release that wrote it",
        )
    try:
        return Fingerprint(
            organization_id=str(content["organizationId"]),
            interval=int(content["interval"]),
            max_gap=int(content["maxGap"]),
            horizon=int(content["horizon"]),
            config_digest=str(content["configDigest"]),
            sensors=tuple(content["sensors"]),
            summary=dict(content["summary"]),
        )
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None


def refuse_foreign(path: Path, *, organization_id: str) -> Fingerprint | None:
    """As `read_fingerprint`, for files that this organisation may read.

    Raises
    ------
    IsolationError
        If the file was prepared for another organisation, which the message does not name.
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
