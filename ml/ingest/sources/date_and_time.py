"""A source whose rows have the date in one column and the time of day in another, as one that has both in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning.parsing import clean_text, plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, MissingColumnError
from ml.ingest.sources.base import Source
from ml.options.base import missing_name

FIELD = "formatConfig.timeOfDayColumn"
_MIDNIGHT = r"[T ]0?0:00(:00(\.0+)?)?$"  # spreadsheets and databases write a date as a time
_ANY_DATE = r"^\d{4}-\d{2}-\d{2}[T ]"  # and a time of day with the date of their zero


class DateAndTime(Source):
    """`source`, with the text of both columns under the name of the date's.

    Raises
    ------
    MissingColumnError
        If one of the columns is not there.
    """

    def __init__(self, source: Source, date: str, time: str) -> None:
        available = source.columns()
        if time not in available:
            raise missing_name(
                MissingColumnError,
                time,
                f'{source.where} has no column "{time}"',
                field=FIELD,
                hint=f"available: {', '.join(available[:30])}",
            )
        self._source, self._date, self._time = source, date, time

    @property
    def where(self) -> str:
        """As of the source."""
        return self._source.where

    @property
    def found(self) -> Mapping[str, Any]:
        """As of the source."""
        return self._source.found

    def columns(self) -> list[str]:
        """As of the source."""
        return self._source.columns()

    def row_count(self) -> int | None:
        """As of the source."""
        return self._source.row_count()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns; no row is left out."""
        del within  # a range of dates would cut the last day off
        wanted = list(dict.fromkeys([*columns, self._time])) if self._date in columns else list(columns)
        for batch in self._source.read(wanted, time_column=time_column, within=TimeRange()):
            rows = batch.select(list(columns))
            if self._date in columns:
                place = columns.index(self._date)
                rows = rows.set_column(place, self._date, self._joined(batch))
            yield rows

    def _joined(self, batch: pa.RecordBatch) -> pa.Array:
        date = pc.replace_substring_regex(_text(batch.column(self._date), self._date), _MIDNIGHT, "")
        time = pc.replace_substring_regex(_text(batch.column(self._time), self._time), _ANY_DATE, "")
        return pc.binary_join_element_wise(date, time, " ")


def _text(column: pa.Array, name: str) -> pa.Array:
    try:
        return clean_text(plain(column))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(f'the column "{name}" holds {column.type} values, which are no times', field=FIELD) from None
