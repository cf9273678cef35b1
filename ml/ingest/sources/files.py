"""Readings in a CSV or Parquet file, streamed; other files are opened here as well.

CSV is read as text throughout and understood column by column later, so that one odd value spoils one cell and not
the file. The separator (comma, semicolon, tab or bar) is the one that the header uses most. Lines end with LF, CR LF or
CR. Text is UTF-8, or UTF-16 if the file begins with its byte order mark.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import and_
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet

from ml.cleaning.parsing import is_text
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.prepared.fingerprint import refuse_foreign
from ml.ingest.sources.base import Source
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.folder import SUFFIXES
from ml.ingest.sources.other_files import ExcelSource, JsonLinesSource, open_member

BATCH_ROWS = 65_536
_CSV_BLOCK_BYTES = 1 << 22
_MOST_COLUMNS = 10_000
_MOST_TEXT_BYTES = 1 << 28  # of one column in one batch: 4 KB in every cell
_SEPARATORS = ",;\t|"
_FIELD = "dataSource.path"
_LINE_LENGTH = 1 << 22  # characters of a line at most, as much as Arrow reads at once
_STARTING_BYTES = 4096  # enough to tell text from what is none
_SHOWN = 60  # characters of a line in a message
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")  # what Python makes of a byte that is no UTF-8
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What reading a damaged file can raise; of the library's errors only lack of memory says nothing about the file.
_DAMAGE = (
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    pa.ArrowKeyError,
    pa.ArrowIndexError,
    pa.ArrowNotImplementedError,
    pa.ArrowSerializationError,
    pa.ArrowCapacityError,
    OSError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    csv.Error,
    UnicodeError,
)


def open_file(path: Path, *, organization_id: str) -> Source:
    """The source in a file, by its extension; raises as `ml.ingest.sources.open_source`."""
    if not path.is_file():
        raise DataError(
            f"there is no file {path.name}",
            field=_FIELD,
            hint="check the path; a relative one starts at the folder in which the step runs",
        )
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".zip")):
        return CsvSource(path)
    if name.endswith((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")):
        return JsonLinesSource(path)
    if name.endswith(".xlsx"):
        return ExcelSource(path)
    if name.endswith(".parquet"):
        refuse_foreign(path, organization_id=organization_id)
        return ParquetSource(path)
    raise DataError(f"{path.name} is no file of readings: these end in {', '.join(SUFFIXES)}", field=_FIELD)


class CsvSource(Source):
    """A CSV file with a header line, plain or compressed with gzip."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoding = self._detect_encoding()
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
                self._open() if self._in_archive() else self._path,
                read_options=pyarrow.csv.ReadOptions(
                    block_size=_CSV_BLOCK_BYTES, use_threads=False, encoding=self._encoding
                ),
                parse_options=pyarrow.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(columns),
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=True,
                ),
            )
        except _DAMAGE as failure:
            raise self._explain(failure) from None

    def _open(self) -> IO[bytes]:
        if self._in_archive():
            return open_member(self._path)
        compressed = self._path.name.lower().endswith(".gz")
        return cast(IO[bytes], gzip.open(self._path)) if compressed else self._path.open("rb")

    def _in_archive(self) -> bool:
        return self._path.name.lower().endswith(".zip")

    def _detect_encoding(self) -> str:
        """UTF-16 by its byte order mark, else UTF-8."""
        try:
            with self._open() as raw:
                start = raw.read(_STARTING_BYTES)
        except _DAMAGE as failure:
            raise self._unreadable(failure) from None
        if start[:4] in _UTF32_MARKS:
            raise DataError(f"{self.where} is UTF-32 text", field=_FIELD, hint="save it as UTF-8 text")
        if start[:2] in _UTF16_MARKS:
            return "utf-16"
        if b"\0" in start:
            raise DataError(
                f"{self.where} holds zero bytes: it is UTF-16 text without a byte order mark, or no text",
                field=_FIELD,
                hint="save it as UTF-8 text",
            )
        return "utf8"

    def _lines(self) -> Iterator[str]:
        """Lines of text with their ends; one that is no text, or far too long, is a `DataError` that says which."""
        encoding = "utf-16" if self._encoding == "utf-16" else "utf-8-sig"
        with self._open() as raw, io.TextIOWrapper(raw, encoding, errors="surrogateescape", newline="") as text:
            for number in itertools.count(1):
                line = text.readline(_LINE_LENGTH)
                if not line:
                    return
                bad = _ESCAPED_BYTE.search(line)
                if bad:
                    raise DataError(
                        f"{self.where} is not UTF-8 text at line {number}",
                        field=_FIELD,
                        hint="save it as UTF-8"
                        + (f'; as Windows-1252 the line has a "{windows}"' if (windows := _as_windows(bad[0])) else ""),
                    )
                if len(line) == _LINE_LENGTH:
                    raise DataError(
                        f"{self.where} has no end of the line in {_LINE_LENGTH:,} characters at line {number}",
                        field=_FIELD,
                        hint="check that it is CSV text",
                    )
                yield line

    def _read_header(self) -> tuple[list[str], str]:
        try:
            line = next(self._lines(), "")
            separator = max(_SEPARATORS, key=line.count)
            names = next(csv.reader([line], delimiter=separator), [])
        except _DAMAGE as failure:
            raise self._unreadable(failure) from None
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if not names:
            what = "begins with an empty line" if line else "is empty"
            raise DataError(f"{self.where} {what}; its first line must be the header", field=_FIELD)
        _refuse_too_wide(self.where, len(names))
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
                        f"{len(row)} found ({_shortened(self._separator.join(row))})",
                        field=_FIELD,
                        hint=self._advice(row),
                    )
        except DataError as found:
            return found
        except _DAMAGE as broken:
            return self._unreadable(broken)
        return self._unreadable(failure)

    def _advice(self, row: list[str]) -> str:
        if len(row) == len(self._columns) + 1 and not row[-1].strip():
            return f'lines end with "{self._separator}" and the header does not: end the header with it, too'
        return "correct or remove the line"

    def _unreadable(self, failure: Exception) -> DataError:
        return DataError(f"{self.where} cannot be read: {words_of(failure)}", field=_FIELD)


