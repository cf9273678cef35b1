"""A connection to PostgreSQL that can only read, and whose failures are told in plain words.

Everything happens in transactions that are READ ONLY and REPEATABLE READ, with a `search_path` of the system catalogue
alone and a statement timeout. Values never become part of a statement: they are passed as parameters to `set_config`,
and statements read them with `current_setting`. (COPY, which streams, takes no parameters of its own.)
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as postgresql
import pyarrow as pa

from ml.errors import DataError, EagleError, SourceError
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.interruptible import Cursor, interruptibly
from ml.ingest.sources.postgresql.address import connection_string
from ml.options.source import ScadaDbConfig

log = logging.getLogger(__name__)

BATCH_BYTES = 8 << 20
_FIELD = "scadaDbConfig"
# Seconds before each further attempt to connect. Only connecting is repeated: a query that fails half-way has a cause
# that somebody should see, and the next run goes on where this one stopped.
RETRY_AFTER = (0.5, 1.0, 2.0)
_WORTH_ANOTHER_ATTEMPT = re.compile(
    "connection refused|timeout expired|timed out|starting up|shutting down|too many clients|connection slots|"
    "reset by peer|closed the connection unexpectedly|temporary failure in name resolution|network is unreachable",
    re.IGNORECASE,
)
_READ_ONLY = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_PINNED = {"search_path": "pg_catalog, pg_temp", "TimeZone": "UTC", "DateStyle": "ISO", "jit": "off"}

NO_PRIVILEGE = "42501"
CANCELLED = "57014"
CANNOT_CAST = {"22P02", "22003", "22007", "22008"}
_STREAMED = {
    "canceling statement": CANCELLED,
    "permission denied": NO_PRIVILEGE,
    "invalid input syntax": "22P02",
    "out of range": "22003",
}


class Session:
    """Connects when it is first used, and again after a failure.

    Raises ConfigError if `ssl` asks for what is not supported.

    Parameters
    ----------
    database, password
        Where to connect, as whom, and the timeouts.
    """

    def __init__(self, database: ScadaDbConfig, password: str | None) -> None:
        self._address = connection_string(database, password)
        self._timeout = database.statement_timeout_seconds
        self._connection: Any = None

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(adbc_driver_manager.Error, OSError):
                connection.close()

    @contextmanager
    def transaction(self, values: Mapping[str, str] | None = None) -> Iterator[Transaction]:
        """A transaction in which ``current_setting('eagle.<name>')`` gives each of `values`.

        Raises SourceError if the database cannot be reached, fails or refuses; also inside the block; DataError if a
        value cannot be read as the type that a statement casts it to.
        """
        with self._plain_errors():
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as driver_cursor:
                cursor = Cursor(driver_cursor)
                cursor.execute(_READ_ONLY)
                transaction = Transaction(cursor)
                settings = {**_PINNED, "statement_timeout": f"{self._timeout * 1000}"}
                transaction.set(settings | {f"eagle.{name}": value for name, value in (values or {}).items()})
                yield transaction
                cursor.execute("ROLLBACK")

    def _connect(self) -> Any:
        for pause in (*RETRY_AFTER, None):
            try:
                return interruptibly(partial(postgresql.connect, self._address, autocommit=True))
            except (adbc_driver_manager.Error, OSError) as failure:
                reason = _connection_reason(failure)
                if pause is None or not _WORTH_ANOTHER_ATTEMPT.search(str(failure)):
                    raise SourceError(
                        f"the database cannot be reached: {reason}",
                        field=_FIELD,
                        hint="check host, port, database, user, password and sslmode, and that the server is up",
                    ) from None
                log.info("connecting failed (%s); next attempt in %g s", reason, pause)
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as failure:
            self.close()
            raise _explained(failure, self._timeout) from None
        except BaseException:
            self.close()
            raise


class Transaction:
    """Runs statements that were put together from checked names; see `Session.transaction`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def set(self, settings: Mapping[str, str]) -> None:
        """Set parameters of the server until the end of the transaction."""
        calls = ", ".join(f"pg_catalog.set_config('{name}', ${i}, true)" for i, name in enumerate(settings, start=1))
        self._cursor.execute(f"SELECT {calls}", list(settings.values()))
        self._cursor.fetchall()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        columns = [[column.to_pylist() for column in batch.columns] for batch in self.stream(statement)]
        return [row for batch in columns for row in zip(*batch, strict=True)]

    def plan(self, statement: str) -> str:
        """What EXPLAIN says, as JSON."""
        self._cursor.set_options(**{"adbc.postgresql.use_copy": "false"})
        self._cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        text = "".join(str(row[0]) for row in self._cursor.fetchall())
        self._cursor.set_options(**{"adbc.postgresql.use_copy": "true"})
        return text

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about `BATCH_BYTES`; numbers of arbitrary precision arrive as text."""
        self._cursor.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        self._cursor.execute(statement)
        for batch in self._cursor.batches():
            yield _plain_types(batch)


def _plain_types(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _explained(failure: Exception, timeout: int) -> EagleError:
    """What the server or the driver said, as an error of ours; never a statement, never a value."""
    state, said = _state(failure), _server_message(failure)
    if state == NO_PRIVILEGE:
        return SourceError(
            f"the database does not allow it: {said}",
            field="scadaDbConfig.user",
            hint="grant the role SELECT on the table, and USAGE on its schema",
        )
    if state == CANCELLED:
        return SourceError(
            f"the database ended the query ({said}); allowed are {timeout} s",
            field="scadaDbConfig.statementTimeoutSeconds",
            hint="an index on the time column makes it fast; sliceSeconds makes each query smaller",
        )
    if state in CANNOT_CAST:
        return DataError(f"the database cannot compare a column with a value of the configuration: {said}")
    if state is not None:
        return SourceError(f"the database refused the query: {said} ({state})", field=_FIELD)
    return SourceError(
        f"the connection to the database was lost: {said}",
        field=_FIELD,
        hint="run the step again: it goes on after the last slice that was fetched completely",
    )


def _state(failure: Exception) -> str | None:
    """The server's error code; while rows are streaming the driver passes on the message alone."""
    state = getattr(failure, "sqlstate", None)
    if state is not None or "ERROR:" not in str(failure):
        return state
    return next((code for words, code in _STREAMED.items() if words in str(failure)), "XX000")


def _server_message(failure: Exception) -> str:
    for name, value in getattr(failure, "details", None) or ():
        if name == "PG_DIAG_MESSAGE_PRIMARY" or name == b"PG_DIAG_MESSAGE_PRIMARY":
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    said = re.search(r"(?:ERROR|FATAL):\s*(.+)", str(failure))
    return said[1].strip() if said else str(failure).splitlines()[0].rpartition("failed: ")[2]


def _connection_reason(failure: Exception) -> str:
    """The first cause that libpq names."""
    return words_of(failure).removeprefix("IO: [libpq] Failed to connect: ")
