"""The first rows of a source, as a source of their own and as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from ml.cleaning.parsing import plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.sources.base import SlicedSource, Source

ROWS = 50_000
_MOST_CELLS = 5_000_000


class Sample(Source):
    """The first rows of `source`, about 50,000 and fewer of a wide one; the caller closes `source`.

    Columns of a type that can hold neither numbers nor texts nor times are left out. `complete` says whether these are
    all rows.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.where = source.where
        self._names = [name for name in source.columns() if self._is_readable(name)]
        self._limit = min(ROWS, max(1_000, _MOST_CELLS // max(1, len(self._names))))
        self.table, self.complete = self._take()

    @property
    def found(self) -> Mapping[str, Any]:
        """As of the source."""
        return self._source.found

    def columns(self) -> list[str]:
        """Names of the readable columns."""
        return list(self._names)

    def row_count(self) -> int | None:
        """Rows of the sample."""
        return int(self.table.num_rows)

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """The columns of all rows of the sample."""
        del time_column, within
        yield from self.table.select(list(columns)).to_batches()

    def read_all(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of all rows of the source, for what the sample leaves open."""
        if self.complete:
            yield from self.table.select(list(columns)).to_batches()
        else:
            yield from self._source.read(columns, time_column=self._names[0], within=TimeRange())

    def _is_readable(self, name: str) -> bool:
        if isinstance(self._source, SlicedSource):
            try:
                self._source.types([name])
            except DataError:
                return False
        return True

    def _take(self) -> tuple[pa.Table, bool]:
        parts: list[pa.RecordBatch] = []
        left = self._limit
        if not self._names:
            return pa.table({}), True
        rows = self._source.read(self._names, time_column=self._names[0], within=TimeRange())
        if self._source.few_cells:
            return self._take_of_each(rows)
        with closing(rows):  # type: ignore[type-var]
            for batch in rows:
                columns = [plain(column) for column in batch.slice(0, left).columns]
                parts.append(pa.RecordBatch.from_arrays(columns, names=batch.schema.names))
                left -= batch.num_rows
                if left < 0:
                    break
        whole = pa.Table.from_batches(parts) if parts else pa.table({name: pa.nulls(0) for name in self._names})
        return whole.combine_chunks(), left >= 0

    def _take_of_each(self, rows: Iterator[pa.RecordBatch]) -> tuple[pa.Table, bool]:
        """The first rows of each column: those of the source may tell of one column only."""
        room = dict.fromkeys(self._names, max(1, self._limit // len(self._names)))
        parts, complete = [], True
        for batch in rows:
            keep = np.zeros(batch.num_rows, dtype=np.bool_)
            for name in self._names:
                own = np.flatnonzero(batch.column(name).is_valid().to_numpy(zero_copy_only=False))[: room[name]]
                keep[own] = True
                room[name] -= len(own)
            complete = complete and bool(keep.all())
            parts.append(pa.table(batch.filter(pa.array(keep))))
        return pa.concat_tables(parts, promote_options="permissive").combine_chunks(), complete
