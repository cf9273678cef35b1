"""Files of a folder, or of a pattern such as ``plant/*.csv``, as one source: in the order of their names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa

from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.sources.base import Source
from ml.ingest.sources.one_file import FIELD
from ml.options.base import quoted
from ml.options.layout import pattern_of
from ml.workspace.safe_open import refuse_second_name

log = logging.getLogger(__name__)

SUFFIXES = (
    ".csv",
    ".csv.gz",
    ".tsv",
    ".tsv.gz",
    ".zip",
    ".parquet",
    ".jsonl",
    ".ndjson",
    ".jsonl.gz",
    ".ndjson.gz",
    ".xlsx",
    ".lp",
    ".lp.gz",
)
"""How files of readings end."""

_ASSET_FIELD = "layoutConfig.assetFromFileName"
_WILD = "*?["
_MOST_FILES = 100_000
_ENDINGS = f"files of readings end in {', '.join(SUFFIXES)}"


def is_several(path: Path) -> bool:
    """Whether `path` is a folder, or a pattern and not the name of a file that is there."""
    # These never raise, whatever the name.
    return os.path.isdir(path) or (any(mark in path.name for mark in _WILD) and not os.path.lexists(path))  # noqa: PTH112


def folder_of(path: Path) -> Path:
    """The folder in which the files of `path` are."""
    return path if os.path.isdir(path) else path.parent  # noqa: PTH112


def files_of(path: Path) -> list[Path]:
    """The files of a folder, of a pattern, or the file itself; sorted by name.

    Wild cards count in the name of the file alone. Files of a folder whose names begin with a dot, or end as no file of
    readings does, are left out. The folders in it are not searched.

    Raises DataError if there is none, or there are too many, or one of a pattern is no file of readings; IsolationError
    if one is a link, or has a second name (a hard link), which may be another organisation's.
    """
    if not is_several(path):
        return [path]
    folder, whole = folder_of(path), folder_of(path) == path
    where = f"the folder {path.name}" if whole else f"the pattern {path.name}"
    try:
        found = sorted(file for file in folder.iterdir() if whole or fnmatchcase(file.name, path.name))
    except OSError as failure:
        raise DataError(f"{where} cannot be read: {failure.strerror}", field=FIELD) from None
    found = [file for file in found if not file.name.startswith(".") and (file.is_symlink() or not file.is_dir())]
    files = [file for file in found if file.name.lower().endswith(SUFFIXES)]
    if len(files) < len(found):
        other = next(file for file in found if file not in files)
        if not whole:
            raise DataError(f"{other.name}, of {where}, is no file of readings", field=FIELD, hint=_ENDINGS)
        log.info("%s: %d files are no files of readings and are left out", where, len(found) - len(files))
    if not files:
        raise DataError(f"{where} has no file of readings", field=FIELD, hint=_ENDINGS)
    if len(files) > _MOST_FILES:
        raise DataError(f"{where} has {len(files):,} files; up to {_MOST_FILES:,} are read", field=FIELD)
    for file in files:
        refuse_second_name(file.lstat(), file)
    return files


class FolderSource(Source):
    """Files with the same columns, in any order of columns, read one after the other.

    Raises DataError if the files differ in their columns, a name does not fit the pattern, or the column of machines is
    there.

    Parameters
    ----------
    path
        The folder or pattern, for messages.
    files, names
        The opened files, in order, and their names.
    asset
        Where each file is one machine's: the column that is to hold it, and the pattern of the files' names.
    """

    def __init__(
        self, path: Path, files: Sequence[Source], names: Sequence[str], asset: tuple[str, str] | None
    ) -> None:
        self._files = files
        self.where = files[0].where if len(files) == 1 else f"the {len(files):,} files of {path.name}"
        self._columns = files[0].columns()
        for file in files[1:]:
            _refuse_other_columns(file, files[0], self._columns)
        self._asset = None if asset is None else asset[0]
        if self._asset in self._columns:
            raise DataError(
                f'{files[0].where} has a column "{self._asset}", and the machines would have the same name',
                field="schemaConfig.assetColumn",
                hint=f"give assetColumn a name that no column has, or leave out {_ASSET_FIELD}",
            )
        self._assets = [""] * len(files) if asset is None else [_asset_of(name, asset[1]) for name in names]

    @property
    def found(self) -> Mapping[str, Any]:
        """That of all files together; of what differs the last file's."""
        return {key: value for file in self._files for key, value in file.found.items()}

    def columns(self) -> list[str]:
        return [*self._columns, *([] if self._asset is None else [self._asset])]

    def row_count(self) -> int | None:
        """Rows of all files, if every one knows its own."""
        counts = [file.row_count() for file in self._files]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def read(self, columns: Sequence[str], *, time_column: str, within: TimeRange) -> Iterator[pa.RecordBatch]:
        stored = [name for name in columns if name != self._asset] or [time_column]
        for file, asset in zip(self._files, self._assets, strict=True):
            for batch in file.read(stored, time_column=time_column, within=within):
                yield self._with_asset(batch, asset).select(list(columns))

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _with_asset(self, batch: pa.RecordBatch, asset: str) -> pa.RecordBatch:
        if self._asset is None:
            return batch
        names = pa.DictionaryArray.from_arrays(pa.array([0] * batch.num_rows, pa.int8()), pa.array([asset]))
        return batch.append_column(self._asset, names)


def _refuse_other_columns(file: Source, first: Source, columns: Sequence[str]) -> None:
    own = file.columns()
    for there, other, lacking in ((columns, first, file), (own, file, first)):
        absent = [name for name in there if name not in (own if lacking is file else columns)]
        if absent:
            raise DataError(
                f"{lacking.where} has no column {quoted(absent)}, and {other.where} has",
                field=FIELD,
                hint="files of one source have the same columns, in any order",
            )


def _asset_of(name: str, pattern: str) -> str:
    """The machine in a file's name; the ending need not be in the pattern."""
    ends = [end for end in SUFFIXES if name.lower().endswith(end)]
    bare = name[: -max(map(len, ends), default=len(name))] if ends else name
    for text in (bare, name):
        found = pattern_of(pattern).fullmatch(text)
        if found is not None and found["asset"].strip():
            return found["asset"].strip()
    raise DataError(
        f'the name of the file {name} does not fit assetFromFileName "{pattern}"',
        field=_ASSET_FIELD,
        hint="rename the file, move it elsewhere, or correct the pattern",
    )
