"""Any other database, through SQLAlchemy: MySQL, MariaDB, SQL Server, Oracle, whatever has a dialect installed.

Rows stream through a server-side cursor where the dialect has one. Names are reflected from the catalogue and quoted by
the dialect; values are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ml.errors import ConfigError, DataError, SourceError
from ml.ingest.sources.base import Keys, SlicedSource, TimeAxis, number_axis
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.shared_table import Tenant
from ml.options.access.database_url import LIBPQ_WITHOUT_LOGINS, DatabaseUrl, parse_url
from ml.options.base import listing, missing_name
from ml.options.source import ScadaDbConfig

BATCH_ROWS = 20_000  # rows are Python objects here, so a batch takes some hundred bytes per value
_FIELD = "scadaDbConfig.database"
_DAY = 86_400_000_000
_NO_TABLE = "the database has no table"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_FILES = {"sqlite", "duckdb"}
_ANONYMOUS = {"postgresql", "mysql", "mariadb"}  # without a user they take the account's name, and no login of it
_LIBPQ = ("psycopg2", "psycopg")
_MYSQL = ("mysqldb", "pymysql", "mysqlconnector", "mariadbconnector")
# The first is what SQLAlchemy takes where the URL names none. Drivers that are not known may read files by options.
_DRIVERS = {
    "postgresql": (*_LIBPQ, "pg8000"),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "mssql": ("pyodbc", "pymssql"),
    "oracle": ("cx_oracle", "oracledb"),
}
# A server of MySQL may ask its client for any file (LOAD DATA LOCAL), and some drivers would send it.
_NO_FILES: Mapping[str, Mapping[str, Any]] = {
    "mysqldb": {"local_infile": 0},
    "pymysql": {"local_infile": False},
    "mysqlconnector": {"allow_local_infile": False},
    "mariadbconnector": {"local_infile": False},
}


class SqlalchemySource(SlicedSource):
    """One table or view of a database that SQLAlchemy can open.

    Raises ConfigError if the URL is not one, its dialect or driver is not installed, or no table is named; SourceError
    if the database cannot be reached, or has no such table; MissingColumnError if the organisation's column is missing.
    """

    def __init__(self, database: ScadaDbConfig, password: str | None, table: str | None, tenant: Tenant | None) -> None:
        self._engine = _engine(database, password)
        self._tenant = tenant
        try:
            with self._plain_errors(), _connected(self._engine):
                self._table = self._reflect(table)
            self.where = f'the table "{self._table.name}"'
            self.identity = f"{self._engine.url.render_as_string(hide_password=True)}:{self._table.fullname}"
            if tenant is not None:
                tenant.require_column(self.columns(), self.where)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        self._engine.dispose()

    def columns(self) -> list[str]:
        return [str(column.name) for column in self._table.columns]

    def types(self, columns: Sequence[str]) -> Mapping[str, str]:
        """Types as the dialect spells them."""
        return {name: str(self._table.c[name].type.compile(self._engine.dialect)) for name in columns}

    def axis(self, column: str) -> TimeAxis | None:
        """Dates with a time compare, and so do numbers of one unit."""
        kind = self._table.c[column].type
        if isinstance(kind, sa.DateTime):
            zoned = bool(kind.timezone)
            return TimeAxis(column, "instant" if zoned else "local", granularity=1_000_000, margin=_DAY)
        if not isinstance(kind, sa.Integer | sa.Numeric):
            return None
        time = self._table.c[column]
        smallest, largest = self._one_row(sa.select(sa.func.min(time), sa.func.max(time)).where(time > 0))
        return number_axis(column, smallest, largest)

    def count(self, keys: Keys | None = None) -> int:
        query = sa.select(sa.func.count()).select_from(self._table)
        return int(self._one_row(query.where(*self._between(keys)))[0])

    def extreme(self, function: Literal["min", "max"], keys: Keys) -> int | None:
        """Answered by an index on the time column, if there is one."""
        query = sa.select(getattr(sa.func, function)(self._table.c[keys.axis.column]))
        found = self._one_row(query.where(*self._between(keys)))[0]
        return None if found is None else _key(found, keys.axis)

    def stream(self, columns: Sequence[str], keys: Keys | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in the order in which the database gives them."""
        chosen = [self._table.c[name].label(f"c{number}") for number, name in enumerate(columns)]
        names = list(columns)
        if self._tenant is not None:
            chosen.append(self._as_text(self._tenant.column).label("organization"))
            names.append(f"{len(names)} organization")
        query = sa.select(*chosen).where(*self._between(keys), *self._own_rows())
        streaming = {"stream_results": True, "yield_per": BATCH_ROWS}
        with self._connection() as connection, connection.execute(query, execution_options=streaming) as result:
            for rows in result.partitions():
                batch = _to_batch(rows, names)
                yield batch if self._tenant is None else self._tenant.own_rows(batch, self._tenant.organization_id)

    def _between(self, keys: Keys | None) -> list[Any]:
        if keys is None:
            return []
        time = self._table.c[keys.axis.column]
        return [time >= _value(keys.axis, keys.start), time < _value(keys.axis, keys.end)]

    def _own_rows(self) -> list[Any]:
        """What limits rows to `only` and, in a shared table, to the organisation."""
        tests = [] if self.only is None else [self._as_text(self.only[0]).in_(self.only[1])]
        if self._tenant is not None:
            tests.append(self._as_text(self._tenant.column) == self._tenant.organization_id)
        return tests

    def _as_text(self, column: str) -> Any:
        return sa.cast(self._table.c[column], sa.String(128))

    def _one_row(self, query: Any) -> Any:
        with self._connection() as connection:
            return connection.execute(query.where(*self._own_rows())).one()

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        with self._plain_errors(), _connected(self._engine) as connection:
            yield connection

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as failure:
            # The text of the driver's own error; SQLAlchemy's would repeat the statement and its parameters.
            said = getattr(failure, "orig", None)
            reason = type(failure).__name__ if said is None else words_of(said)
            raise SourceError(f"the database cannot be read: {reason}", field=_FIELD) from None

    def _reflect(self, wanted: str | None) -> sa.Table:
        inspector = sa.inspect(self._engine)
        tables = sorted([*inspector.get_table_names(), *inspector.get_view_names()])
        if wanted is None:
            hint = listing(tables) if tables else _NO_TABLE
            raise ConfigError("no table is named", field="scadaDbConfig.table", hint=hint)
        schema: str | None = None
        name = wanted
        if wanted not in tables and "." in wanted:
            schema, _, name = wanted.partition(".")
            known = schema in inspector.get_schema_names()
            tables = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)] if known else []
        if name not in tables:
            message = f'the database has no table "{wanted}"'
            raise missing_name(
                SourceError, wanted, message, field="scadaDbConfig.table", available=tables, none=_NO_TABLE
            )
        return sa.Table(name, sa.MetaData(), schema=schema, autoload_with=self._engine)


