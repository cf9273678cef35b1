"""Rows of a database that were fetched before: Parquet files of one slice of time each, and a manifest.

A slice counts once the manifest names it with its number of rows and its SHA-256, and the manifest is replaced as a
whole after every slice. So a run that is killed loses at most the slice it was fetching, and the next one goes on after
the last one. A file that is not what the manifest says is fetched again.

    slices/<source>/<contents>/manifest.json
    slices/<source>/<contents>/<first key>_<key after the last>.parquet

``<source>`` stands for one table of one database, ``<contents>`` for what is fetched of it. A change of columns, types
or mapping starts a new ``<contents>`` and removes the old one.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ml.errors import EagleError, IsolationError
from ml.ingest.prepared.parquet_output import ParquetOutput
from ml.workspace.files import make_folder, read_json, remove_below, sha256, staged_file, write_json
from ml.workspace.safe_open import pinned
from ml.workspace.temp_files import clear_leftovers, remove

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ROW_GROUP_ROWS = 65_536
_NAME_LENGTH = 16  # hexadecimal digits; a clash within one organisation is out of the question


@dataclass(frozen=True)
class Slice:
    """Rows with ``start <= key < end``; a slice without rows has no file."""

    start: int
    end: int
    rows: int
    sha256: str | None

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.start}_{self.end}.parquet"


class SliceStore:
    """The slices of one table; one process at a time may use it.

    Raises IsolationError if the slices that lie there are another organisation's; StorageError if the folder cannot be
    made.

    Parameters
    ----------
    folder
        The organisation's folder of slices.
    organization_id
        Whose rows they are.
    source
        What tells the table from every other one.
    contents
        What else makes slices comparable: columns, types, their parts, the state of a file.
    """

    def __init__(self, folder: Path, *, organization_id: str, source: str, contents: Mapping[str, Any]) -> None:
        self.organization_id = organization_id
        self._contents = dict(contents)
        family = folder / _digest(source)
        self.folder = family / _digest(json.dumps(self._contents, sort_keys=True))
        make_folder(self.folder)
        clear_leftovers(self.folder)
        self.length: int | None = None
        """Microseconds of a slice, as first chosen."""
        self.slices = self._load()
        with pinned(family) as place:
            for other in place.iterdir():
                if other.name != self.folder.name:
                    log.info("what is fetched of the source has changed; starting anew")
                    remove(other)

    def choose_length(self, length: int) -> None:
        """Remember the length of slices, so that later runs cut at the same instants."""
        self.length = length
        self._save()

    def keep(self, start: int, end: int, batches: Iterator[pa.RecordBatch]) -> Slice:
        """Write a slice, and name it in the manifest once it is complete.

        Raises StorageError if the disk is full; nothing of the slice is left then.
        """
        kept = Slice(start, end, 0, None)
        first = next((batch for batch in batches if batch.num_rows), None)
        if first is not None:
            with staged_file(self.folder / kept.name) as staged:
                rows = _write(staged, first, batches)
                kept = Slice(start, end, rows, sha256(staged))
        self.slices = sorted([*self.slices, kept], key=lambda one: one.start)
        self._save()
        return kept

    def drop(self, dropped: Slice) -> None:
        """Forget a slice."""
        self.slices.remove(dropped)
        self._save()
        remove_below(self.folder / dropped.name)

    def is_intact(self, kept: Slice) -> bool:
        """Whether the file is what was written."""
        file = self.folder / kept.name
        return kept.sha256 is None or (file.is_file() and not file.is_symlink() and sha256(file) == kept.sha256)

    def read(self, kept: Slice) -> Iterator[pa.RecordBatch]:
        """Stream the rows of a slice."""
        if kept.sha256 is not None:
            with pyarrow.parquet.ParquetFile(self.folder / kept.name, memory_map=False, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=ROW_GROUP_ROWS, use_threads=False)

    def _load(self) -> list[Slice]:
        manifest = self.folder / MANIFEST
        if not manifest.exists():
            return []
        try:
            content = read_json(manifest, "the manifest of the slices")
            if content["formatVersion"] != FORMAT_VERSION:
                return []
            slices = [Slice(one["start"], one["end"], one["rows"], one["sha256"]) for one in content["slices"]]
            self.length = content["sliceMicroseconds"]
        except (EagleError, KeyError, TypeError):
            log.warning("the manifest of the fetched slices is damaged; they are fetched again")
            return []
        if content.get("organizationId") != self.organization_id:
            raise IsolationError(
                "the fetched slices in this organisation's folder are another organisation's", hint="remove the folder"
            )
        return slices

    def _save(self) -> None:
        content = {
            "formatVersion": FORMAT_VERSION,
            "organizationId": self.organization_id,
            "contents": self._contents,
            "sliceMicroseconds": self.length,
            "slices": [asdict(one) for one in self.slices],
        }
        write_json(self.folder / MANIFEST, content)


def _write(path: Path, first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> int:
    """Write batches as they come; gives the number of rows."""
    # Readings hardly repeat, so a dictionary costs time and saves nothing; names of machines are another matter.
    texts = [field.name for field in first.schema if pa.types.is_string(field.type)]
    layout = {"compression": "lz4", "use_dictionary": texts, "write_statistics": False}
    rows = 0
    with ParquetOutput(path, first.schema, ROW_GROUP_ROWS, **layout) as output:
        for batch in chain([first], rest):
            output.write(batch)
            rows += batch.num_rows
    return rows


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_NAME_LENGTH]
