"""Columns of numbers on their way through the scratch folder: Arrow files that are read back block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml.workspace.files import plain_storage_errors

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

Columns = Mapping[str, npt.NDArray[Any]]


def to_batch(columns: Columns) -> pa.RecordBatch:
    """Arrays of shape (n_rows,) side by side; NaN stays NaN, so that they come back without a copy."""
    return pa.RecordBatch.from_pydict({name: pa.array(values, from_pandas=False) for name, values in columns.items()})


def to_columns(batch: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
    """The arrays that `to_batch` was given, not to be written to."""
    return {name: np.asarray(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}


def write_numbers(file: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches that have the same columns; raises StorageError if the disk refuses."""
    batches = iter(batches)
    first = next(batches)
    with (
        plain_storage_errors("the temporary folder"),
        pa.OSFile(str(file), "wb") as stream,
        pa.ipc.new_file(stream, first.schema, options=_OPTIONS) as writer,
    ):
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


def read_numbers(file: Path, columns: int | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of a file one by one; all columns, or the first `columns`."""
    chosen = None if columns is None else list(range(columns))
    with (
        pa.OSFile(str(file)) as stream,
        pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=chosen, use_threads=False)) as reader,
    ):
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
