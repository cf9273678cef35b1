"""One table of a PostgreSQL database, streamed through COPY.

Rows come in the order in which the table holds them, whatever index the server uses to find them: index scans are off
while slices are read, so that it takes a bitmap of the index (or the whole table) and walks the table itself. That
makes "the last of several rows at one instant" and "rows out of order" mean something, and two runs alike.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, IsolationError, MissingColumnError
from ml.ingest.sources.base import SlicedSource, TimeAxis
from ml.ingest.sources.postgresql.catalogue import Column, columns_of, excessive_powers, find_table, quoted
from ml.ingest.sources.postgresql.session import Session
from ml.ingest.sources.shared_table import Tenant
from ml.options.source import ScadaDbConfig

log = logging.getLogger(__name__)

_IN_TABLE_ORDER = {
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
}
_DAY = 86_400_000_000  # microseconds
# No place on Earth is further from UTC, whatever its summer time.
_ZONE_MARGIN = _DAY
_KINDS = {
    "timestamp with time zone": TimeAxis("", "instant"),
    "timestamp without time zone": TimeAxis("", "local", margin=_ZONE_MARGIN),
    "date": TimeAxis("", "date", granularity=_DAY, margin=_ZONE_MARGIN),
}
_SEPARATOR = 31  # a control character, which no configured name may hold
_NUMBERS = ("integer", "bigint", "numeric", "double precision")


class PostgresqlSource(SlicedSource):
    """One table or view, read by a role that had better be able to do nothing else.

    Parameters
    ----------
    database, password
        Connection; `require_least_privilege` makes a role with more power a refusal instead of a warning.
    table
        As configured.
    tenant
        Restricts a shared table to one organisation.

    Raises
    ------
    SourceError
        If the database cannot be reached, or has no such table, or does not let the role read it.
    ConfigError
        If no table is named, or the name is not unique.
    IsolationError
        If the role may do more than it is allowed to.
    MissingColumnError
        If the organisation's column is missing.
    """

    def __init__(self, database: ScadaDbConfig, password: str | None, table: str | None, tenant: Tenant | None) -> None:
        self._session = Session(database, password)
        self._identity = f"postgresql:{database.host}:{database.port}:{database.database}"
        self._tenant = tenant
        try:
            self._own_name = self._look_up(table, refuse_power=database.require_least_privilege)
        except BaseException:
            self._session.close()
            raise

    def _look_up(self, table: str | None, *, refuse_power: bool) -> str:
        """Find the table and its columns, look at the role; gives the organisation as the database spells it."""
        with self._session.transaction() as transaction:
            self._table = find_table(transaction, table)
            self._columns = columns_of(transaction, self._table)
            role, powers = excessive_powers(transaction, self._table)
        if powers:
            _object_to(role, powers, refuse=refuse_power)
        if self._tenant is None:
            return ""
        self._tenant.require_column(self.columns(), self.where)
        return self._canonical_name(self._tenant)

    @property
    def where(self) -> str:
        """The table in words."""
        return f'the table "{self._table.name}"'

    @property
    def identity(self) -> str:
        """Server, database and table."""
        return f"{self._identity}:{self._table.sql}"

    @property
    def state(self) -> str:
        """Late rows and deletions show in the number of rows of a slice."""
        return ""

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def columns(self) -> list[str]:
        """Names of all columns, in the order of the table."""
        return list(self._columns)

    def types(self, columns: Sequence[str]) -> Mapping[str, str]:
        """The types as the catalogue spells them."""
        for name in columns:
            _ = self._columns[name].sql
        return {name: self._columns[name].declared for name in columns}

    def row_count(self) -> int | None:
        """Not known without reading the table through."""
        return None

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the whole table."""
        del time_column, within
        yield from self._stream(columns, [], {})

    def axis(self, column: str) -> TimeAxis | None:
        """Times with and without zone, dates, and epoch numbers of one unit compare; text does not."""
        base = self._columns[column].base
        if base in _KINDS:
            return replace(_KINDS[base], column=column)
        if base not in _NUMBERS:
            return None
        time = quoted(column)
        condition = self._where([f"{time} > 0"])
        extent = self._one_row(f"SELECT min({time})::float8, max({time})::float8 FROM {self._table.sql}{condition}")
        if extent[0] is None or extent[1] is None:
            return None
        unit = clock.microseconds_per_unit(extent[1])
        same = clock.microseconds_per_unit(extent[0]) == unit
        return TimeAxis(column, "number", unit, granularity=1_000_000) if same else None

    def bounds(self, axis: TimeAxis) -> tuple[int, int] | None:
        """Smallest and largest key; two statements, so that an index answers each."""
        found = [self._extreme(function, axis, clock.EARLIEST, clock.LATEST) for function in ("min", "max")]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def first_key(self, axis: TimeAxis, start: int, end: int) -> int | None:
        """Answered by an index on the time column, if there is one."""
        return self._extreme("min", axis, start, end)

    def rows_between(self, axis: TimeAxis, start: int, end: int) -> int:
        """Counted by the server."""
        return self._count(self._between(axis), _limits(axis, start, end))

    def rows_without_key(self, axis: TimeAxis) -> int:
        """Rows whose time is null, infinite, or not of the years 1900 to 2199."""
        time = quoted(axis.column)
        outside = (
            f"({time} IS NULL OR {time} < {self._setting('start', axis)} OR {time} >= {self._setting('end', axis)})"
        )
        return self._count([outside], _limits(axis, clock.EARLIEST, clock.LATEST))

    def expected_rows(self, axis: TimeAxis) -> int:
        """What the server's planner expects."""
        del axis
        with self._session.transaction(self._values({})) as transaction:
            plan = transaction.plan(f"SELECT 1 FROM {self._table.sql}{self._where([])}")
        return int(json.loads(plan)[0]["Plan"]["Plan Rows"])

    def read_slice(self, columns: Sequence[str], axis: TimeAxis, start: int, end: int) -> Iterator[pa.RecordBatch]:
        """Stream one slice from one snapshot."""
        yield from self._stream(columns, self._between(axis), _limits(axis, start, end))

    def _stream(
        self, columns: Sequence[str], conditions: Sequence[str], values: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        chosen = [self._columns[name].sql for name in columns]
        chosen = [f"{sql} AS {quoted(name)}" for sql, name in zip(chosen, columns, strict=True)]
        if self._tenant is not None:
            chosen.append(f'{quoted(self._tenant.column)}::text AS "organization"')
        statement = f"SELECT {', '.join(chosen)} FROM {self._table.sql}{self._where(conditions)}"
        with self._session.transaction(self._values(values)) as transaction:
            self._check_unchanged(columns, columns_of(transaction, self._table))
            transaction.set(_IN_TABLE_ORDER)
            for batch in transaction.stream(statement):
                yield batch if self._tenant is None else self._tenant.own_rows(batch, self._own_name)

    def _check_unchanged(self, columns: Sequence[str], now: Mapping[str, Column]) -> None:
        for name in columns:
            before = self._columns[name]
            if name not in now:
                raise MissingColumnError(f'{self.where} lost the column "{name}" while it was read', field=name)
            if now[name] != before:
                raise DataError(
                    f'the column "{name}" had the type {before.declared} when reading began and has the type '
                    f"{now[name].declared} now",
                    field=name,
                    hint="run the step again: it reads the whole table as it is now",
                )

    def _where(self, conditions: Sequence[str]) -> str:
        """A WHERE clause of the conditions, of `only` and, in a shared table, of the organisation."""
        tests = list(conditions)
        if self.only is not None:
            texts = f"SELECT unnest(string_to_array(current_setting('eagle.only'), chr({_SEPARATOR})))"
            # As a test of its own: a join would keep an index on the time from answering for the first and last time.
            tests.append(f"({quoted(self.only[0])}::text IN ({texts})) IS TRUE")
        if self._tenant is not None:
            own = self._columns[self._tenant.column]
            side = f"{quoted(own.name)}::text" if own.comparable == "text" else quoted(own.name)
            tests.append(f"{side} = (SELECT current_setting('eagle.organization')::{own.comparable})")
        return f" WHERE {' AND '.join(tests)}" if tests else ""

    def _between(self, axis: TimeAxis) -> list[str]:
        time = quoted(axis.column)
        start, end = self._setting("start", axis), self._setting("end", axis)
        return [f"{time} >= {start}", f"{time} < {end}"]

    def _setting(self, name: str, axis: TimeAxis) -> str:
        # As a subquery it is evaluated once, and not for every row.
        return f"(SELECT current_setting('eagle.{name}')::{self._columns[axis.column].base})"

    def _values(self, values: Mapping[str, str]) -> dict[str, str]:
        own = {} if self._tenant is None else {"organization": self._tenant.organization_id}
        only = {} if self.only is None else {"only": chr(_SEPARATOR).join(self.only[1])}
        return {**values, **own, **only}

    def _canonical_name(self, tenant: Tenant) -> str:
        """How the database spells the organisation once it is of the column's type."""
        own = self._columns[tenant.column]
        return str(self._one_row(f"SELECT current_setting('eagle.organization')::{own.comparable}::text")[0])

    def _extreme(self, function: str, axis: TimeAxis, start: int, end: int) -> int | None:
        condition = self._where(self._between(axis))
        statement = f"SELECT {function}({quoted(axis.column)}) AS found FROM {self._table.sql}{condition}"
        with self._session.transaction(self._values(_limits(axis, start, end))) as transaction:
            (batch,) = transaction.stream(statement)
        return _key(batch.column(0), axis)

    def _count(self, conditions: Sequence[str], values: Mapping[str, str]) -> int:
        return int(self._one_row(f"SELECT count(*) FROM {self._table.sql}{self._where(conditions)}", values)[0])

    def _one_row(self, statement: str, values: Mapping[str, str] | None = None) -> tuple[Any, ...]:
        with self._session.transaction(self._values(values or {})) as transaction:
            return transaction.rows(statement)[0]


def _limits(axis: TimeAxis, start: int, end: int) -> dict[str, str]:
    return {"start": _literal(axis, start), "end": _literal(axis, end)}


def _literal(axis: TimeAxis, key: int) -> str:
    """A key as text that the server reads as the column's type."""
    if axis.kind == "number":
        return str(int(key / axis.unit))  # keys are cut at whole seconds, which every unit expresses
    text = clock.to_exact_text(key)
    return {"instant": f"{text}+00", "local": text, "date": text[:10]}[axis.kind]


def _key(found: pa.Array, axis: TimeAxis) -> int | None:
    if found.null_count:
        return None
    if axis.kind == "number":
        return round(float(pc.cast(found, pa.float64())[0].as_py()) * axis.unit)
    times = pc.cast(found, pa.timestamp("us", tz=getattr(found.type, "tz", None)))
    return int(pc.cast(times, pa.int64())[0].as_py())


def _object_to(role: str, powers: Sequence[str], *, refuse: bool) -> None:
    words = f'the role "{role}" {" and ".join(powers)}'
    advice = "use a role that has SELECT on the table and nothing else"
    if refuse:
        raise IsolationError(f"{words}; requireLeastPrivilege forbids it", field="scadaDbConfig.user", hint=advice)
    log.warning("%s, more than reading needs: %s", words, advice)
