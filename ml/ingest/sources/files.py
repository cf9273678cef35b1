"""Readings in a CSV or Parquet file, streamed; other files are opened here as well.

CSV is read as text throughout and understood column by column later, so that one odd value spoils one cell and not
the file. Lines end with LF, CR LF or CR. How else it is laid out, `ml.ingest.sources.csv_layout.dialect` finds out.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import and_
from pathlib import Path
from typing import IO, Any

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
from ml.ingest.sources.csv_layout.dialect import SAMPLE_LINES, UTF8, dialect_of, encoding_of
from ml.ingest.sources.csv_layout.lines import WithoutComments, footer_of
from ml.ingest.sources.driver_messages import words_of
from ml.ingest.sources.folder import SUFFIXES
from ml.ingest.sources.influx_lines import InfluxLinesSource
from ml.ingest.sources.one_file import BATCH_ROWS, DAMAGE, FIELD, FileSource
from ml.ingest.sources.other_files import ExcelSource, JsonLinesSource, open_member
from ml.options.access.file_format import FormatConfig

_CSV_BLOCK_BYTES = 1 << 22
_MOST_TEXT_BYTES = 1 << 28  # of one column in one batch: 4 KB in every cell
_LINE_LENGTH = 1 << 22  # characters of a line at most, as much as Arrow reads at once
_STARTING_BYTES = 1 << 18  # enough to tell text from what is none, and how it is encoded
_TAIL_BYTES = 1 << 16
_SHOWN = 60  # characters of a line in a message
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")  # what Python makes of a byte that is no UTF-8


def open_file(path: Path, *, organization_id: str, form: FormatConfig | None = None) -> Source:
    """The source in a file, by its extension; raises as `ml.ingest.sources.open_source`."""
    if not path.is_file():
        raise DataError(
            f"there is no file {path.name}",
            field=FIELD,
            hint="check the path; a relative one starts at the folder in which the step runs",
        )
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".zip")):
        return CsvSource(path, form)
    if name.endswith((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")):
        return JsonLinesSource(path)
    if name.endswith((".lp", ".lp.gz")):
        return InfluxLinesSource(path)
    if name.endswith(".xlsx"):
        return ExcelSource(path)
    if name.endswith(".parquet"):
        refuse_foreign(path, organization_id=organization_id)
        return ParquetSource(path)
    database = path.suffix.lower() in (".db", ".sqlite", ".sqlite3")
    raise DataError(
        f"{path.name} is no file of readings: these end in {', '.join(SUFFIXES)}",
        field=FIELD,
        hint='a database is named in scadaDbConfig, such as {"driver": "sqlite", "database": "plant.db", "table": "x"}'
        if database
        else None,
    )


class CsvSource(FileSource):
    """A CSV file with a header line, plain or compressed with gzip.

    Parameters
    ----------
    form
        What the configuration says of the file; the rest is found out from its first lines.
    """

    def __init__(self, path: Path, form: FormatConfig | None = None) -> None:
        super().__init__(path)
        self._left_out: Counter[str] = Counter()
        self._footer_lines: frozenset[str] | None = None
        self._commented = 0
        try:
            self._encoding, self._found = self._detect_encoding(form or FormatConfig())
            self._dialect = dialect_of(self._first_lines(), form or FormatConfig())
        except DAMAGE as failure:
            raise self._unreadable(failure) from None
        self._columns, self._separator = list(self._dialect.columns), self._dialect.separator
        self._check_header()

    @property
    def units(self) -> Mapping[str, str]:
        """What stands below the names of columns, such as units."""
        return self._dialect.units

    @property
    def found(self) -> Mapping[str, Any]:
        found = {**self._found, **self._dialect.found}
        if self._commented:
            found["commentLines"] = self._commented
        return {**found, "footer": list(self._left_out)} if self._left_out else found

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        del time_column, within
        self._left_out.clear()
        dialect, with_comments = self._dialect, self._dialect.comment is None
        last = dialect.names[-1]
        wanted = dict.fromkeys([*columns, *([last] if last and dialect.names.count(last) == 1 else [])])
        newest = None
        try:
            batches = pyarrow.csv.open_csv(
                self._stream(),
                read_options=pyarrow.csv.ReadOptions(
                    block_size=_CSV_BLOCK_BYTES,
                    use_threads=False,
                    encoding=self._encoding if with_comments else UTF8,
                    skip_rows=0 if dialect.is_plain else dialect.skipped,
                    column_names=None if dialect.is_plain else dialect.names,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self._separator, newlines_in_values=True, invalid_row_handler=self._judge
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(wanted),
                    column_types=dict.fromkeys(wanted, pa.string()),
                    strings_can_be_null=True,
                ),
            )
            for batch in batches:
                newest = batch if batch.num_rows else newest
                yield batch.select(list(columns))
        except DAMAGE as failure:
            raise self._explain(failure) from None
        if newest is not None and last in wanted:
            self._refuse_open_quote(newest.column(list(wanted).index(last))[-1].as_py())

    def _refuse_open_quote(self, cell: str | None) -> None:
        """A mark that opens the last cell of a row and is never closed takes all rows after it into that cell."""
        if cell is None or "\n" not in cell.replace("\r", "\n"):
            return
        lines = [line for line in self._last_lines() if line.strip()]
        if lines and not lines[-1].rstrip().endswith('"'):
            raise self._refused(
                f"ends inside a cell that begins with a quotation mark: {_shortened(cell)}",
                "close the mark, or take it out; the rows after it are in that cell",
            )

    def _open(self) -> IO[bytes]:
        return open_member(self._path) if self._in_archive() else super()._open()

    def _in_archive(self) -> bool:
        return self._path.name.lower().endswith(".zip")

    def _judge(self, row: pyarrow.csv.InvalidRow) -> str:
        """Leave out a line with another number of values if it stands at the end and is a footer."""
        if self._footer_lines is None:
            self._footer_lines = footer_of(self._last_lines(), self._separator, len(self._dialect.names))
        if row.text.strip() not in self._footer_lines:
            return "error"
        self._left_out[row.text.strip()] += 1
        return "skip"

    def _last_lines(self) -> list[str]:
        """The lines in the last 64 KB."""
        try:
            with self._open() as raw:
                if isinstance(raw, io.BufferedReader):
                    raw.seek(-min(_TAIL_BYTES, self._path.stat().st_size), io.SEEK_END)
                tail = b""
                while block := raw.read(_TAIL_BYTES):
                    tail = (tail + block)[-_TAIL_BYTES:]
        except DAMAGE:  # reading the rows says so in its own words
            return []
        return tail.decode(self._codec if "utf-16" not in self._encoding else "utf-16-le", "replace").splitlines()

    @property
    def _codec(self) -> str:
        return "utf-8-sig" if self._encoding == UTF8 else self._encoding

    def _without_comments(self) -> WithoutComments:
        def count(lines: int) -> None:
            self._commented += lines

        self._commented = 0
        text = io.TextIOWrapper(self._open(), self._codec, errors="surrogateescape", newline="")
        return WithoutComments(text, self._dialect.comment or "", count)

    def _stream(self) -> Path | IO[bytes] | pa.PythonFile:
        """What Arrow reads: the file itself where it can."""
        if self._dialect.comment is not None:
            return pa.PythonFile(self._without_comments(), "r")
        return self._open() if self._in_archive() else self._path

    def _detect_encoding(self, form: FormatConfig) -> tuple[str, dict[str, Any]]:
        with self._open() as raw:
            start = raw.read(_STARTING_BYTES)
        return encoding_of(start, self.where, form.encoding, complete=len(start) < _STARTING_BYTES)

    def _first_lines(self) -> list[str]:
        lines, characters = [], 0
        for line in itertools.islice(self._lines(), SAMPLE_LINES):
            lines.append(line)
            characters += len(line)
            if characters > _LINE_LENGTH:
                break
        return lines

    def _lines(self) -> Iterator[str]:
        """Lines of text with their ends; one that is no text, or far too long, is a `DataError` that says which."""
        with self._open() as raw, io.TextIOWrapper(raw, self._codec, errors="surrogateescape", newline="") as text:
            for number in itertools.count(1):
                line = text.readline(_LINE_LENGTH)
                if not line:
                    return
                bad = _ESCAPED_BYTE.search(line)
                if bad:
                    windows = _as_windows(bad[0])
                    hint = f'; as cp1252 (Windows) the line has a "{windows}"' if windows else ""
                    raise self._refused(
                        f"is not UTF-8 text at line {number}", f"set formatConfig.encoding, or save it as UTF-8{hint}"
                    )
                if len(line) == _LINE_LENGTH:
                    raise self._refused(
                        f"has no end of the line in {_LINE_LENGTH:,} characters at line {number}",
                        "check that it is CSV text",
                    )
                yield line

    def _check_header(self) -> None:
        twice = sorted(name for name, times in Counter(self._columns).items() if times > 1)
        if not self._columns:
            raise self._refused("is empty; a header line is needed")
        self._refuse_wide()
        if twice:
            raise self._refused(f'has the column "{twice[0]}" more than once')

    def _explain(self, failure: Exception) -> DataError:
        """Find the line that Arrow stumbled over, which its streaming reader does not tell."""
        try:
            reader = csv.reader(self._lines(), delimiter=self._separator)
            expected = len(self._dialect.names)
            for row in reader:
                if row and len(row) != expected and reader.line_num > self._dialect.skipped:
                    found = f"{expected} values expected, {len(row)} found ({_shortened(self._separator.join(row))})"
                    return self._refused(f"is broken at line {reader.line_num}: {found}", self._advice(row))
        except DataError as refusal:
            return refusal
        except DAMAGE as broken:
            return self._unreadable(broken)
        return self._unreadable(failure)

    def _advice(self, row: list[str]) -> str:
        if len(row) == len(self._columns) + 1 and not row[-1].strip():
            return f'lines end with "{self._separator}" and the header does not: end the header with it, too'
        return "correct or remove the line"

    def _unreadable(self, failure: Exception) -> DataError:
        return self._refused(f"cannot be read: {words_of(failure)}")


def _as_windows(escaped: str) -> str:
    """The character that a byte which is no UTF-8 stands for in the usual encoding of Windows."""
    return escaped.encode("utf-8", "surrogateescape").decode("cp1252", "ignore")


def _shortened(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


class ParquetSource(FileSource):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            schema = pyarrow.parquet.read_schema(path)
            self._columns = list(schema.names)
            self._refuse_wide()
            self._data = pyarrow.dataset.dataset(path, format=_format(schema))
        except DAMAGE as failure:
            raise self._refused(f"cannot be read as Parquet: {words_of(failure)}") from None

    def row_count(self) -> int | None:
        return int(self._data.count_rows())

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
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
        except DAMAGE as failure:
            raise self._refused(f"cannot be read: {words_of(failure)}") from None

    def _refuse_endless_text(self, batch: pa.RecordBatch) -> None:
        """A small file may name one long text in every row, which would be written out for each of them."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not pa.types.is_dictionary(column.type) or not is_text(column.type.value_type):
                continue
            size = pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
            if size > _MOST_TEXT_BYTES:
                raise self._refused(
                    f'holds {size >> 20:,} MB of text in {batch.num_rows:,} rows of the column "{name}"; '
                    f"up to {_MOST_TEXT_BYTES >> 20} MB are read",
                    "give names, times and readings, not documents",
                )

    def _filter(self, time_column: str, within: TimeRange) -> pyarrow.dataset.Expression | None:
        kind = self._data.schema.field(time_column).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            return None
        time, tests = pyarrow.dataset.field(time_column), []
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
