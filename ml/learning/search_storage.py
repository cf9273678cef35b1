"""Where finished trials are kept: an Optuna journal file, or an Optuna study in PostgreSQL.

Only the process that searches reads and writes it, one whole trial at a time, so it never holds half a trial, and
workers need neither its address nor its password.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ml.cluster.libraries import require_psycopg
from ml.errors import SourceError
from ml.options.database_url import LIBPQ_WITHOUT_LOGINS, DatabaseUrl, parse_url

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from ml.options.learning import TuningConfig

NUMBER = "number"
"""Attribute of a stored trial: its number in the search."""
LOCK_SUFFIX = ".lock"
"""What Optuna appends to the journal's name for its lock file."""
_FIELD = "tuningConfig.storage"
_CONNECT_SECONDS = 10
_ATTEMPTS = 3  # two searches that make the tables of an empty database at once get into each other's way


class TrialStorage:
    """Finished trials of one search, by the number that the search gave them.

    Parameters
    ----------
    study
        The study that holds them. Its own numbers are those of the order in which trials were finished.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def read(self) -> dict[int, FrozenTrial]:
        """All trials; raises SourceError if the database refuses."""
        with _refused():
            trials = self._study.get_trials(deepcopy=False)
        # Two searches that do not see each other's locks keep a trial twice, and equal: the first counts.
        return {trial.user_attrs[NUMBER]: trial for trial in reversed(trials)}

    def add(self, trial: FrozenTrial) -> None:
        """Keep a trial; it is on disk, or committed, when this returns. Raises SourceError if the database refuses."""
        with _refused():
            self._study.add_trial(trial)


@contextmanager
def opened_storage(tuning: TuningConfig, journal: Path | None, name: str) -> Iterator[TrialStorage | None]:
    """The storage that is configured, else the journal file, else none.

    Parameters
    ----------
    journal
        Journal file; one process at a time may use it.
    name
        Of the search, ``organisation/...``: trials of others in the same storage are not seen.

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
            yield TrialStorage(_study(storage, name))
    elif journal is not None:
        _clear_after_kill(journal)
        # Locked by a plain file: Optuna's default lock is a link, as a planted one would be.
        backend = JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal)))
        yield TrialStorage(_study(JournalStorage(backend), name))
    else:
        yield None


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


def _with_tables(url: str, options: dict[str, Any]) -> optuna.storages.RDBStorage:
    from sqlalchemy.exc import IntegrityError, ProgrammingError
    from sqlalchemy.pool import NullPool

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _refused():
                # No connection stays open: trials are far apart, and servers and firewalls end what is idle for long.
                return optuna.storages.RDBStorage(url, {"connect_args": options, "poolclass": NullPool})
        except SourceError as refusal:
            if attempt == _ATTEMPTS or not isinstance(refusal.__cause__, IntegrityError | ProgrammingError):
                raise
            time.sleep(attempt)
    raise AssertionError("unreachable")


def _study(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
    with _refused():
        return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what the database and Optuna say into a SourceError; statements and their values are left out."""
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
    except RuntimeError as error:
        if "version" not in str(error):
            raise
        raise SourceError(
            "the database of tuningConfig.storage holds tables of another version of Optuna",
            field=_FIELD,
            hint=f"use an empty database, or upgrade its tables to Optuna {optuna.__version__}: optuna storage upgrade",
        ) from error


def _clear_after_kill(path: Path) -> None:
    """Cut off a line that was being written, and drop the lock that its writer held."""
    path.with_name(path.name + LOCK_SUFFIX).unlink(missing_ok=True)
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
