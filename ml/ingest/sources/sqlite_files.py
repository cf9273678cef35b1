"""The files of an SQLite database: SQLite opens some beside it by name, and what they hold becomes rows."""

from __future__ import annotations

from pathlib import Path

from ml.workspace.safe_open import refuse_second_name

_WAL = "-wal"
_COMPANIONS = (_WAL, "-shm", "-journal")


def refuse_second_names(database: Path) -> None:
    """Raise IsolationError if the database, or what lies beside it for SQLite, is a link, or has a second name.

    Such a file may be another organisation's. Links to the database itself must have been followed before.
    """
    for file in (database, *_companions(database)):
        try:
            status = file.lstat()
        except OSError:  # not there, or opening the database says why
            continue
        refuse_second_name(status, file)


def state_of(database: Path) -> str:
    """Sizes and times of the database and its write-ahead log: any change to them may have changed any row."""
    wal = database.with_name(database.name + _WAL)
    return "".join(_state(file) for file in (database, wal))


def _companions(database: Path) -> list[Path]:
    return [database.with_name(database.name + suffix) for suffix in _COMPANIONS]


def _state(file: Path) -> str:
    try:
        status = file.stat()
    except FileNotFoundError:
        return ""
    return f":{status.st_size}:{status.st_mtime_ns}" if status.st_size else ""  # reading may leave an empty log
