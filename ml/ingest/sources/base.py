"""What every source of readings can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.findings import Finding


class Source(ABC):
    """A table of readings, one row per reading."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The source in words for messages, such as ``the table "readings"``; no secret, no folder."""

    @abstractmethod
    def columns(self) -> list[str]:
        """Names of all columns, in the order of the source."""

    @abstractmethod
    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream `columns`, in this order, in bounded memory.

        A source leaves out rows outside `within` where it can tell cheaply and surely; the others come along, so
        the reader filters again.

        Raises
        ------
        SourceError
            If a database fails or refuses.
        DataError
            If a file is not what its name says.
        """

    @abstractmethod
    def row_count(self) -> int | None:
        """Rows of the whole source, where that is known without reading it through."""

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about how the source is written, for the data summary; complete once it has been read."""
        return {}

    def close(self) -> None:  # noqa: B027 - a source that holds nothing open has nothing to do
        """Let go of connections."""

    def told(self) -> list[Finding | str]:
        """What was odd about the way in which the rows read so far lie in the source."""
        return []


class ShapedSource(Source):
    """Rows of another source in another shape, such as one row per instant out of one row per value.

    Parameters
    ----------
    inner
        The other source, which is closed with this one.
    """

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    @property
    def where(self) -> str:
        """As of the other source."""
        return self._inner.where

    @property
    def found(self) -> Mapping[str, Any]:
        """As of the other source."""
        return self._inner.found

    @property
    def base(self) -> Source:
        """The source that is no shape of another."""
        return self._inner.base if isinstance(self._inner, ShapedSource) else self._inner

    @property
    def rows_per_instant(self) -> int:
        """About how many rows of `base` make one instant of one machine."""
        return self._inner.rows_per_instant if isinstance(self._inner, ShapedSource) else 1

    @abstractmethod
    def inner_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        """What must be read of the other source to give `columns`."""

    @abstractmethod
    def shape(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        """Batches with `columns` out of all batches of the other source, which have `inner_columns` of them."""

    def base_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        """What must be read of `base` to give `columns`."""
        wanted = self.inner_columns(columns, time_column)
        return self._inner.base_columns(wanted, time_column) if isinstance(self._inner, ShapedSource) else wanted

    def shape_base(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        """As `shape`, out of all batches of `base`, which have `base_columns`."""
        if isinstance(self._inner, ShapedSource):
            wanted = self.inner_columns(columns, time_column)
            batches = self._inner.shape_base(batches, wanted, time_column=time_column, within=within)
        return self.shape(batches, columns, time_column=time_column, within=within)

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the rows in their new shape."""
        wanted = self.inner_columns(columns, time_column)
        batches = self._inner.read(wanted, time_column=time_column, within=within)
        return self.shape(batches, columns, time_column=time_column, within=within)

    def row_count(self) -> int | None:
        """Not known before the end."""
        return None

    def close(self) -> None:
        """Close the other source."""
        self._inner.close()

    def told(self) -> list[Finding | str]:
        """What the other source has to tell."""
        return self._inner.told()


@dataclass(frozen=True)
class TimeAxis:
    """How a database compares the times of a column.

    A *key* is a time as it is stored, as microseconds since the epoch: of times without a zone the wall clock, of
    numbers what they mean in their unit. Keys sort as the database sorts the column.

    Attributes
    ----------
    column
        The time column.
    kind
        Its kind, in the words of the source.
    unit
        Microseconds per unit of a number.
    granularity
        Microseconds between the instants at which the column can be cut.
    margin
        By how much a key may differ from the instant in UTC, in microseconds.
    """

    column: str
    kind: str
    unit: float = 1.0
    granularity: int = 1
    margin: int = 0


def keys_within(within: TimeRange, axis: TimeAxis) -> tuple[int, int]:
    """The keys ``start <= key < end`` that hold every row of a range, cut where the column can be cut."""
    start = clock.EARLIEST if within.start is None else within.start - axis.margin
    end = clock.LATEST if within.end is None else within.end + axis.margin
    step = axis.granularity
    return max(start, clock.EARLIEST) // step * step, -(-min(end, clock.LATEST) // step) * step


class SlicedSource(Source):
    """A table of a database, which can be fetched one slice of time after the other."""

    only: tuple[str, tuple[str, ...]] | None = None
    """A column, and the texts of which it holds one in every row that is read or counted; None: all rows."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What tells this table from every other one; no secret."""

    @property
    @abstractmethod
    def state(self) -> str:
        """What changes when slices fetched before may be out of date and nobody would notice; else empty."""

    @abstractmethod
    def types(self, columns: Sequence[str]) -> Mapping[str, str]:
        """The database's types of columns.

        Raises
        ------
        DataError
            If a type can hold neither numbers nor text nor times.
        """

    @abstractmethod
    def axis(self, column: str) -> TimeAxis | None:
        """How the column's times compare; None if they cannot be compared, such as mixed texts and numbers."""

    @abstractmethod
    def bounds(self, axis: TimeAxis) -> tuple[int, int] | None:
        """The smallest and the largest readable key; None without rows."""

    @abstractmethod
    def first_key(self, axis: TimeAxis, start: int, end: int) -> int | None:
        """The smallest key with ``start <= key < end``."""

    @abstractmethod
    def rows_between(self, axis: TimeAxis, start: int, end: int) -> int:
        """Rows with ``start <= key < end``."""

    @abstractmethod
    def rows_without_key(self, axis: TimeAxis) -> int:
        """Rows that have no readable time, which no slice contains."""

    @abstractmethod
    def expected_rows(self, axis: TimeAxis) -> int:
        """About how many rows there are, found out cheaply."""

    @abstractmethod
    def read_slice(self, columns: Sequence[str], axis: TimeAxis, start: int, end: int) -> Iterator[pa.RecordBatch]:
        """Stream the rows with ``start <= key < end`` in the order in which the table holds them.

        Raises
        ------
        SourceError
            If the database fails or refuses.
        DataError
            If a column is not of the type any more that it had when the source was opened.
        IsolationError
            If a row of another organisation came.
        """
