"""Tables that organisations share: only rows of one organisation pass, and every one that passes is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning.parsing import plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, IsolationError, MissingColumnError
from ml.ingest.sources.base import Source
from ml.options.base import missing_name, nearest

FIELD = "schemaConfig.organizationColumn"
# Columns that hold an organisation in most shared tables; one that is there and not configured is worth a warning.
USUAL_NAMES = frozenset({"organizationid", "organisationid", "orgid", "tenantid", "customerid"})


@dataclass(frozen=True)
class Tenant:
    """The organisation whose rows are read, and the column that names it."""

    column: str
    organization_id: str

    def require_column(self, available: Sequence[str], where: str) -> None:
        """Raise MissingColumnError if a source lacks the column."""
        if self.column not in available:
            guess = nearest(self.column, available)
            raise missing_name(
                MissingColumnError,
                self.column,
                f'{where} has no column "{self.column}" to tell organisations apart',
                field=FIELD,
                hint=f'did you mean "{guess}"?' if guess else "name the column that holds the organisation",
            )

    def own_rows(self, batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
        """Drop the last column of `batch`, in which every row must hold `name`.

        Raises
        ------
        IsolationError
            If a row holds anything else: the database let through what the query excludes.
        """
        held = as_text(batch.column(batch.num_columns - 1), self.column)
        if not pc.all(pc.fill_null(pc.equal(held, name), False), min_count=0).as_py():
            raise IsolationError(
                f'the database returned rows whose "{self.column}" is not exactly "{name}"; nothing of them was kept',
                field=FIELD,
                hint="the column may ignore case or blanks when it compares; use one with exact comparison",
            )
        return batch.select(batch.schema.names[:-1])


class OwnRows(Source):
    """The rows of one organisation in a file that several share."""

    def __init__(self, source: Source, tenant: Tenant) -> None:
        tenant.require_column(source.columns(), source.where)
        self._source = source
        self._tenant = tenant

    @property
    def where(self) -> str:
        """As of the file."""
        return self._source.where

    @property
    def found(self) -> Mapping[str, Any]:
        """As of the file."""
        return self._source.found

    def columns(self) -> list[str]:
        """As of the file."""
        return self._source.columns()

    def row_count(self) -> int | None:
        """Not known before the end."""
        return None

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the organisation's rows."""
        wanted, name = list(dict.fromkeys([*columns, self._tenant.column])), self._tenant.organization_id
        for batch in self._source.read(wanted, time_column=time_column, within=within):
            held = as_text(batch.column(wanted.index(self._tenant.column)), self._tenant.column)
            yield batch.filter(pc.fill_null(pc.equal(held, name), False)).select(list(columns))


def as_text(column: pa.Array, name: str) -> pa.Array:
    """A column of names or numbers as text; raises DataError for any other type."""
    try:
        return pc.cast(plain(column), pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(
            f'the organisation column "{name}" holds {column.type} values, not names', field=FIELD
        ) from None
