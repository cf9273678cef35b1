"""A station on disk: the archive as an SQLite database, the hidden truth as a Parquet file beside it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd

from ml.errors import StorageError
from simulation.station import SENSORS, SIGNALS, TARGET, Station

TABLE = "scada_readings"

_TYPES = {
    "asset_id": "TEXT NOT NULL",
    "created_timestamp": "TEXT NOT NULL",
    **dict.fromkeys(SENSORS, "REAL"),
    **dict.fromkeys((*SIGNALS, TARGET), "INTEGER NOT NULL"),
}


def write_sqlite(station: Station, path: Path) -> None:
    """Write the readings to the table `scada_readings` of a new database; an older file is replaced as a whole.

    Times are text, ``2025-01-01T00:09:57.512Z``: fixed width, so text order is time order. NaN becomes NULL.

    Raises
    ------
    StorageError
        If the file cannot be written; an older one is then untouched.
    """
    with _replacing(path) as temporary, closing(sqlite3.connect(temporary)) as connection, connection:
        connection.execute(f"CREATE TABLE {TABLE} ({', '.join(f'{name} {kind}' for name, kind in _TYPES.items())})")
        marks = ", ".join("?" * len(_TYPES))
        connection.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", _records(station.readings))
        connection.execute(f"CREATE INDEX {TABLE}_by_time ON {TABLE} (created_timestamp)")


def write_hidden(station: Station, path: Path) -> None:
    """Write the hidden wear as Parquet, whole or not at all.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    with _replacing(path) as temporary:
        station.hidden.to_parquet(temporary, index=False)


def as_text(times: pd.Series) -> pd.Series:
    """Times of whole milliseconds in UTC as they stand in the database."""
    return times.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z"


def _records(readings: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    text = readings.assign(created_timestamp=as_text(readings["created_timestamp"]))
    return zip(*(text[name].tolist() for name in _TYPES), strict=True)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` if all goes well, and is gone if not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, sqlite3.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StorageError(f"{path.name} cannot be written: {reason}", hint="is the disk full or read-only?") from error
