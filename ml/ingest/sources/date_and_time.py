"""A source whose rows have the date in one column and the time of day in another, as one that has both in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning.parsing import clean_text, plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.sources.base import Source, WrappedSource
from ml.options.base import missing_column

FIELD = "formatConfig.timeOfDayColumn"
_MIDNIGHT = r"[T ]0?0:00(:00(\.0+)?)?$"  # spreadsheets and databases write a date as a time
_ANY_DATE = r"^\d{4}-\d{2}-\d{2}[T ]"  # and a time of day with the date of their zero


class DateAndTime(WrappedSource):
    """`inner`, with the text of both columns under the name of the date's; raises MissingColumnError without one."""

    def __init__(self, inner: Source, date: str, time: str) -> None:
        super().__init__(inner)
        if time not in inner.columns():
            raise missing_column(inner.where, time, inner.columns(), FIELD)
        self._date, self._time = date, time

    def row_count(self) -> int | None:
        return self._inner.row_count()

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        del within  # a range of dates would cut the last day off
        wanted = list(dict.fromkeys([*columns, self._time])) if self._date in columns else list(columns)
        for batch in self._inner.read(wanted, time_column=time_column, within=TimeRange()):
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
