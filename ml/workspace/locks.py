"""Who may write what at the same time: one lock for an organisation, one for each version, one for the
audit log, one for the rows fetched from its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ml.errors import BusyError
from ml.workspace.files import FILE_MODE, make_folder, storage_error
from ml.workspace.paths import OrganizationPaths

SHORT_WORK_SECONDS = 60.0  # what these locks protect takes milliseconds; a minute means that something hangs
FETCHING_SECONDS = 3600.0  # a first fetch of years may take this long; longer, and somebody should know of the wait
_LATER = "wait until it has ended; if it hangs, end it"


@contextmanager
def organization_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the organisation's lock, waiting for others; raises BusyError after a minute."""
    with _held(paths.organization_lock, SHORT_WORK_SECONDS, "this organisation's models are", _LATER):
        yield


@contextmanager
def version_lock(paths: OrganizationPaths, version: str) -> Iterator[None]:
    """Hold the lock of what a run for `version` writes; a thread may take it again while it has it.

    That is the version itself and, where outputPath names another folder, the version whose folder that is.

    Raises BusyError at once, if another run has either.
    """
    hint = "wait until it has ended, or choose another version"
    folder = version if paths.output_path is None else paths.run(version).name
    with ExitStack() as stack:
        stack.enter_context(_held(paths.version_lock(version), 0.0, f'version "{version}" is', hint))
        if folder != version:
            hint = "wait until it has ended, or leave outputPath out"
            stack.enter_context(_held(paths.version_lock(folder), 0.0, f'outputPath "{folder}" is', hint))
        yield


@contextmanager
def slices_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the lock of the rows fetched from the database, waiting while another run fetches what it needs.

    Raises BusyError after an hour. What the other run has fetched by then need not be fetched again.
    """
    with _held(paths.slices_lock, FETCHING_SECONDS, "what is fetched of this organisation's database is", _LATER):
        yield


@contextmanager
def retraining_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the organisation's retraining; raises BusyError at once if another process retrains."""
    with _held(paths.retraining_lock, 0.0, "a new version of this organisation is", "wait until it has ended"):
        yield


@contextmanager
def audit_lock(paths: OrganizationPaths) -> Iterator[None]:
    """Hold the audit log's lock, waiting for others; raises BusyError after a minute."""
    with _held(paths.audit_lock, SHORT_WORK_SECONDS, "this organisation's audit log is", _LATER):
        yield


@contextmanager
def _held(file: Path, timeout: float, what: str, hint: str) -> Iterator[None]:
    from filelock import FileLock, Timeout  # takes longer to import than a configuration takes to check

    make_folder(file.parent)
    lock = FileLock(file, mode=FILE_MODE, is_singleton=True)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:  # an OSError as well, so it comes first
        waited = f", which was waited for {timeout:g} s" if timeout else ""
        raise BusyError(f"{what} being written by another process{waited}", hint=hint) from None
    except OSError as error:
        raise storage_error(error, file.name) from error
    try:
        yield
    finally:
        lock.release()
