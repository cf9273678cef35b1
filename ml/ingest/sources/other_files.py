"""Readings in JSON lines and in Excel workbooks, and the one CSV file of a zip archive."""

from __future__ import annotations

import codecs
import io
import warnings
import zipfile
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.json

from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, MissingLibraryError
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.one_file import BATCH_ROWS, DAMAGE, FIELD, FileSource

_BLOCK_BYTES = 1 << 22
_MOST_ARCHIVED_BYTES = 64 << 30
_MOST_WORKBOOK_BYTES = 1 << 30  # its texts are held in memory
_LISTED = 3
_DAMAGE = (*DAMAGE, NotImplementedError, RuntimeError)  # the latter of encrypted archives

# What the library raises of a workbook that is none: parts that are missing, XML that is broken, values out of place.
_DAMAGED_WORKBOOK = (KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError, OverflowError)


def open_member(path: Path) -> IO[bytes]:
    """The one CSV file in a zip archive, open for reading; nothing is unpacked to the disk.

    Raises DataError if it holds no CSV file or several, is damaged or encrypted, or would be too large.
    """
    try:
        archive = zipfile.ZipFile(path)
        member = _only_member(path, archive)
        return archive.open(member)
    except _DAMAGE as failure:
        raise DataError(f"the file {path.name} cannot be read as zip: {words_of(failure)}", field=FIELD) from None


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        listed = ", ".join(repr(each.filename) for each in members[:_LISTED])
        raise DataError(
            f"the file {path.name} holds {len(members)} files ({listed or 'none'}), and one CSV is needed",
            field=FIELD,
            hint="unpack it into a folder, and name the folder in dataSource.path",
        )
    member = members[0]
    if not member.filename.lower().endswith((".csv", ".tsv", ".txt")):
        raise DataError(f"the file {path.name} holds {member.filename!r}, which is no CSV", field=FIELD)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise DataError(
            f"the file {path.name} is encrypted, or compressed in an unusual way", field=FIELD, hint="unpack it"
        )
    if member.file_size > _MOST_ARCHIVED_BYTES:
        raise DataError(
            f"the file {path.name} holds {member.file_size >> 30:,} GB; up to {_MOST_ARCHIVED_BYTES >> 30} GB are read",
            field=FIELD,
            hint="unpack it and split it into several files",
        )
    return member


class JsonLinesSource(FileSource):
    """A JSON object per line, plain or compressed with gzip; the columns are the keys in the first block of lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._texts: set[str] = set()
        with closing(self._blocks()) as blocks:
            first = next(blocks, None)
        if first is None:
            raise self._refused("is empty")
        self._columns = self._parsed(first, 1).schema.names
        self._refuse_wide()

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns, each block of lines in the types that it has; a key that a line lacks is null."""
        del time_column, within
        line = 1
        with closing(self._blocks()) as blocks:
            for block in blocks:
                rows = self._parsed(block, line)
                line += block.count(b"\n")
                held = [self._column(rows, name) for name in columns]
                yield pa.RecordBatch.from_arrays(held, names=list(columns))

    def _column(self, rows: pa.Table, name: str) -> pa.Array:
        if name not in rows.schema.names:
            return pa.nulls(rows.num_rows)
        column = rows.column(name).combine_chunks()
        if pa.types.is_nested(column.type):
            raise DataError(f'"{name}" of {self.where} holds {column.type} values, not single ones', field=FIELD)
        return column

    def _parsed(self, block: bytes, line: int) -> pa.Table:
        """Lines as a table; texts that look like times stay texts, so that all times are read in one way."""
        try:
            block.decode("utf-8")  # or names and texts that are none would come to light much later
            rows = self._table(block.removeprefix(codecs.BOM_UTF8))
            times = {field.name for field in rows.schema if pa.types.is_timestamp(field.type)}
            if times:
                self._texts |= times
                rows = self._table(block.removeprefix(codecs.BOM_UTF8))
        except (pa.ArrowException, UnicodeError) as failure:
            raise self._refused(
                f"cannot be read as JSON lines in the lines from {line:,} on: {words_of(failure)}",
                "each line is one JSON object, and a key has values of one type",
            ) from None
        return rows

    def _table(self, block: bytes) -> pa.Table:
        schema = pa.schema([(name, pa.string()) for name in sorted(self._texts)])
        return pyarrow.json.read_json(
            io.BytesIO(block),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=4 * _BLOCK_BYTES),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema if len(schema) else None),
        )

    def _blocks(self) -> Generator[bytes]:
        """Whole lines, some megabytes at a time; blocks of nothing but blanks are left out."""
        rest = b""
        try:
            with self._open() as file:
                while part := file.read(_BLOCK_BYTES):
                    whole, _, rest = (rest + part).rpartition(b"\n")
                    if len(rest) > _BLOCK_BYTES:
                        raise self._refused(f"has a line of more than {_BLOCK_BYTES:,} bytes")
                    if whole.strip():
                        yield whole + b"\n"
                if rest.strip():
                    yield rest
        except _DAMAGE as failure:
            raise self._refused(f"cannot be read: {words_of(failure)}") from None


