"""Readings in an SQLite file, streamed through ADBC and never written to.

SQLite columns may hold any mix of types. One pass of aggregates finds out what the needed columns hold, so that each
is fetched as one type: numbers as they are, anything that holds text as text.
"""

from __future__ import annotations

import sqlite3
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import adbc_driver_manager
import adbc_driver_sqlite.dbapi as sqlite
import pyarrow as pa

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.errors import ConfigError, DataError, SourceError
from ml.ingest.sources.base import Keys, SlicedSource, TimeAxis, keys_within, number_axis
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.interruptible import Cursor, interruptibly
from ml.ingest.sources.shared_table import Tenant
from ml.ingest.sources.sqlite_files import refuse_second_names, state_of
from ml.options.base import listing, missing_name

BATCH_ROWS = 65_536
_NO_TABLE = "the database has no table"
_MOST_CHARACTERS = 1_000  # of a text that is fetched; far more than any time, name or reading has
_MOST_BYTES = 1 << 20  # of a value that is looked at: a small file can make many of any length, by a view
_SECOND = 1_000_000  # microseconds; more than the rounding of any epoch number
_DAY = 86_400 * _SECOND
# Dates are compared as text without regard to their zone, so limits are widened by more than any offset.
_ZONE_MARGIN = 2 * _DAY
_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*'"
_DATE_PATTERN = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
# The driver takes a column's type from the first rows, where a sparse column may be all null. A first row of our own
# settles it; it is dropped on reading.
_FIRST_VALUE = {"text": "x''", "number": "0.5"}