@contextmanager
def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        connection = engine.connect()
    except (TypeError, ValueError) as failure:  # of the driver's own code, before it reaches a server
        raise ConfigError(
            f"the driver {engine.driver} does not take what the URL says: {type(failure).__name__}",
            field=_FIELD,
            hint="leave out the options of the URL, or use another driver",
        ) from None
    with connection:
        yield connection


def _engine(database: ScadaDbConfig, password: str | None) -> sa.Engine:
    address = parse_url(database.database)
    user, host = database.user or address.user, database.host or address.host
    _refuse_ambiguous(address, user, host)
    url = sa.URL.create(
        address.scheme, user, password, host, database.port or address.port, address.database or None, address.options
    )
    try:
        return sa.create_engine(url, poolclass=sa.NullPool, connect_args=_safe_arguments(url, database))
    except (NoSuchModuleError, ImportError) as failure:
        missing = getattr(failure, "name", None) or address.scheme
        raise ConfigError(
            f"the SQLAlchemy dialect or driver {missing} is not installed",
            field=_FIELD,
            hint="install it with pip beside this package",
        ) from None
    except (ArgumentError, TypeError, ValueError):
        raise ConfigError(
            "database is not a URL that its dialect takes",
            field=_FIELD,
            hint="write it as dialect+driver://user@host:port/database",
        ) from None


def _refuse_ambiguous(address: DatabaseUrl, user: str | None, host: str | None) -> None:
    """Without these parts, libraries open files, or use names and logins of this machine's configuration."""
    if not host or address.dialect in _OF_FILES:
        raise ConfigError(
            "the SQLAlchemy URL names no server",
            field=_FIELD,
            hint='for a file use driver "sqlite", or dataSource.path',
        )
    if not address.database and "service_name" not in address.options:
        raise ConfigError("the SQLAlchemy URL names no database", field=_FIELD, hint="end it with /database")
    if not user and address.dialect not in _ANONYMOUS:
        raise ConfigError(
            "the SQLAlchemy URL names no user; the login of this process is no organisation's",
            field="scadaDbConfig.user",
            hint="name the role to connect as",
        )
    drivers = _DRIVERS.get(address.dialect)
    if drivers is not None and (address.driver or drivers[0]) not in drivers:
        raise ConfigError(
            f"{address.dialect} is not read with the driver {address.driver}; allowed are {', '.join(drivers)}",
            field=_FIELD,
        )


def _safe_arguments(url: sa.URL, database: ScadaDbConfig) -> dict[str, Any]:
    """What a driver must be told to send no file and no login of this machine, and how it encrypts."""
    driver = url.drivername.partition("+")[2] or _DRIVERS.get(url.drivername, ("",))[0]
    if driver not in _LIBPQ:
        return dict(_NO_FILES.get(driver, {}))
    given = {"sslmode": database.sslmode, "sslrootcert": database.ssl_root_cert}
    password = {} if url.password else {"password": ""}
    return {**LIBPQ_WITHOUT_LOGINS, **password, **{name: value for name, value in given.items() if value is not None}}


def _value(axis: TimeAxis, key: int) -> Any:
    if axis.kind == "number":
        return int(key / axis.unit)
    moment = _EPOCH + timedelta(microseconds=key)
    return moment if axis.kind == "instant" else moment.replace(tzinfo=None)


def _key(found: Any, axis: TimeAxis) -> int:
    if axis.kind == "number":
        return round(float(found) * axis.unit)
    moment = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int((moment - _EPOCH) // timedelta(microseconds=1))


def _to_batch(rows: Sequence[Any], names: Sequence[str]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    return pa.RecordBatch.from_arrays(
        [_to_array(*pair) for pair in zip(columns, names, strict=True)], names=list(names)
    )


def _to_array(values: Sequence[Any], name: str) -> pa.Array:
    """Values of one column; decimals as text, which keeps their digits and needs no common scale."""
    if any(isinstance(value, Decimal) for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if any(isinstance(value, date) and not isinstance(value, datetime) for value in values):
        return pa.array(values, pa.date32())
    try:
        return pa.array(values, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        if all(isinstance(value, str | int | float | type(None)) for value in values):
            return pa.array([None if value is None else str(value) for value in values], pa.string())
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise DataError(
            f'the column "{name}" holds values that cannot be read ({", ".join(kinds)})', field=name
        ) from None
