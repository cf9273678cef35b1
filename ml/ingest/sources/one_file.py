"""What sources in one file share: their name, their columns, and how a damaged file is told."""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from ml.errors import DataError
from ml.ingest.sources.base import Source

FIELD = "dataSource.path"
BATCH_ROWS = 65_536
MOST_COLUMNS = 10_000
# What reading a damaged file can raise; of Arrow's errors only lack of memory says nothing about the file.
DAMAGE = (
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


class FileSource(Source):
    """The readings in one file; `_columns` are known once it has been opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = f"the file {path.name}"
        self._columns: list[str] = []

    def columns(self) -> list[str]:
        return list(self._columns)

    def _open(self) -> IO[bytes]:
        """Its bytes, unpacked where it is packed."""
        compressed = self._path.name.lower().endswith(".gz")
        return cast(IO[bytes], gzip.open(self._path)) if compressed else self._path.open("rb")

    def _refused(self, problem: str, hint: str | None = None) -> DataError:
        return DataError(f"{self.where} {problem}", field=FIELD, hint=hint)

    def _refuse_wide(self) -> None:
        if len(self._columns) > MOST_COLUMNS:
            raise self._refused(
                f"has {len(self._columns):,} columns; up to {MOST_COLUMNS:,} are read",
                "write one row per machine and instant, with one column per sensor",
            )
