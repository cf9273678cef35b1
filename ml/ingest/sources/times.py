"""How the times of a second table are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from ml.cleaning.notation.detection import find_times
from ml.cleaning.notation.times import TimeFormat
from ml.cleaning.time_range import TimeRange
from ml.ingest.sources.base import SlicedSource, Source


def times_of(source: Source, column: str, told: str | None, zone: str, field: str) -> TimeFormat:
    """The format of a time column: as `told`, else as the rows show.

    Raises DataError if the times can be read in two ways, and no row tells which.

    Parameters
    ----------
    field
        The key that tells it, for the refusal.
    """
    if told is not None:
        return TimeFormat(told)
    if isinstance(source, SlicedSource) and not any(map(is_text_type, source.types([column]).values())):
        return TimeFormat()

    def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from source.read(names, time_column=column, within=TimeRange())

    return find_times(column, zone, read, field)


def is_text_type(kind: str) -> bool:
    """Whether a type of a database may hold text; SQLite binds nobody to a type, and may have none."""
    return not kind or any(word in kind.lower() for word in ("char", "text", "clob", "string"))
