"""The audit log: who did what to an organisation's models, one JSON line each, chained by hashes.

Each record holds the SHA-256 of the line before it and of its own content, so a changed, dropped, added or reordered
line breaks the chain. What the chain cannot show is lines cut off at the end; that is what the head hash in every
step's result is for.
A record ``started`` without a later ``succeeded`` or ``failed`` means that the process was killed.
"""

from __future__ import annotations

import errno
import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.errors import EagleError, IntegrityError
from ml.workspace.files import FILE_MODE, make_folder, plain_storage_errors, sync_folder
from ml.workspace.locks import audit_lock
from ml.workspace.paths import OrganizationPaths
from ml.workspace.safe_open import open_file, read_bytes

STARTED = "started"
SUCCEEDED = "succeeded"
NO_RECORD = "0" * 64
"""What the first record names as the hash of the line before it."""


@dataclass
class Session:
    """One command: on whose behalf it runs, and the head of the audit log after its last record."""

    actor: str | None = None
    head: str | None = None


_SESSION: ContextVar[Session | None] = ContextVar("audit session", default=None)


@contextmanager
def session(actor: str | None) -> Iterator[Session]:
    """Within this block, every record says that it was written on behalf of `actor`."""
    opened = Session(actor)
    token = _SESSION.set(opened)
    try:
        yield opened
    finally:
        _SESSION.reset(token)


def failed(code: str) -> str:
    """The result of an operation that ended with the error `code`."""
    return f"failed: {code}"


def append(
    paths: OrganizationPaths,
    *,
    operation: str,
    result: str,
    version: str | None = None,
    config_digest: str | None = None,
    data_digest: str | None = None,
    forced: bool = False,
) -> str:
    """Add one record, flushed to the disk; gives the head: SHA-256 of the new line.

    A line that a power cut left half-written is closed. As it no longer tells what it followed, the new record does:
    ``"afterTornLine"`` is the hash of the line before it. Raises StorageError if the record cannot be written; the log
    is then as before.
    """
    opened = _SESSION.get()
    record = {
        "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        "user": _user(),
        "actor": opened.actor if opened is not None else None,
        "operation": operation,
        "version": version,
        "configDigest": config_digest,
        "dataDigest": data_digest,
        "result": result,
        **({"forced": True} if forced else {}),
    }
    with audit_lock(paths), plain_storage_errors("the audit log"):
        log = paths.audit_log
        make_folder(log.parent)
        descriptor = open_file(log, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
        try:
            new_head = _append_line(descriptor, record)
        finally:
            os.close(descriptor)
        sync_folder(log.parent)
    if opened is not None:
        opened.head = new_head
    return new_head


@contextmanager
def recorded(
    paths: OrganizationPaths,
    operation: str,
    *,
    version: str | None = None,
    config_digest: str | None = None,
    data_digest: str | None = None,
    forced: bool = False,
) -> Iterator[dict[str, Any]]:
    """Record that `operation` starts, and how the block ended: ``succeeded``, or ``failed`` with the error's code.

    The block may put what it finds out into the arguments of the last record, which it is given. Raises StorageError if
    the disk takes no record; without the first one the block does not run.
    """
    about: dict[str, Any] = {"version": version, "config_digest": config_digest, "forced": forced}
    about["data_digest"] = data_digest
    append(paths, operation=operation, result=STARTED, **about)
    try:
        yield about
    except EagleError as error:
        with suppress(EagleError):  # the first error is the one to tell
            append(paths, operation=operation, result=failed(error.code), **about)
        raise
    append(paths, operation=operation, result=SUCCEEDED, **about)


def verify_chain(paths: OrganizationPaths) -> int:
    """Number of records, if the chain is whole; raises IntegrityError that names the first bad line."""
    return len(records(paths))


def records(paths: OrganizationPaths) -> list[dict[str, Any]]:
    """All records, oldest first, once the chain has been checked; raises as `verify_chain`."""
    return checked(_content(paths.audit_log))


def checked(content: bytes) -> list[dict[str, Any]]:
    """The records of a log with this content; raises as `verify_chain`."""
    if content and not content.endswith(b"\n"):
        raise _broken(content.count(b"\n") + 1, "is not complete: the process that wrote it was cut off")
    found: list[dict[str, Any]] = []
    earlier, previous, torn = NO_RECORD, NO_RECORD, None
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        record = _parsed(line)
        if record is None:
            if torn is not None:
                raise _broken(torn, "is not a record")
            torn = number
        else:
            _check_link(record, number, (earlier, previous), torn)
            found.append(record)
            torn = None
        earlier, previous = previous, _hash(line)
    if torn is not None:
        raise _broken(torn, "is not a record")
    return found


def head(paths: OrganizationPaths) -> str:
    """SHA-256 of the last line, `NO_RECORD` if there is none."""
    content = _content(paths.audit_log).removesuffix(b"\n")
    return _hash(content.rpartition(b"\n")[2]) if content else NO_RECORD


def _append_line(descriptor: int, record: dict[str, Any]) -> str:
    size = os.fstat(descriptor).st_size
    last = _last_line(descriptor, size)
    torn = bool(last) and not last.endswith(b"\n")
    record["previous"] = _link(last)
    if torn:
        record["afterTornLine"] = _link(_last_line(descriptor, size - len(last)))
    line = _sealed(record)
    whole = (b"\n" if torn else b"") + line + b"\n"
    if os.write(descriptor, whole) != len(whole):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)
    return _hash(line)


def _last_line(descriptor: int, size: int) -> bytes:
    block = 4096
    while True:
        start = max(0, size - block)
        tail = os.pread(descriptor, size - start, start)
        newline = tail.rfind(b"\n", 0, -1)
        if newline >= 0 or start == 0:
            return tail[newline + 1 :]
        block *= 2


def _check_link(record: dict[str, Any], number: int, before: tuple[str, str], torn: int | None) -> None:
    """Raise IntegrityError unless the record follows the two lines whose hashes are `before`."""
    if torn is not None and "afterTornLine" not in record:
        raise _broken(torn, "is not a record")
    if (record.get("afterTornLine", before[0]), record["previous"]) != before:
        raise _broken(number, "does not follow from the line before it")


def _sealed(record: dict[str, Any]) -> bytes:
    """The one spelling of a record, the hash of its content last."""
    content = json.dumps(record, separators=(",", ":"))
    return json.dumps(record | {"digest": _hash(content.encode())}, separators=(",", ":")).encode()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record in `line`, None if it is not exactly as it was written."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or "previous" not in record:
        return None
    record.pop("digest", None)
    return record if _sealed(record) == line else None


def _content(log: Path) -> bytes:
    return read_bytes(log) if log.exists() else b""


def _link(line: bytes) -> str:
    """What the next record names as its line before."""
    return _hash(line) if line else NO_RECORD


def _hash(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def _broken(number: int, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the audit log is broken: line {number} {reason}",
        hint="keep the file as evidence, compare it with a backup, and move it aside to start a new chain",
    )


def _user() -> str:
    """The operating system's name for the user; the environment is asked only where there is nothing better."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
    except ImportError:
        return getpass.getuser()