class SqliteSource(SlicedSource):
    """One table or view of an SQLite file; with a tenant, the rows of one organisation in it.

    Raises SourceError if the file is missing, damaged or no database, or has no such table; IsolationError if the file,
    or one that SQLite opens beside it, has a second name; every reading raises it, too; ConfigError if no table is
    named; MissingColumnError if the organisation's column is missing.
    """

    def __init__(self, path: Path, table: str | None, tenant: Tenant | None = None) -> None:
        _check_readable(path)
        self._path = path.resolve()  # SQLite looks for its other files beside what a link leads to
        self._table = self._find_table(table)
        self.where = f'the table "{self._table}"'
        self.identity = f"sqlite:{self._path}:{self._table}"
        self._tenant = tenant
        if tenant is not None:
            tenant.require_column(self.columns(), self.where)

    @property
    def state(self) -> str:
        """Size and time of the files: any change to them may have changed any row."""
        return state_of(self._path)

    def columns(self) -> list[str]:
        return [str(row[0]) for row in self._fetch("SELECT name FROM pragma_table_xinfo(?)", [self._table])]

    def types(self, columns: Sequence[str]) -> Mapping[str, str]:
        """Types as declared, which bind nobody."""
        declared = dict(self._fetch("SELECT name, type FROM pragma_table_xinfo(?)", [self._table]))
        return {name: str(declared[name]) for name in columns}

    def row_count(self) -> int:
        return self.count()

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """The range is applied by the database where all times are comparable."""
        limited = within.start is not None or within.end is not None
        axis = self.axis(time_column) if limited else None
        return self.stream(columns, None if axis is None else Keys(axis, *keys_within(within, axis)))

    def axis(self, column: str) -> TimeAxis | None:
        """Dates as text compare by day, and numbers of one unit by second; anything else does not."""
        time = _quoted(column)
        integers, reals, dates, others, smallest, largest = self._measure(
            f"SELECT count(CASE WHEN typeof({time}) = 'integer' THEN 1 END), "
            f"count(CASE WHEN typeof({time}) = 'real' THEN 1 END), "
            f"count(CASE WHEN typeof({time}) = 'text' AND {time} GLOB ? THEN 1 END), count({time}), "
            f"min(abs({time})), max(abs({time})) FROM {_quoted(self._table)}",
            [_DATE_PATTERN],
        )
        if dates == others > 0:
            return TimeAxis(column, "text", granularity=_DAY, margin=_ZONE_MARGIN)
        all_numbers = integers + reals == others
        return number_axis(column, smallest, largest, _SECOND if reals else 0) if all_numbers else None

    def count(self, keys: Keys | None = None) -> int:
        condition, values = self._restricted(keys)
        return int(self._fetch(f"SELECT count(*) FROM {_quoted(self._table)}{condition}", values)[0][0])

    def extreme(self, function: Literal["min", "max"], keys: Keys) -> int | None:
        """Answered by an index on the time column, if there is one."""
        condition, values = self._restricted(keys)
        query = f"SELECT {function}({_quoted(keys.axis.column)}) FROM {_quoted(self._table)}{condition}"
        found = self._fetch(query, values)[0][0]
        return None if found is None else _key(found, keys.axis)

    def stream(self, columns: Sequence[str], keys: Keys | None = None) -> Iterator[pa.RecordBatch]:
        condition, values = self._restricted(keys)
        kinds = self._kinds(columns, condition, values)
        # The organisation comes last, under a name of our own: it may be one of the columns as well.
        selected = [(name, name, kinds[name]) for name in columns]
        if self._tenant is not None:
            selected.append((self._tenant.column, f"{len(columns) + 1} organization", "text"))
        first = ", ".join(f"{_FIRST_VALUE[kind]} AS {_quoted(alias)}" for _, alias, kind in selected)
        rest = ", ".join(_as_text(name) if kind == "text" else _quoted(name) for name, _, kind in selected)
        # Rows in the order in which they were written make "the last of several" mean something, whatever the index.
        order = " ORDER BY rowid" if self._has_rowid() else ""
        inner = f"SELECT * FROM {_quoted(self._table)}{condition}{order}"
        with self._cursor() as cursor:
            cursor.set_options(**{"adbc.sqlite.query.batch_rows": BATCH_ROWS})
            cursor.execute(f"SELECT {first} UNION ALL SELECT {rest} FROM ({inner})", values or None)
            skip = 1
            for batch in cursor.batches():
                refuse_second_names(self._path)
                rows = _as_strings(batch.slice(skip))
                yield rows if self._tenant is None else self._tenant.own_rows(rows, self._tenant.organization_id)
                skip = 0

    def _has_rowid(self) -> bool:
        """Whether it is a table with row numbers, not a view and not ``WITHOUT ROWID``."""
        query = (
            "SELECT count(*) FROM pragma_table_list WHERE name = ? AND schema = 'main' AND type = 'table' AND wr = 0"
        )
        named = {name.lower() for name in self.columns()} & {"rowid"}
        return not named and int(self._fetch(query, [self._table])[0][0]) == 1

    def _restricted(self, keys: Keys | None) -> tuple[str, list[object]]:
        """A WHERE clause and its parameters, limited to `only` and, in a shared table, to the organisation."""
        tests, values = [], list[object]()
        if keys is not None:
            time = _quoted(keys.axis.column)
            tests.append(f"{time} >= ? AND {time} < ?")
            values += [_value(keys.axis, keys.start), _value(keys.axis, keys.end)]
        named = [] if self.only is None else [self.only]
        if self._tenant is not None:
            named.append((self._tenant.column, (self._tenant.organization_id,)))
        for column, texts in named:
            tests.append(f"CAST({_quoted(column)} AS TEXT) IN ({', '.join('?' * len(texts))})")
            values += texts
        return f" WHERE {' AND '.join(tests)}" if tests else "", values

    def _find_table(self, table: str | None) -> str:
        tables = sorted(str(row[0]) for row in self._fetch(_TABLES))
        if table is None:
            hint = listing(tables) if tables else _NO_TABLE
            raise ConfigError("no table is named", field="scadaDbConfig.table", hint=hint)
        if table not in tables:
            message = f'the database has no table "{table}"'
            raise missing_name(
                SourceError, table, message, field="scadaDbConfig.table", available=tables, none=_NO_TABLE
            )
        return table

    def _kinds(self, columns: Sequence[str], condition: str, limits: Sequence[object]) -> dict[str, str]:
        """Whether each column is to be fetched as "number" or "text"."""
        # SQLite sorts numbers before text before binary values, so the type of the largest value tells.
        largest = ", ".join(f"typeof(max({_quoted(name)}))" for name in columns)
        types = self._measure(f"SELECT {largest} FROM {_quoted(self._table)}{condition}", limits)
        texts = {name for name, kind in zip(columns, types, strict=True) if kind in ("text", "blob")}
        return {name: "text" if name in texts else "number" for name in columns}

    def _measure(self, query: str, parameters: Sequence[object]) -> tuple[Any, ...]:
        """The one row of a query over all rows; it stops at a value of over `_MOST_BYTES`.

        Asked through Python's own module, as the driver knows no such limit.
        """
        refuse_second_names(self._path)
        try:
            with closing(sqlite3.connect(self._uri, uri=True, check_same_thread=False)) as connection:
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
                found: tuple[Any, ...] = interruptibly(
                    lambda: connection.execute(query, list(parameters)).fetchone(), cancel=connection.interrupt
                )
        except sqlite3.DataError:
            raise DataError(
                f"{self.where} holds a value of over {_MOST_BYTES >> 20} MB in a column that is read",
                field="scadaDbConfig.table",
                hint="give names, times and readings, not documents",
            ) from None
        except (sqlite3.Error, OverflowError) as failure:
            raise self._unreadable(failure) from None
        refuse_second_names(self._path)  # again: they were opened by name
        return found

    @property
    def _uri(self) -> str:
        return f"file:{quote(str(self._path))}?mode=ro"

    def _unreadable(self, failure: Exception) -> SourceError:
        return SourceError(
            f"the database {self._path.name} cannot be read: {_reason(failure)}",
            field="scadaDbConfig.database",
            hint="is it an SQLite database, and whole? sqlite3 FILE 'PRAGMA integrity_check' tells",
        )

    def _fetch(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query, list(parameters) or None)
            rows = cursor.fetchall()
            refuse_second_names(self._path)  # again: they were opened by name
            return rows

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        refuse_second_names(self._path)
        try:
            with closing(sqlite.connect(self._uri)) as connection, closing(connection.cursor()) as cursor:
                yield Cursor(cursor)
        except (adbc_driver_manager.Error, OSError, pa.ArrowException, UnicodeDecodeError) as failure:
            raise self._unreadable(failure) from None


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as failure:
        raise SourceError(
            f"the database file {path.name} cannot be opened: {failure.strerror}",
            field="scadaDbConfig.database",
            hint="check the path; a relative one starts at the folder in which the step runs",
        ) from None


