from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.errors import StorageError
from simulation.__main__ import main
from simulation.database import TABLE, write_hidden, write_sqlite
from simulation.station import SENSORS, Station


def _read(path: Path) -> pd.DataFrame:
    with closing(sqlite3.connect(path)) as connection:
        return pd.read_sql_query(f"SELECT * FROM {TABLE}", connection)


def test_the_database_holds_the_frame(station: Station, tmp_path: Path) -> None:
    write_sqlite(station, tmp_path / "scada.sqlite")
    stored = _read(tmp_path / "scada.sqlite")
    assert stored["created_timestamp"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").all()
    stored["created_timestamp"] = pd.to_datetime(stored["created_timestamp"], utc=True).dt.as_unit("us")
    pd.testing.assert_frame_equal(stored, station.readings, check_dtype=False)


def test_large_totals_keep_single_litres(station: Station, tmp_path: Path) -> None:
    write_sqlite(station, tmp_path / "scada.sqlite")
    stored = _read(tmp_path / "scada.sqlite")["total_volume"].dropna()
    assert stored.max() > 2e8
    assert (stored != stored.astype(np.float32)).any()


def test_missing_readings_are_null(station: Station, tmp_path: Path) -> None:
    write_sqlite(station, tmp_path / "scada.sqlite")
    with closing(sqlite3.connect(tmp_path / "scada.sqlite")) as connection:
        for name in SENSORS:
            nulls = connection.execute(f"SELECT count(*) FROM {TABLE} WHERE {name} IS NULL").fetchone()[0]
            assert nulls == station.readings[name].isna().sum()


def test_hidden_wear_is_read_back(station: Station, tmp_path: Path) -> None:
    write_hidden(station, tmp_path / "hidden_wear.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "hidden_wear.parquet"), station.hidden, check_dtype=False, check_column_type=False
    )


def test_an_older_database_is_replaced_whole_and_nothing_else_is_left(station: Station, tmp_path: Path) -> None:
    path = tmp_path / "scada.sqlite"
    path.write_text("something else")
    write_sqlite(station, path)
    assert len(_read(path)) == len(station.readings)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_older_database(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scada.sqlite"
    path.write_text("older")

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("simulation.database._records", full)
    with pytest.raises(StorageError, match=r"scada\.sqlite cannot be written: database or disk is full"):
        write_sqlite(station, path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "out"), "--assets", "1", "--days", "1"]) == 4
    assert "scada.sqlite cannot be written" in capsys.readouterr().err


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out"), "--assets", "2", "--days", "3", "--seed", "1"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scada.sqlite", "hidden_wear.parquet"}
    assert "readings of 2 pumps" in capsys.readouterr().out


def test_the_command_refuses_an_impossible_station(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out"), "--days", "0"]) == 2
    assert "days is 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
