"""Models kept in memory: few, found by the hash of their manifest, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from ml.predict import CURRENT
from ml.predict.model import LoadedModel, manifest_digest, read_model
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import published_version

CAPACITY = 8
"""Models that are kept; one takes about ten megabytes."""

_Key = tuple[Path, str]


class _Entry:
    """A model, or the place where the first thread that asks for it will put it."""

    def __init__(self) -> None:
        self.loading = threading.Lock()
        self.model: LoadedModel | None = None


class ModelCache:
    """The models that were used last.

    A version's folder and the hash of its manifest, read at every call, make the key. So a version that was published
    or replaced since is seen at once, and files that have not changed are not read again.

    Parameters
    ----------
    capacity
        How many are kept. Who holds a model may go on using it after it was dropped.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, paths: OrganizationPaths, version: str) -> LoadedModel:
        """The model of a version, or of ``current``; several threads that want the same one read it once.

        Raises as `ml.predict.load_model`.
        """
        name = published_version(paths) if version == CURRENT else version
        folder = paths.version(name)
        key = folder, manifest_digest(folder, name)
        entry = self._entry(key)
        with entry.loading:
            if entry.model is None:
                try:
                    entry.model = read_model(paths, name)
                except BaseException:
                    self._forget(key, entry)
                    raise
            return entry.model

    def _entry(self, key: _Key) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
            return entry

    def _forget(self, key: _Key, entry: _Entry) -> None:
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]


SHARED = ModelCache()
"""The cache of this process."""