def _quoted(name: str) -> str:
    """An identifier that cannot end early, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _as_text(name: str) -> str:
    """Every value as the bytes of its text, without loss; a binary or very long one becomes a word that none reads."""
    column = _quoted(name)
    return (
        f"CAST(CASE typeof({column}) WHEN 'blob' THEN '<binary>' "
        f"WHEN 'text' THEN CASE WHEN length({column}) > {_MOST_CHARACTERS} THEN '<long text>' ELSE {column} END "
        f"WHEN 'real' THEN printf('%!.17g', {column}) ELSE {column} END AS BLOB)"
    )


def _as_strings(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Bytes as text; SQLite does not check that text is UTF-8, and what is not gets replacement characters."""
    columns = [_as_string(column) if pa.types.is_binary(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _as_string(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [None if value is None else value.decode(errors="replace") for value in column.to_pylist()]
        return pa.array(texts, pa.string())


def _value(axis: TimeAxis, key: int) -> object:
    """A key as the table writes it."""
    return clock.to_exact_text(key)[:10] if axis.kind == "text" else key / axis.unit


def _key(value: Any, axis: TimeAxis) -> int:
    return round(value * axis.unit) if axis.kind == "number" else _day_key(str(value))


def _day_key(text: str) -> int:
    """The last day that does not sort after `text`, which begins like a date but need not be one (2024-02-31)."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    first = date(year, min(max(month, 1), 12), 1)
    if month == 0 or day == 0:
        found = first - timedelta(days=1)
    else:
        found = first.replace(day=min(day if month <= 12 else 31, monthrange(first.year, first.month)[1]))
    return (found - date(1970, 1, 1)).days * _DAY


def _reason(failure: Exception) -> str:
    """The cause at the end of the driver's message, without the file's full path before it."""
    if isinstance(failure, UnicodeDecodeError):  # its text would quote the value
        return "it holds a name or a time that is not UTF-8"
    return words_of(failure).rsplit(": ", 1)[-1]
