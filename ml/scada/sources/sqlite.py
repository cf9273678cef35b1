"""Readings in an SQLite file, streamed through ADBC and never written to.

SQLite columns may hold any mix of types. One pass of aggregates finds out what the needed columns hold, so that each
is fetched as one type: numbers as they are, anything that holds text as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import adbc_driver_manager
import adbc_driver_sqlite.dbapi as sqlite
import pyarrow as pa

from ml.errors import ConfigError, SourceError
from ml.options.base import nearest
from ml.readings import clock
from ml.readings.time_range import TimeRange
from ml.scada.sources.base import Source

BATCH_ROWS = 65_536
_SECOND = 1_000_000  # microseconds; widens limits on epoch numbers by more than their rounding
# Dates are compared as text without regard to their zone, so the limits are widened by more than any offset.
_ZONE_MARGIN = 2 * 86_400 * _SECOND
_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*'"
_DATE_PATTERN = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
# The driver takes a column's type from the first rows, where a sparse column may be all null. A first row of our own
# settles it; it is dropped on reading.
_FIRST_VALUE = {"text": "''", "number": "0.5"}


class SqliteSource(Source):
    """One table or view of an SQLite file.

    Raises
    ------
    SourceError
        If the file is missing or no database, or has no such table.
    ConfigError
        If no table is named.
    """

    def __init__(self, path: Path, table: str | None) -> None:
        _check_readable(path)
        self._path = path
        self._table = self._find_table(table)

    @property
    def where(self) -> str:
        """The table in words."""
        return f'the table "{self._table}"'

    def columns(self) -> list[str]:
        """Names of all columns, in the order of the table."""
        return [str(row[0]) for row in self._fetch("SELECT name FROM pragma_table_xinfo(?)", [self._table])]

    def row_count(self) -> int | None:
        """Rows of the table."""
        return int(self._fetch(f"SELECT count(*) FROM {_quoted(self._table)}")[0][0])

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns; the range is applied by the database where all times are comparable."""
        condition, limits = self._condition(time_column, within)
        kinds = self._kinds(columns, condition, limits)
        first = ", ".join(f"{_FIRST_VALUE[kind]} AS {_quoted(name)}" for name, kind in kinds.items())
        rest = ", ".join(_as_text(name) if kind == "text" else _quoted(name) for name, kind in kinds.items())
        query = f"SELECT {first} UNION ALL SELECT {rest} FROM {_quoted(self._table)}{condition}"
        with self._cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": BATCH_ROWS})
            cursor.execute(query, limits or None)
            skip = 1
            for batch in cursor.fetch_record_batch():
                yield batch.slice(skip)
                skip = 0

    def _find_table(self, table: str | None) -> str:
        rows = self._fetch(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        )
        tables = sorted(str(row[0]) for row in rows)
        listing = f"available: {', '.join(tables)}" if tables else "the database has no table"
        if table is None:
            raise ConfigError("no table is named", field="scadaDbConfig.table", hint=listing)
        if table not in tables:
            guess = nearest(table, tables)
            raise SourceError(
                f'the database has no table "{table}"',
                field="scadaDbConfig.table",
                hint=f'did you mean "{guess}"? {listing}' if guess else listing,
            )
        return table

    def _kinds(self, columns: Sequence[str], condition: str, limits: list[object]) -> dict[str, str]:
        """Whether each column is to be fetched as "number" or "text"."""
        # SQLite sorts numbers before text before binary values, so the type of the largest value tells.
        largest = ", ".join(f"typeof(max({_quoted(name)}))" for name in columns)
        types = self._fetch(f"SELECT {largest} FROM {_quoted(self._table)}{condition}", limits)[0]
        texts = {name for name, kind in zip(columns, types, strict=True) if kind in ("text", "blob")}
        return {name: "text" if name in texts else "number" for name in columns}

    def _condition(self, time_column: str, within: TimeRange) -> tuple[str, list[object]]:
        """A WHERE clause that keeps at least the rows within the range, and its parameters."""
        if within.start is None and within.end is None:
            return "", []
        time = _quoted(time_column)
        numbers, dates, others = self._fetch(
            f"SELECT count(CASE WHEN typeof({time}) IN ('integer', 'real') THEN 1 END), "
            f"count(CASE WHEN typeof({time}) = 'text' AND {time} GLOB ? THEN 1 END), "
            f"count({time}) FROM {_quoted(self._table)}",
            [_DATE_PATTERN],
        )[0]
        if dates == others > 0:
            return _limited(time, _date(within.start, -_ZONE_MARGIN), _date(within.end, _ZONE_MARGIN))
        if numbers == others > 0:
            smallest, largest = self._fetch(f"SELECT min(abs({time})), max(abs({time})) FROM {_quoted(self._table)}")[0]
            unit = clock.microseconds_per_unit(largest)
            if unit == clock.microseconds_per_unit(smallest):
                return _limited(time, _epoch(within.start, -_SECOND, unit), _epoch(within.end, _SECOND, unit))
        return "", []

    def _fetch(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query, list(parameters) or None)
            return list(cursor.fetchall())

    @contextmanager
    def _cursor(self) -> Iterator[sqlite.Cursor]:
        uri = f"file:{quote(str(self._path.resolve()))}?mode=ro"
        try:
            with closing(sqlite.connect(uri)) as connection, closing(connection.cursor()) as cursor:
                yield cursor
        except (adbc_driver_manager.Error, OSError) as failure:
            raise SourceError(
                f"the database {self._path.name} cannot be read: {_reason(failure)}", field="scadaDbConfig.database"
            ) from None


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
    """Every value as text without loss; binary values become a word that no reader takes for a value."""
    column = _quoted(name)
    return (
        f"CASE typeof({column}) WHEN 'blob' THEN '<binary>' "
        f"WHEN 'real' THEN printf('%!.17g', {column}) ELSE CAST({column} AS TEXT) END"
    )


def _limited(time: str, start: object, end: object) -> tuple[str, list[object]]:
    tests = [(f"{time} >= ?", start), (f"{time} <= ?", end)]
    chosen = [(test, limit) for test, limit in tests if limit is not None]
    return " WHERE " + " AND ".join(test for test, _ in chosen), [limit for _, limit in chosen]


def _date(limit: int | None, margin: int) -> str | None:
    return None if limit is None else clock.to_text(limit + margin)[:10]


def _epoch(limit: int | None, margin: int, unit: float) -> float | None:
    return None if limit is None else (limit + margin) / unit


def _reason(failure: Exception) -> str:
    """The cause at the end of the driver's message, without the file's full path before it."""
    return str(failure).splitlines()[0].rsplit(": ", 1)[-1]
