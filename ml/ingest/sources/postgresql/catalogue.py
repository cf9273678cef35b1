"""What the catalogue of a PostgreSQL database says: tables, columns and their types, and what the role may do.

A name from the configuration only ever picks an entry of the catalogue; statements are put together from what the
catalogue spells, quoted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml.errors import ConfigError, DataError, SourceError
from ml.ingest.sources.postgresql.session import Transaction
from ml.options.base import listing, missing_name

_TABLE_FIELD = "scadaDbConfig.table"
_NO_TABLE = "the role sees no table"
_TABLES = """
SELECT n.nspname::text, c.relname::text, c.oid::int8, pg_catalog.has_table_privilege(c.oid, 'SELECT')
    OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT c.relispartition
    AND n.nspname !~ '^(pg_|_timescaledb_|timescaledb_|information_schema$)'
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
ORDER BY 1, 2"""
_COLUMNS = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
    pg_catalog.format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL), t.typtype::text
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = current_setting('eagle.table')::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""
_POWERS = """
SELECT r.rolname::text, r.rolsuper, r.rolbypassrls,
    pg_catalog.has_table_privilege(t.id, 'INSERT') OR pg_catalog.has_table_privilege(t.id, 'UPDATE')
    OR pg_catalog.has_table_privilege(t.id, 'DELETE') OR pg_catalog.has_table_privilege(t.id, 'TRUNCATE')
    OR pg_catalog.has_any_column_privilege(t.id, 'INSERT') OR pg_catalog.has_any_column_privilege(t.id, 'UPDATE')
FROM pg_catalog.pg_roles r, (SELECT current_setting('eagle.table')::oid AS id) t
WHERE r.rolname = current_user"""
_NATIVE = frozenset(
    {
        "smallint", "integer", "bigint", "real", "double precision", "numeric", "boolean", "text",
        "character varying", "timestamp without time zone", "timestamp with time zone", "date",
    }
)  # fmt: skip
_READ_AS_TEXT = frozenset({"character", "uuid", "name", '"char"'})


@dataclass(frozen=True)
class Table:
    """A table or view; `sql` is its name in statements."""

    schema: str
    name: str
    oid: int

    @property
    def sql(self) -> str:
        """Quoted and with its schema."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    ``declared`` is its type as the catalogue spells it, ``base`` the same without length and domain.
    """

    name: str
    declared: str
    base: str
    is_enum: bool

    @property
    def sql(self) -> str:
        """What to select so that the value arrives in a type that readers know.

        Raises DataError if the type can hold neither numbers nor text nor times.
        """
        if self.base in _NATIVE:
            return quoted(self.name)
        if self.is_enum or self.base in _READ_AS_TEXT or self.base.rpartition(".")[2] == "citext":
            return f"{quoted(self.name)}::text"
        raise DataError(
            f'the column "{self.name}" has the type {self.declared}, which holds neither numbers nor text nor times',
            field=self.name,
            hint="name another column, or read from a view that converts it",
        )

    @property
    def comparable(self) -> str:
        """The type as which values of the configuration are compared with the column."""
        return "text" if self.base not in _NATIVE and not self.is_enum and self.base != "uuid" else self.base


def quoted(name: str) -> str:
    """An identifier that cannot end early, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def find_table(transaction: Transaction, wanted: str | None) -> Table:
    """The table that `wanted` names as ``table`` or ``schema.table``; without a schema, public comes first.

    Raises ConfigError if no table is named, or several schemas have one of that name; SourceError if there is no such
    table, or the role may not read it.
    """
    entries = transaction.rows(_TABLES)
    names = [name if schema == "public" else f"{schema}.{name}" for schema, name, _, _ in entries]
    if wanted is None:
        hint = listing(names) if names else _NO_TABLE
        raise ConfigError("no table is named", field=_TABLE_FIELD, hint=hint)
    found = [entry for entry in entries if wanted in (entry[1], f"{entry[0]}.{entry[1]}")]
    found = [entry for entry in found if entry[0] == "public"] or found
    if not found:
        message = f'the database has no table "{wanted}" that the role may see'
        raise missing_name(SourceError, wanted, message, field=_TABLE_FIELD, available=names, none=_NO_TABLE)
    if len(found) > 1:
        raise ConfigError(
            f'several schemas have a table "{wanted}": {", ".join(entry[0] for entry in found)}',
            field=_TABLE_FIELD,
            hint=f"write {found[0][0]}.{found[0][1]}",
        )
    schema, name, oid, readable = found[0]
    if not readable:
        raise SourceError(
            f'the role may not read the table "{name}"',
            field="scadaDbConfig.user",
            hint=f"GRANT SELECT ON {schema}.{name} TO the role",
        )
    return Table(schema, name, oid)


def columns_of(transaction: Transaction, table: Table) -> dict[str, Column]:
    """The columns of a table by name, in order."""
    transaction.set({"eagle.table": str(table.oid)})
    return {
        name: Column(name, declared, base, kind == "e") for name, declared, base, kind in transaction.rows(_COLUMNS)
    }


def excessive_powers(transaction: Transaction, table: Table) -> tuple[str, list[str]]:
    """The role's name, and in words what it may do beyond reading the rows that it is meant to see."""
    transaction.set({"eagle.table": str(table.oid)})
    role, superuser, bypasses, writes = transaction.rows(_POWERS)[0]
    powers = {
        "is a superuser": superuser,
        "bypasses row security (BYPASSRLS)": bypasses and not superuser,
        "may write to the table": writes and not superuser,
    }
    return str(role), [words for words, has in powers.items() if has]
