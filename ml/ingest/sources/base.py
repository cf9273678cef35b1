"""What every source of readings can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.findings import Finding


class Source(ABC):
    """A table of readings, one row per reading."""

    where: str
    """The source in words for messages, such as ``the table "readings"``; no secret, no folder."""
    few_cells: bool = False
    """Whether a row may hold one column's value only, so that its first rows say nothing about the others."""

    @abstractmethod
    def columns(self) -> list[str]:
        """Names of all columns, in the order of the source."""

    @abstractmethod
    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream `columns`, in this order, in bounded memory.

        A source leaves out rows outside `within` where it can tell cheaply and surely; the others come along, so
        the reader filters again.

        Raises SourceError if a database fails or refuses; DataError if a file is not what its name says.
        """

    def row_count(self) -> int | None:
        """Rows of the whole source, where that is known without reading it through."""
        return None

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about how the source is written, for the data summary; complete once it has been read."""
        return {}

    def close(self) -> None:  # noqa: B027 - a source that holds nothing open has nothing to do
        """Let go of connections."""

    def told(self) -> list[Finding | str]:
        """What was odd about the way in which the rows read so far lie in the source."""
        return []

    @property
    def base(self) -> Source:
        """The source that is no shape of another."""
        return self

    @property
    def rows_per_instant(self) -> int:
        """About how many rows of `base` make one instant of one machine."""
        return 1

    def base_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        """What must be read of `base` to give `columns`."""
        del time_column
        return list(columns)

    def shape_base(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterable[pa.RecordBatch]:
        """The rows of this source out of all batches of `base`, which have `base_columns`."""
        del columns, time_column, within
        return batches


class WrappedSource(Source):
    """Rows of another source, changed on the way; it is closed with this one."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner
        self.where = inner.where

    def columns(self) -> list[str]:
        return self._inner.columns()

    @property
    def found(self) -> Mapping[str, Any]:
        return self._inner.found

    def close(self) -> None:
        self._inner.close()

    def told(self) -> list[Finding | str]:
        return self._inner.told()


class ShapedSource(WrappedSource):
    """Rows of another source in another shape, such as one row per instant out of one row per value."""

    @abstractmethod
    def inner_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        """What must be read of the other source to give `columns`."""

    @abstractmethod
    def shape(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        """Batches with `columns` out of all batches of the other source, which have `inner_columns` of them."""

    @property
    def base(self) -> Source:
        return self._inner.base

    @property
    def rows_per_instant(self) -> int:
        return self._inner.rows_per_instant

    def base_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        return self._inner.base_columns(self.inner_columns(columns, time_column), time_column)

    def shape_base(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        wanted = self.inner_columns(columns, time_column)
        inner = self._inner.shape_base(batches, wanted, time_column=time_column, within=within)
        return self.shape(inner, columns, time_column=time_column, within=within)

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        wanted = self.inner_columns(columns, time_column)
        batches = self._inner.read(wanted, time_column=time_column, within=within)
        return self.shape(batches, columns, time_column=time_column, within=within)


@dataclass(frozen=True)
class TimeAxis:
    """How a database compares the times of a column.

    A *key* is a time as it is stored, as microseconds since the epoch: of times without a zone the wall clock, of
    numbers what they mean in their unit. Keys sort as the database sorts the column.
    """

    column: str  # the time column
    kind: str  # its kind, in the words of the source
    unit: float = 1.0  # microseconds per unit of a number
    granularity: int = 1  # microseconds between the instants at which the column can be cut
    margin: int = 0  # by how much a key may differ from the instant in UTC, in microseconds


def keys_within(within: TimeRange, axis: TimeAxis) -> tuple[int, int]:
    """The keys ``start <= key < end`` that hold every row of a range, cut where the column can be cut."""
    start = clock.EARLIEST if within.start is None else within.start - axis.margin
    end = clock.LATEST if within.end is None else within.end + axis.margin
    step = axis.granularity
    return max(start, clock.EARLIEST) // step * step, -(-min(end, clock.LATEST) // step) * step


def number_axis(column: str, smallest: Any, largest: Any, margin: int = 0) -> TimeAxis | None:
    """The axis of a column of positive numbers; None if there are none, or they seem to be of two units."""
    if smallest is None or largest is None:
        return None
    unit = clock.microseconds_per_unit(float(largest))
    if clock.microseconds_per_unit(float(smallest)) != unit:
        return None
    return TimeAxis(column, "number", unit, granularity=1_000_000, margin=margin)


@dataclass(frozen=True)
class Keys:
    """The rows of a table with ``start <= key < end``."""

    axis: TimeAxis
    start: int = clock.EARLIEST
    end: int = clock.LATEST


class SlicedSource(Source):
    """A table of a database, which can be fetched one slice of time after the other: four queries make all others."""

    identity: str
    """What tells this table from every other one; no secret."""
    only: tuple[str, tuple[str, ...]] | None = None
    """A column, and the texts of which it holds one in every row that is read or counted; None: all rows."""

    @property
    def state(self) -> str:
        """What changes when slices fetched before may be out of date and their numbers of rows do not show it."""
        return ""

    @abstractmethod
    def types(self, columns: Sequence[str]) -> Mapping[str, str]:
        """The database's types of columns; raises DataError if one can hold neither numbers nor text nor times."""

    @abstractmethod
    def axis(self, column: str) -> TimeAxis | None:
        """How the column's times compare; None if they cannot be compared, such as mixed texts and numbers."""

    @abstractmethod
    def count(self, keys: Keys | None = None) -> int:
        """Rows of the table, or those that `keys` stands for."""

    @abstractmethod
    def extreme(self, function: Literal["min", "max"], keys: Keys) -> int | None:
        """The smallest or the largest key of rows; None without rows."""

    @abstractmethod
    def stream(self, columns: Sequence[str], keys: Keys | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in the order in which the table holds them, as far as it has one.

        Raises SourceError if the database fails or refuses; DataError if a column is not of the type any more that it
        had when the source was opened; IsolationError if a row of another organisation came.
        """

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        del time_column, within
        return self.stream(columns)

    def bounds(self, axis: TimeAxis) -> tuple[int, int] | None:
        """The smallest and the largest readable key, which an index answers each; None without rows."""
        first, last = self.extreme("min", Keys(axis)), self.extreme("max", Keys(axis))
        return None if first is None or last is None else (first, last)

    def rows_without_key(self, axis: TimeAxis) -> int:
        """Rows that have no time of the years 1900 to 2199, which no slice contains."""
        return self.count() - self.count(Keys(axis))

    def expected_rows(self) -> int:
        """About how many rows there are, found out cheaply."""
        return self.count()
