"""Where the trials of a search are kept: an Optuna journal file, or a PostgreSQL database.

Processes that search together share it. One that is killed leaves a trial that is never finished, and no lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from ml.errors import BusyError, SourceError
from ml.options.access.database_url import LIBPQ_WITHOUT_LOGINS, DatabaseUrl, parse_url
from ml.workspace.process.libraries import require_psycopg

if TYPE_CHECKING:
    from ml.options.learning import TuningConfig

_FIELD = "tuningConfig.storage"
_CONNECT_SECONDS = 10
_ATTEMPTS = 3  # two searches that make the tables of an empty database at once get into each other's way


@contextmanager
def opened_storage(tuning: TuningConfig, journal: Path | None, name: str) -> Iterator[BaseStorage]:
    """The storage that is configured, else the journal file, else one in memory.

    Parameters
    ----------
    name
        Of the search, ``organisation/...``: a password is that of the organisation.

    Raises
    ------
    MissingLibraryError
        If the library for PostgreSQL is not installed.
    SourceError
        If the database cannot be reached, refuses, or holds tables of another version of Optuna.
    ConfigError, IsolationError
        If the password that is named is not there.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if tuning.storage is not None:
        with _database(parse_url(tuning.storage), tuning.storage_secret(name.partition("/")[0])) as storage:
            yield storage
    elif journal is not None:
        yield JournalStorage(JournalFileBackend(str(journal), lock_obj=_JournalLock(journal)))
    else:
        yield InMemoryStorage()


class _JournalLock:
    """The system's lock on the journal itself, which ends with the process that holds it.

    Optuna's own are files beside it, which a killed process leaves behind, and whose names a link may have.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; then cut off a line that a killed process has left half-written."""
        file = os.fdopen(os.open(self._journal, os.O_RDWR | os.O_NOFOLLOW), "r+b", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            file.truncate(os.pread(file.fileno(), end, 0).rfind(b"\n") + 1)
        self._file = file
        return True

    def release(self) -> None:
        """Let the others write."""
        if self._file is not None:
            self._file.close()


@contextmanager
def _database(address: DatabaseUrl, password: str | None) -> Iterator[optuna.storages.RDBStorage]:
    require_psycopg(_FIELD)
    import sqlalchemy

    url = sqlalchemy.URL.create(
        "postgresql+psycopg", address.user, None, address.host, address.port, address.database, address.options
    )
    options = {"connect_timeout": _CONNECT_SECONDS, "password": password or "", **LIBPQ_WITHOUT_LOGINS}
    storage = _with_tables(url.render_as_string(), options)
    try:
        yield storage
    finally:
        storage.scoped_session.remove()
        storage.engine.dispose()


def _with_tables(url: str, options: dict[str, Any]) -> optuna.storages.RDBStorage:
    from sqlalchemy.exc import IntegrityError, ProgrammingError
    from sqlalchemy.pool import NullPool

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with plain_refusals():
                # Trials are far apart, and servers and firewalls end what is idle for long: nothing stays connected.
                return optuna.storages.RDBStorage(url, {"connect_args": options, "poolclass": NullPool})
        except SourceError as refusal:
            if attempt == _ATTEMPTS or not isinstance(refusal.__cause__, IntegrityError | ProgrammingError):
                raise
            time.sleep(attempt)
    raise AssertionError("unreachable")


@contextmanager
def plain_refusals() -> Iterator[None]:
    """Turn what the database and Optuna say into a SourceError; statements and their values are left out.

    BusyError where another search has ended a trial of this one.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        told = error if isinstance(error, SQLAlchemyError) else error.__cause__
        reason = str(getattr(told, "orig", None) or type(error).__name__).strip().splitlines()[0]
        raise SourceError(
            f"the database of tuningConfig.storage refuses: {reason}",
            field=_FIELD,
            hint="the role must be able to connect, and to create tables or use Optuna's",
        ) from error
    except optuna.exceptions.UpdateFinishedTrialError:
        raise BusyError(
            "another search of this version uses the same storage", hint="let it end, then run the step again"
        ) from None
    except RuntimeError as error:
        if "version" not in str(error):
            raise
        raise SourceError(
            "the database of tuningConfig.storage holds tables of another version of Optuna",
            field=_FIELD,
            hint=f"use an empty database, or upgrade its tables to Optuna {optuna.__version__}: optuna storage upgrade",
        ) from error
