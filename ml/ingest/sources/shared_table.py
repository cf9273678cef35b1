"""Tables that organisations share: only rows of one organisation pass, and every one that passes is checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning.parsing import plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, IsolationError
from ml.ingest.sources.base import Source, WrappedSource
from ml.options.base import missing_column

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
            told = " to tell organisations apart"
            raise missing_column(where, self.column, available, FIELD, told)

    def own_rows(self, batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
        """Drop the last column of `batch`, in which every row must hold `name`.

        Raises IsolationError if a row holds anything else: the database let through what the query excludes.
        """
        held = as_text(batch.column(batch.num_columns - 1), self.column)
        if not pc.all(pc.fill_null(pc.equal(held, name), False), min_count=0).as_py():
            raise IsolationError(
                f'the database returned rows whose "{self.column}" is not exactly "{name}"; nothing of them was kept',
                field=FIELD,
                hint="the column may ignore case or blanks when it compares; use one with exact comparison",
            )
        return batch.select(batch.schema.names[:-1])


class OwnRows(WrappedSource):
    """The rows of one organisation in a file that several share."""

    def __init__(self, inner: Source, tenant: Tenant) -> None:
        super().__init__(inner)
        tenant.require_column(inner.columns(), inner.where)
        self._tenant = tenant

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        wanted, name = list(dict.fromkeys([*columns, self._tenant.column])), self._tenant.organization_id
        for batch in self._inner.read(wanted, time_column=time_column, within=within):
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
