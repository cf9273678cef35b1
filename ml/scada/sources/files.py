"""Readings in a CSV or Parquet file, streamed.

CSV is read as text throughout and understood column by column later, so that one odd value spoils one cell and not
the file. The separator (comma, semicolon or tab) is the one that the header uses most.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import and_
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet

from ml.errors import DataError
from ml.readings.time_range import TimeRange
from ml.scada.failure_words import words_of
from ml.scada.fingerprint import refuse_foreign
from ml.scada.sources.base import Source

BATCH_ROWS = 65_536
_CSV_BLOCK_BYTES = 1 << 22
# Read ahead, Arrow keeps the whole file's bytes until the last row has been read.
_PARQUET = pyarrow.dataset.ParquetFileFormat(
    default_fragment_scan_options=pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
)
_SEPARATORS = ",;\t"
_FIELD = "dataSource.path"


def open_file(path: Path, *, organization_id: str) -> Source:
    """The source in a file, by its extension; raises as `ml.scada.sources.open_source`."""
    if not path.is_file():
        raise DataError(
            f"there is no file {path.name}",
            field=_FIELD,
            hint="check the path; a relative one starts at the folder in which the step runs",
        )
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return CsvSource(path)
    if name.endswith(".parquet"):
        refuse_foreign(path, organization_id=organization_id)
        return ParquetSource(path)
    raise DataError(f"{path.name} is neither .csv, .csv.gz nor .parquet", field=_FIELD)


class CsvSource(Source):
    """A CSV file with a header line, in UTF-8, plain or compressed with gzip."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns, self._separator = self._read_header()

    @property
    def where(self) -> str:
        """The file in words."""
        return f"the file {self._path.name}"

    def columns(self) -> list[str]:
        """Names in the header."""
        return list(self._columns)

    def row_count(self) -> int | None:
        """Not known before the end."""
        return None

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns as text; no row is left out."""
        del time_column, within
        try:
            yield from pyarrow.csv.open_csv(
                self._path,
                read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
                parse_options=pyarrow.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(columns),
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=True,
                ),
            )
        except (pa.ArrowInvalid, OSError, EOFError) as failure:
            raise self._explain(failure) from None

    def _lines(self) -> Iterator[str]:
        """Lines of text with their ends; a line that is not UTF-8 is a `DataError` that says which."""
        with gzip.open(self._path) if self._path.name.lower().endswith(".gz") else self._path.open("rb") as raw:
            for number, line in enumerate(raw, start=1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise DataError(f"{self.where} is not UTF-8 text at line {number}", field=_FIELD) from None

    def _read_header(self) -> tuple[list[str], str]:
        try:
            line = next(self._lines(), "")
        except (OSError, EOFError) as failure:
            raise self._unreadable(failure) from None
        separator = max(_SEPARATORS, key=line.count)
        names = next(csv.reader([line], delimiter=separator), [])
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names:
            raise DataError(f"{self.where} is empty; a header line is needed", field=_FIELD)
        if twice:
            raise DataError(f'{self.where} has the column "{twice[0]}" more than once', field=_FIELD)
        return names, separator

    def _explain(self, failure: Exception) -> DataError:
        """Find the line that Arrow stumbled over, which its streaming reader does not tell."""
        try:
            reader = csv.reader(self._lines(), delimiter=self._separator)
            for row in reader:
                if row and len(row) != len(self._columns):
                    return DataError(
                        f"{self.where} is broken at line {reader.line_num}: {len(self._columns)} values expected, "
                        f"{len(row)} found",
                        field=_FIELD,
                        hint="correct or remove the line",
                    )
        except DataError as found:
            return found
        except (OSError, EOFError, csv.Error) as broken:
            return self._unreadable(broken)
        return self._unreadable(failure)

    def _unreadable(self, failure: Exception) -> DataError:
        return DataError(f"{self.where} cannot be read: {words_of(failure)}", field=_FIELD)


class ParquetSource(Source):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._data = pyarrow.dataset.dataset(path, format=_PARQUET)
        except (pa.ArrowInvalid, OSError) as failure:
            raise DataError(f"{self.where} cannot be read as Parquet: {words_of(failure)}", field=_FIELD) from None

    @property
    def where(self) -> str:
        """The file in words."""
        return f"the file {self._path.name}"

    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self._data.schema.names)

    def row_count(self) -> int | None:
        """Rows of the file, from its footer."""
        return int(self._data.count_rows())

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns; row groups outside the range are skipped where the time column is a UTC timestamp."""
        try:
            yield from self._data.to_batches(
                columns={name: pyarrow.dataset.field(name) for name in columns},
                filter=self._filter(time_column, within),
                batch_size=BATCH_ROWS,
                batch_readahead=1,
                use_threads=False,
            )
        except (pa.ArrowInvalid, OSError) as failure:
            raise DataError(f"{self.where} cannot be read: {words_of(failure)}", field=_FIELD) from None

    def _filter(self, time_column: str, within: TimeRange) -> pyarrow.dataset.Expression | None:
        kind = self._data.schema.field(time_column).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            return None
        time = pyarrow.dataset.field(time_column)
        tests = []
        if within.start is not None:
            tests.append(time >= pa.scalar(within.start, pa.timestamp("us", tz=kind.tz)))
        if within.end is not None:
            tests.append(time < pa.scalar(within.end, pa.timestamp("us", tz=kind.tz)))
        return reduce(and_, tests) if tests else None
