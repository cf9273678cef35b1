"""Everything that SQLite opens is looked at, and whatever is in it ends in a documented error."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from ml.cleaning.time_range import TimeRange
from ml.errors import EagleError, IsolationError, SourceError
from ml.ingest.inputs import refuse_foreign_source
from ml.ingest.sources.sqlite import SqliteSource
from ml.ingest.sources.sqlite_files import state_of
from ml.workspace.paths import OrganizationPaths
from tests.unit.ingest.histories import config, to_sqlite


def rows(path: Path, table: str = "readings") -> list[tuple[object, ...]]:
    source = SqliteSource(path, table)
    batches = source.read(source.columns(), time_column=source.columns()[0], within=TimeRange())
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A database in WAL mode that its owner has open; all rows are in the log."""
    path = tmp_path / "victim.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE readings (time, asset)")
        connection.execute("INSERT INTO readings VALUES (1, 'VICTIM')")
        connection.commit()
        yield path


def own_database(folder: Path, *, wal: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "own.db"
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE readings (time, asset)")
        connection.execute("INSERT INTO readings VALUES (1, 'OWN')")
        connection.commit()
    return path


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("how", ["hard link", "link", "dangling link", "folder", "pipe"])
def test_what_lies_beside_the_database_is_refused(victim: Path, tmp_path: Path, suffix: str, how: str) -> None:
    own = own_database(tmp_path / "own")
    beside, foreign = own.with_name(own.name + suffix), victim.with_name(victim.name + "-wal")
    make = {
        "hard link": lambda: os.link(foreign, beside),
        "link": lambda: beside.symlink_to(foreign),
        "dangling link": lambda: beside.symlink_to(tmp_path / "missing"),
        "folder": beside.mkdir,
        "pipe": lambda: os.mkfifo(beside),
    }
    make[how]()
    with pytest.raises(IsolationError, match=f"own.db{suffix}"):
        SqliteSource(own, "readings")
    linked = tmp_path / "linked.sqlite"
    linked.symlink_to(own)
    with pytest.raises(IsolationError, match=f"own.db{suffix}"):
        SqliteSource(linked, "readings")
    configured = config(own)
    with pytest.raises(IsolationError, match=f"own.db{suffix}"):
        refuse_foreign_source(configured, OrganizationPaths(configured.organization_id, tmp_path / "workspace"))
    assert not (tmp_path / "missing").exists()


def test_a_link_made_while_it_is_read_is_seen_before_a_row_is_given(victim: Path, tmp_path: Path) -> None:
    own = own_database(tmp_path / "own")
    source = SqliteSource(own, "readings")
    batches = source.read(["asset"], time_column="time", within=TimeRange())
    own.with_name(own.name + "-wal").unlink()
    os.link(victim.with_name(victim.name + "-wal"), own.with_name(own.name + "-wal"))
    with pytest.raises(IsolationError):
        list(batches)


def test_rows_that_are_only_in_the_log_are_read_and_change_the_state(victim: Path) -> None:
    before = state_of(victim)
    assert rows(victim) == [(1.0, "VICTIM")]
    with closing(sqlite3.connect(victim)) as connection:
        connection.execute("INSERT INTO readings VALUES (2, 'VICTIM')")
        connection.commit()
        assert len(rows(victim)) == 2
        assert state_of(victim) != before
        assert SqliteSource(victim, "readings").state == state_of(victim)


def test_reading_does_not_change_the_state(tmp_path: Path) -> None:
    for wal in (False, True):
        own = own_database(tmp_path / str(wal), wal=wal)
        before = state_of(own)
        assert rows(own) == [(1.0, "OWN")]
        assert state_of(own) == before


@pytest.mark.parametrize("table", ["sqliteXreadings", "sqlite", "Sqlite-1", "sqlite%", "x_sqlite_"])
def test_names_like_those_of_sqlite_itself(table: str, tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": [1], "x": [2.5]}), tmp_path / "a.db", table)
    assert rows(path, table) == [(1.0, 2.5)]
    with pytest.raises(SourceError) as caught:
        SqliteSource(path, "sqlite_master")
    assert table in str(caught.value.hint)


def test_text_that_is_not_utf8_spoils_its_cell_only(tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": [1, 2], "x": ["a", "b"]}), tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE readings SET x = CAST(x'b043' AS TEXT) WHERE time = 2")
        connection.commit()
    assert rows(path) == [(1.0, "a"), (2.0, "\ufffdC")]


def test_times_and_names_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": ["2024-01-01"], "x": ["a"]}), tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE readings SET time = CAST(x'323032342d30312d3031ff' AS TEXT)")
        connection.commit()
    source = SqliteSource(path, "readings")
    axis = source.axis("time")
    assert axis is not None
    with pytest.raises(SourceError, match="not UTF-8"):
        source.bounds(axis)


def refusal_of(path: Path) -> EagleError | None:
    """The documented error of reading everything in every way; None if nothing was refused."""
    try:
        rows(path)
        source = SqliteSource(path, "readings")
        if (axis := source.axis("time")) is not None:
            source.bounds(axis)
            source.rows_without_key(axis)
    except EagleError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(4))
def test_damaged_pages_end_in_a_documented_error(seed: int, tmp_path: Path) -> None:
    """Bits of the header, of the first page and of any page are changed; what is read must be told or refused."""
    frame = pd.DataFrame({"time": [f"2024-01-{day:02d} 10:00" for day in range(1, 29)] * 20, "x": range(560)})
    frame["state"], frame["text"] = ["on", None, "off", "ä"] * 140, "some words"
    whole = to_sqlite(frame, tmp_path / "whole.db").read_bytes()
    chance, refused = random.Random(seed), 0
    for number in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3, 30])):
            place = chance.choice([chance.randrange(100), chance.randrange(4096), chance.randrange(len(whole))])
            damaged[place] = chance.randrange(256)
        path = tmp_path / f"{number}.db"
        path.write_bytes(damaged)
        refusal = refusal_of(path)
        path.unlink()
        if refusal is None:
            continue
        refused += 1
        assert refusal.exit_code in (3, 4)
        assert json.dumps(refusal.to_json(), ensure_ascii=False).isprintable()
        assert str(tmp_path) not in refusal.message
    assert refused > 10
