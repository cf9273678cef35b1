"""Readings in InfluxDB's line protocol, as ``influxd inspect export-lp`` and ``influx_inspect export`` write them.

InfluxDB is what many plants and edge gateways log to, and a file of lines needs neither its server nor a driver. The
grammar is that of https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. An export has one field a
line; the cells of one instant are put together behind every source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.one_file import BATCH_ROWS, DAMAGE, FileSource

TIME = "time"
_MOST_LINE_BYTES = 1 << 20
_SHOWN = 60
_VALUE = r'"(?:[^"\\]|\\.)*"|[^,"\s]+'
_FIELD = rf"(?:[^\\ ,=]|\\.)+=(?:{_VALUE})"
_LINE = re.compile(rf"((?:[^\\ ]|\\.)+) +({_FIELD}(?:,{_FIELD})*)(?: +(-?\d{{1,19}}))?\s*")
_USUAL = re.compile(r'([^ \\"]+) ([^ =,\\"]+)=([^ ,"]+)(?: (-?\d{1,19}))?')
"""A line of one field without a mark that is escaped: most lines of an export."""
_ONE_FIELD = re.compile(rf"((?:[^\\ ,=]|\\.)+)=({_VALUE})")
_SEPARATED = re.compile(r"(?<!\\),")
_ASSIGNED = re.compile(r"(?<!\\)=")
_ESCAPED = re.compile(r"\\([ ,=])")
_WORDS = {**dict.fromkeys(("t", "T", "true", "True", "TRUE"), True)}
_WORDS |= dict.fromkeys(("f", "F", "false", "False", "FALSE"), False)


class _Row(NamedTuple):
    series: str  # measurement and tags as written
    fields: list[tuple[str, str]]  # names and values as written
    time: int | None
    number: int


class InfluxLinesSource(FileSource):
    """A file of line protocol, plain or compressed with gzip.

    Its columns are ``time``, the tags, and the fields. With several measurements, or where a tag or the time has the
    name of a field, a field is called ``measurement.field``.
    """

    few_cells = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        tags: dict[str, None] = {}
        fields: dict[tuple[str, str], None] = {}
        seen: set[tuple[str, str]] = set()
        for row in self._rows():
            for key, _ in row.fields:
                if (row.series, key) not in seen:
                    seen.add((row.series, key))
                    measurement, own = self._series(row)
                    tags |= dict.fromkeys(own)
                    fields[measurement, _plain(key)] = None
        if not fields:
            raise self._refused("has no line of readings")
        several = len({measurement for measurement, _ in fields}) > 1
        self._names = {
            (measurement, key): f"{measurement}.{key}" if several or key in tags or key == TIME else key
            for measurement, key in fields
        }
        self._columns = [TIME, *tags, *dict.fromkeys(self._names.values())]
        if len(set(self._columns)) < len(self._columns):
            raise self._refused("has a tag that is called as the time is, or as a measurement and its field")
        self._refuse_wide()

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns, a row for each line; what a line does not have is null."""
        del time_column, within
        rows = self._rows()
        while some := list(islice(rows, BATCH_ROWS)):
            cells: dict[str, dict[int, Any]] = {name: {} for name in columns}
            for at, row in enumerate(some):
                measurement, tags = self._series(row)
                values = [(self._names[measurement, _plain(key)], self._value(text, row)) for key, text in row.fields]
                for name, value in (*values, *tags.items(), (TIME, row.time)):
                    if name in cells:
                        cells[name][at] = value
            held = [_column(cells[name], len(some), whole=name == TIME) for name in columns]
            yield pa.RecordBatch.from_arrays(held, names=list(columns))

    def _rows(self) -> Iterator[_Row]:
        try:
            with self._open() as file:
                number = 0
                while line := file.readline(_MOST_LINE_BYTES + 1):
                    number += 1
                    if len(line) > _MOST_LINE_BYTES:
                        raise self._refused(f"has a line of more than {_MOST_LINE_BYTES:,} bytes, line {number:,}")
                    text = line.decode("utf-8").strip()
                    # the older export begins with statements that make the database
                    if text and not text.startswith(("#", "CREATE DATABASE ")):
                        yield self._parsed(text, number)
        except DAMAGE as failure:
            raise self._refused(f"cannot be read: {words_of(failure)}") from None

    def _parsed(self, line: str, number: int) -> _Row:
        usual = _USUAL.fullmatch(line)
        match = usual or _LINE.fullmatch(line)
        if match is None:
            raise self._unfit(line, number)
        fields = [(usual[2], usual[3])] if usual else _ONE_FIELD.findall(match[2])
        time = match[match.re.groups]
        return _Row(match[1], fields, None if time is None else int(time), number)

    def _series(self, row: _Row) -> tuple[str, dict[str, str]]:
        try:
            return _series(row.series)
        except ValueError:
            raise self._unfit(row.series, row.number) from None

    def _value(self, text: str, row: _Row) -> float | bool | str:
        try:
            return _value_of(text)
        except ValueError:
            raise self._unfit(text, row.number) from None

    def _unfit(self, line: str, number: int) -> DataError:
        shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
        return self._refused(
            f"is no line protocol in line {number:,}: {shown!r}",
            "a line is measurement,tag=value field=1.5 1700000000000000000",
        )


@lru_cache(maxsize=4096)
def _series(text: str) -> tuple[str, dict[str, str]]:
    """Measurement and tags; raises ValueError if a tag has no value."""
    measurement, *tags = _SEPARATED.split(text)
    pairs = [_ASSIGNED.split(tag) for tag in tags]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ValueError(text)
    return _plain(measurement), {_plain(key): _plain(value) for key, value in pairs}


def _plain(text: str) -> str:
    return text if "\\" not in text else _ESCAPED.sub(r"\1", text)


def _value_of(text: str) -> float | bool | str:
    """A field's value; raises ValueError if it is none."""
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in _WORDS:
        return _WORDS[text]
    return float(text[:-1] if text[-1] in "iu" else text)


def _column(cells: dict[int, Any], n_rows: int, *, whole: bool) -> pa.Array:
    """Cells by row as one column: whole numbers, numbers, yes and no, or text where they are mixed."""
    found = [value for value in cells.values() if value is not None]
    if not found:
        return pa.nulls(n_rows)
    if not whole and all(type(value) is float for value in found):
        numbers = np.full(n_rows, np.nan)
        numbers[list(cells)] = found
        return pa.array(numbers, from_pandas=True)
    values = [cells.get(row) for row in range(n_rows)]
    if not whole and len({type(value) for value in found}) > 1:
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, pa.int64() if whole else None)
