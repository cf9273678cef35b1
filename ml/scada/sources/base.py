"""What every source of readings can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import pyarrow as pa

from ml.readings.time_range import TimeRange


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
