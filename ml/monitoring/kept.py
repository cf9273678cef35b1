"""What the last look at a published model has found, and whether it would still find the same. No numerical library."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ml
from ml.config import OrganizationConfig
from ml.errors import EagleError
from ml.workspace.files import read_json
from ml.workspace.paths import OrganizationPaths
from ml.workspace.safe_open import read_bytes
from ml.workspace.versions.manifest import MANIFEST
from ml.workspace.versions.store import live_since

_PATTERN = "*?["
_MOST_FILES = 10_000


def fingerprint(config: OrganizationConfig, paths: OrganizationPaths, version: str) -> str:
    """What the figures of a published version depend on, as SHA-256.

    That is the configuration, the version and when it went live, the sizes and times of all files that rows come from,
    and the day: without new rows a model grows older, and time passes without data. A database on a server is not
    asked, so there it is the day alone.
    """
    manifest = hashlib.sha256(read_bytes(paths.version(version) / MANIFEST)).hexdigest()
    told = [
        ml.__version__,
        config.model_copy(update={"version": version}).to_json(),
        manifest,
        str(live_since(paths, version)),
        datetime.now(UTC).date().isoformat(),
        *(state for path in _files(config) for state in _states(path)),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def kept_result(config: OrganizationConfig, paths: OrganizationPaths, version: str) -> dict[str, Any] | None:
    """The content of ``monitoring.json``, if a look now would find the same; None if it must be taken."""
    try:
        content = read_json(paths.monitoring(version, ".json"), "the result of monitoring")
        is_whole = isinstance(content.get("verdict"), str) and isinstance(content.get("reasons"), list)
        return content if is_whole and content.get("fingerprint") == fingerprint(config, paths, version) else None
    except (EagleError, OSError):
        return None


def _files(config: OrganizationConfig) -> Iterator[str]:
    database, feedback = config.scada_db_config, config.feedback_config
    if config.data_source is not None:
        yield config.data_source.path
    if database is not None and database.driver == "sqlite":
        yield database.database
        yield f"{database.database}-wal"
    yield from (table.path for table in config.tables.values() if table.path is not None)
    if feedback is not None and feedback.path is not None:
        yield feedback.path


def _states(path: str) -> Iterator[str]:
    """Size and time of a file, or of every file of a folder or pattern."""
    if any(mark in path for mark in _PATTERN):
        found = [Path(each) for each in sorted(glob.glob(path))[:_MOST_FILES]]  # noqa: PTH207 - patterns with folders
    else:
        file = Path(path)
        found = sorted(file.iterdir())[:_MOST_FILES] if file.is_dir() else [file]
    for file in found:
        try:
            status = file.stat()
            yield f"{file.name}:{status.st_size}:{status.st_mtime_ns}"
        except OSError:
            yield f"{file.name}:missing"
