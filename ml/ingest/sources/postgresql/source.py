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
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning import clock
from ml.errors import DataError, IsolationError, MissingColumnError
from ml.ingest.sources.base import Keys, SlicedSource, TimeAxis, number_axis
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

    Raises SourceError if the database cannot be reached, or has no such table, or does not let the role read it;
    ConfigError if no table is named, or the name is not unique; IsolationError if the role may do more than it is
    allowed to; MissingColumnError if the organisation's column is missing.

    Parameters
    ----------
    database, password
        Connection; `require_least_privilege` makes a role with more power a refusal instead of a warning.
    table
        As configured.
    tenant
        Restricts a shared table to one organisation.
    """

    def __init__(self, database: ScadaDbConfig, password: str | None, table: str | None, tenant: Tenant | None) -> None:
        self._session = Session(database, password)
        self._tenant = tenant
        try:
            self._own_name = self._look_up(table, refuse_power=database.require_least_privilege)
        except BaseException:
            self._session.close()
            raise
        server = f"postgresql:{database.host}:{database.port}:{database.database}"
        self.identity = f"{server}:{self._table.sql}"

    def _look_up(self, table: str | None, *, refuse_power: bool) -> str:
        """Find the table and its columns, look at the role; gives the organisation as the database spells it."""
        with self._session.transaction() as transaction:
            self._table = find_table(transaction, table)
            self._columns = columns_of(transaction, self._table)
            role, powers = excessive_powers(transaction, self._table)
        self.where = f'the table "{self._table.name}"'
        if powers:
            _object_to(role, powers, refuse=refuse_power)
        if self._tenant is None:
            return ""
        self._tenant.require_column(self.columns(), self.where)
        return self._canonical_name(self._tenant)

    def close(self) -> None:
        self._session.close()

    def columns(self) -> list[str]:
        return list(self._columns)

    def types(self, columns: Sequence[str]) -> Mapping[str, str]:
        """The types as the catalogue spells them."""
        for name in columns:
            _ = self._columns[name].sql
        return {name: self._columns[name].declared for name in columns}

    def axis(self, column: str) -> TimeAxis | None:
        """Times with and without zone, dates, and epoch numbers of one unit compare; text does not."""
        base = self._columns[column].base
        if base in _KINDS:
            return replace(_KINDS[base], column=column)
        if base not in _NUMBERS:
            return None
        time = quoted(column)
        extent = self._one_row(f"min({time})::float8, max({time})::float8", [f"{time} > 0"])
        return number_axis(column, *extent)

    def count(self, keys: Keys | None = None) -> int:
        return int(self._one_row("count(*)", self._between(keys), _limits(keys))[0])

    def extreme(self, function: Literal["min", "max"], keys: Keys) -> int | None:
        """Answered by an index on the time column, if there is one."""
        query = f"SELECT {function}({quoted(keys.axis.column)}) AS found FROM {self._table.sql}"
        with self._session.transaction(self._values(_limits(keys))) as transaction:
            (batch,) = transaction.stream(query + self._where(self._between(keys)))
        return _key(batch.column(0), keys.axis)

    def rows_without_key(self, axis: TimeAxis) -> int:
        """Counted in one query: rows that come meanwhile are in none of two numbers or in both."""
        time = quoted(axis.column)
        outside = (
            f"({time} IS NULL OR {time} < {self._setting('start', axis)} OR {time} >= {self._setting('end', axis)})"
        )
        return int(self._one_row("count(*)", [outside], _limits(Keys(axis)))[0])

    def expected_rows(self) -> int:
        """What the server's planner expects."""
        with self._session.transaction(self._values({})) as transaction:
            plan = transaction.plan(f"SELECT 1 FROM {self._table.sql}{self._where([])}")
        return int(json.loads(plan)[0]["Plan"]["Plan Rows"])

    def stream(self, columns: Sequence[str], keys: Keys | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of one snapshot."""
        chosen = [self._columns[name].sql for name in columns]
        chosen = [f"{sql} AS {quoted(name)}" for sql, name in zip(chosen, columns, strict=True)]
        if self._tenant is not None:
            chosen.append(f'{quoted(self._tenant.column)}::text AS "organization"')
        statement = f"SELECT {', '.join(chosen)} FROM {self._table.sql}{self._where(self._between(keys))}"
        with self._session.transaction(self._values(_limits(keys))) as transaction:
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

    def _between(self, keys: Keys | None) -> list[str]:
        if keys is None:
            return []
        time = quoted(keys.axis.column)
        start, end = self._setting("start", keys.axis), self._setting("end", keys.axis)
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
        with self._session.transaction(self._values({})) as transaction:
            found = transaction.rows(f"SELECT current_setting('eagle.organization')::{own.comparable}::text")
        return str(found[0][0])

    def _one_row(
        self, selected: str, conditions: Sequence[str], values: Mapping[str, str] | None = None
    ) -> tuple[Any, ...]:
        statement = f"SELECT {selected} FROM {self._table.sql}{self._where(conditions)}"
        with self._session.transaction(self._values(values or {})) as transaction:
            return transaction.rows(statement)[0]


def _limits(keys: Keys | None) -> dict[str, str]:
    return {} if keys is None else {name: _literal(keys.axis, getattr(keys, name)) for name in ("start", "end")}


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
