"""Who may write what at the same time: one lock for an organisation, one for each version, one for the
audit log, one for the rows fetched from its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import BusyError
from ml.workspace.files import FILE_MODE, make_folder, storage_error
from ml.workspace.paths import OrganizationPaths

SHORT_WORK_SECONDS = 60.0  # what these locks protect takes milliseconds; a minute means that something hangs
UNTIL_IT_ENDS = -1.0  # fetching may take hours; the system frees the lock if its holder dies


@contextmanager
def organization_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the organisation's lock, waiting for others; raises BusyError after a minute."""
    with _held(paths.organization_lock, SHORT_WORK_SECONDS, "this organisation's models are"):
        yield


@contextmanager
def version_lock(paths: OrganizationPaths, version: str) -> Iterator[None]:
    """Hold the lock of `version` while a run writes it; a thread may take it again while it has it.

    Raises
    ------
    BusyError
        At once, if another run has it.
    """
    with _held(paths.version_lock(version), 0.0, f'version "{version}" is'):
        yield


@contextmanager
def slices_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the lock of the rows fetched from the database, waiting until another run has fetched what it needs."""
    with _held(paths.slices_lock, UNTIL_IT_ENDS, "what is fetched of this organisation's database is"):
        yield


@contextmanager
def audit_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the audit log's lock, waiting for others; raises BusyError after a minute."""
    with _held(paths.audit_lock, SHORT_WORK_SECONDS, "this organisation's audit log is"):
        yield


@contextmanager
def _held(file: Path, timeout: float, what: str) -> Iterator[None]:
    from filelock import FileLock, Timeout  # takes longer to import than a configuration takes to check

    make_folder(file.parent)
    lock = FileLock(file, mode=FILE_MODE, is_singleton=True)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:  # an OSError as well, so it comes first
        raise BusyError(
            f"{what} being written by another process", hint="wait until it has ended, or choose another version"
        ) from None
    except OSError as error:
        raise storage_error(error, file.name) from error
    try:
        yield
    finally:
        lock.release()