def _as_windows(escaped: str) -> str:
    """The character that a byte which is no UTF-8 stands for in the usual encoding of Windows."""
    return escaped.encode("utf-8", "surrogateescape").decode("cp1252", "ignore")


def _shortened(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


class ParquetSource(Source):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            schema = pyarrow.parquet.read_schema(path)
            _refuse_too_wide(self.where, len(schema.names))
            self._data = pyarrow.dataset.dataset(path, format=_format(schema))
        except _DAMAGE as failure:
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
            for batch in self._data.to_batches(
                columns={name: pyarrow.dataset.field(name) for name in columns},
                filter=self._filter(time_column, within),
                batch_size=BATCH_ROWS,
                batch_readahead=1,
                use_threads=False,
            ):
                self._refuse_endless_text(batch)
                batch.validate(full=True)  # texts may be no text: the file's word is all that Arrow goes by
                yield batch
        except _DAMAGE as failure:
            raise DataError(f"{self.where} cannot be read: {words_of(failure)}", field=_FIELD) from None

    def _refuse_endless_text(self, batch: pa.RecordBatch) -> None:
        """A small file may name one long text in every row, which would be written out for each of them."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not pa.types.is_dictionary(column.type) or not is_text(column.type.value_type):
                continue
            size = pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
            if size > _MOST_TEXT_BYTES:
                raise DataError(
                    f'{self.where} holds {size >> 20:,} MB of text in {batch.num_rows:,} rows of the column "{name}"; '
                    f"up to {_MOST_TEXT_BYTES >> 20} MB are read",
                    field=_FIELD,
                    hint="give names, times and readings, not documents",
                )

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


def _format(schema: pa.Schema) -> pyarrow.dataset.ParquetFileFormat:
    """How a Parquet file is read: texts as the file holds them, each one once."""
    return pyarrow.dataset.ParquetFileFormat(
        dictionary_columns={field.name for field in schema if is_text(field.type)},
        # Read ahead, Arrow keeps the whole file's bytes until the last row has been read.
        default_fragment_scan_options=pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False),
    )


def _refuse_too_wide(where: str, columns: int) -> None:
    if columns > _MOST_COLUMNS:
        raise DataError(
            f"{where} has {columns:,} columns; up to {_MOST_COLUMNS:,} are read",
            field=_FIELD,
            hint="write one row per machine and instant, with one column per sensor",
        )
