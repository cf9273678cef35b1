"""Prepared data as a worker reads it: a few row groups of the Parquet file at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from ml.arrays import Float32s
from ml.errors import IntegrityError, StorageError
from ml.features import FeatureEngineer
from ml.ingest.prepared.fingerprint import refuse_foreign
from ml.learning.feature_rows import FeatureRows
from ml.scale.partitioned.masks import Mask
from ml.workspace.files import sha256

ROW_COLUMNS = ("segment", "timestamp")
"""What features need besides sensors."""


@dataclass(frozen=True)
class Stored:
    """The prepared file of an organisation, and the SHA-256 that it must have; the path is the same everywhere."""

    path: str
    organization_id: str
    digest: str


class StoredRows:
    """Rows of a prepared file.

    Raises StorageError if there is no such file: the worker does not see the workspace, and IntegrityError or
    IsolationError if the file has another content than was agreed on, or is another organisation's.
    """

    def __init__(self, stored: Stored) -> None:
        path = Path(stored.path)
        _check(stored)
        self._file = pyarrow.parquet.ParquetFile(path)
        groups = range(self._file.metadata.num_row_groups)
        sizes = [self._file.metadata.row_group(number).num_rows for number in groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._held: dict[tuple[int, tuple[str, ...]], pa.Table] = {}

    def __len__(self) -> int:
        """Rows of the file."""
        return int(self._starts[-1])

    def rows(self, first: int, end: int, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of the rows first .. end, as the frame of the whole file has them, indexed from 0."""
        wanted = tuple(columns)
        groups = range(
            int(np.searchsorted(self._starts, first, side="right")) - 1, int(np.searchsorted(self._starts, end))
        )
        # What follows usually starts where this ends, so the last groups are kept, and no others.
        self._held = {(group, wanted): self._group(group, wanted) for group in groups}
        table = pa.concat_tables(self._held.values())
        return table.slice(first - int(self._starts[groups[0]]), end - first).to_pandas()

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """A whole column (n_rows,), read group by group."""
        groups = range(len(self._starts) - 1)
        parts = (self._file.read_row_group(group, columns=[name], use_threads=False)[name] for group in groups)
        out: npt.NDArray[np.generic] | None = None
        for start, part in zip(self._starts, parts, strict=False):
            values = part.to_numpy()
            out = np.empty(len(self), dtype=values.dtype) if out is None else out
            out[start : start + len(values)] = values
        return np.empty(0) if out is None else out

    def _group(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        held = self._held.get((group, columns))
        if held is not None:
            return held
        return self._file.read_row_group(group, columns=list(columns), use_threads=False).replace_schema_metadata(None)


class StoredFeatureRows(FeatureRows):
    """`FeatureRows` of a prepared file, read where they are computed.

    Parameters
    ----------
    engineer
        As of `FeatureRows`.
    stored
        The file's rows.
    mask
        The wanted ones. What is held of the others is nothing.
    on_rows
        Called with the number of wanted rows of each part that is read.
    """

    def __init__(
        self, engineer: FeatureEngineer, stored: StoredRows, mask: Mask, on_rows: Callable[[int], None] = lambda _: None
    ) -> None:
        self._first = max(0, mask.start - engineer.look_back)
        super().__init__(engineer, pd.DataFrame(), mask.after(self._first))
        self._stored, self._on_rows = stored, on_rows
        self._columns = (*ROW_COLUMNS, *engineer.channels)

    def __getitem__(self, part: slice) -> Float32s:
        """As of `FeatureRows`."""
        features = super().__getitem__(part)
        self._on_rows(len(features))
        return features

    def _between(self, first: int, end: int) -> pd.DataFrame:
        return self._stored.rows(self._first + first, self._first + end, self._columns)


def forget_files() -> None:
    """Forget which files have been checked."""
    _digest.cache_clear()


def _check(stored: Stored) -> None:
    path = Path(stored.path)
    try:
        state = path.stat()
    except OSError as failure:
        raise StorageError(
            f"a worker cannot read {path.name}: {failure.strerror}",
            hint="the workers need the workspace under the same path as this process",
        ) from None
    refuse_foreign(path, organization_id=stored.organization_id)
    if _digest(stored.path, state.st_ino, state.st_size, state.st_mtime_ns) != stored.digest:
        raise IntegrityError(f"{path.name} has changed while it was worked on", hint="run the step again")


@lru_cache(maxsize=8)
def _digest(path: str, inode: int, size: int, changed: int) -> str:
    """SHA-256 of a file, read once in a process as long as the file stays the same."""
    del inode, size, changed
    return sha256(Path(path))
