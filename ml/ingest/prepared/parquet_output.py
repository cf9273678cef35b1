"""A Parquet file that is written piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet

from ml.errors import StorageError
from ml.workspace.files import plain_storage_errors


class ParquetOutput:
    """Appends rows to a new Parquet file, which is whole once the block ends.

    Raises StorageError if the disk refuses; from every method. At the end of a block that has failed, its own failure
    is raised.

    Parameters
    ----------
    path, schema
        The file and its columns.
    row_group_rows
        Rows of a row group at most; every piece begins one.
    layout
        Further arguments of `pyarrow.parquet.ParquetWriter`.
    """

    def __init__(self, path: Path, schema: pa.Schema, row_group_rows: int, **layout: Any) -> None:
        self._name, self._row_group_rows = path.name, row_group_rows
        with plain_storage_errors(self._name):
            self._writer = pyarrow.parquet.ParquetWriter(path, schema, **layout)

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Append rows."""
        with plain_storage_errors(self._name):
            self._writer.write(rows, self._row_group_rows)

    def describe(self, metadata: dict[bytes, bytes]) -> None:
        """Add key-value metadata to the end of the file."""
        self._writer.add_key_value_metadata(metadata)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with plain_storage_errors(self._name):
                self._writer.close()
        except StorageError:
            if kind is None:
                raise