class ExcelSource(FileSource):
    """The one filled sheet of an Excel workbook, whose first row holds the names of the columns; read row by row."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._workbook() as book:
            filled = [(sheet.title, names) for sheet in book.worksheets if (names := next(_rows_of(sheet), None))]
        if len(filled) != 1:
            listed = ", ".join(repr(name) for name, _ in filled[:_LISTED])
            raise self._refused(
                f"has {len(filled)} sheets with rows ({listed or 'none'}), and one is needed",
                "save the sheet of the readings as a workbook of its own, or as CSV",
            )
        self._sheet, names = filled[0]
        self._columns = ["" if name is None else str(name).strip() for name in names]
        while not self._columns[-1]:
            self._columns.pop()
        twice = next((name for name, times in Counter(self._columns).items() if times > 1), None)
        self._refuse_wide()
        if twice is not None:
            raise self._refused(f'has the column "{twice}" more than once', "its first row names the columns")

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        """Stream the columns: times and numbers as such where a column has nothing else, else text."""
        del time_column, within
        places = [self._columns.index(name) for name in columns]
        with self._workbook() as book:
            rows = _rows_of(book[self._sheet])
            next(rows, None)
            while some := list(islice(rows, BATCH_ROWS)):
                held = [_excel_column([row[at] if at < len(row) else None for row in some]) for at in places]
                yield pa.RecordBatch.from_arrays(held, names=list(columns))

    @contextmanager
    def _workbook(self) -> Iterator[Any]:
        try:
            import openpyxl
        except ImportError:
            raise MissingLibraryError(
                f"{self._path.name} is an Excel workbook, and the library that reads it is not installed",
                field=FIELD,
                hint="pip install 'eagle-ml[excel]', or save the sheet as CSV",
            ) from None
        try:
            with zipfile.ZipFile(self._path) as archive:
                size = sum(each.file_size for each in archive.infolist())
            if size > _MOST_WORKBOOK_BYTES:
                raise self._refused(
                    f"holds {size >> 20:,} MB; up to {_MOST_WORKBOOK_BYTES >> 20:,} MB are read",
                    "save the sheet as CSV",
                )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions that mean nothing to us
                book = openpyxl.load_workbook(self._path, read_only=True, data_only=True)
                with closing(book):
                    yield book
        except (*_DAMAGE, *_DAMAGED_WORKBOOK) as failure:
            raise self._refused(f"cannot be read as a workbook: {words_of(failure)}") from None


def _rows_of(sheet: Any) -> Iterator[tuple[Any, ...]]:
    """Rows of a sheet that are not empty, whatever size the file claims."""
    sheet.reset_dimensions()
    return (row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row))


def _excel_column(cells: list[Any]) -> pa.Array:
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
