from __future__ import annotations

import gzip
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.errors import ConfigError, DataError, SourceError
from ml.ingest.sources import DRIVERS, open_source
from ml.ingest.sources.base import Source
from ml.ingest.sources.files import CsvSource, ParquetSource
from ml.ingest.sources.sqlite import SqliteSource
from tests.unit.ingest.histories import config, to_sqlite

ALL = TimeRange()


def rows(source: Source, *columns: str, within: TimeRange = ALL) -> list[tuple[object, ...]]:
    batches = source.read(columns, time_column=columns[0], within=within)
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def range_of(start: str, end: str) -> TimeRange:
    return TimeRange(*(int(pd.Timestamp(t, tz="UTC").timestamp() * 1e6) for t in (start, end)))


def test_sqlite_keeps_values_and_order_whatever_is_in_a_column(tmp_path: Path) -> None:
    late = [None] * 3000
    frame = pd.DataFrame(
        {
            "time": range(6000),
            "late_number": late + [0.1 * i for i in range(3000)],
            "late_text": late + ["on"] * 3000,
            "mixed": [1, 0.1, "x", b"\xff", None, 123456789.123456789] * 1000,
        },
        dtype=object,
    )
    found = rows(SqliteSource(to_sqlite(frame, tmp_path / "a.db"), "readings"), "time", *frame.columns[1:])
    assert len(found) == 6000
    assert found[0] == (0.0, None, None, "1")
    assert [row[3] for row in found[1:6]] == ["0.1", "x", "<binary>", None, "123456789.12345679"]
    assert found[-1][:3] == (5999.0, 0.1 * 2999, "on")


def test_sqlite_names_are_data_not_sql(tmp_path: Path) -> None:
    table, column = 'x"; DROP TABLE keep; --', "select \"a\" from 'b'; --"
    path = to_sqlite(pd.DataFrame({"keep": [1]}), tmp_path / "a.db", "keep")
    to_sqlite(pd.DataFrame({"time": ["2024-01-01"], column: [2.5]}), path, table)
    source = SqliteSource(path, table)
    assert source.columns() == ["time", column]
    assert rows(source, "time", column, within=range_of("2023-01-01", "2025-01-01")) == [("2024-01-01", 2.5)]
    assert SqliteSource(path, "keep").row_count() == 1


def test_sqlite_is_opened_for_reading_only(tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": [1]}), tmp_path / "a%20b?#.db")
    before = path.read_bytes()
    source = SqliteSource(path, "readings")
    with pytest.raises(SourceError, match="readonly"):
        source._fetch("INSERT INTO readings VALUES (2)")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "times",
    [
        [f"2024-01-{day:02d} 12:00:00" for day in range(1, 29)],
        [1_704_067_200 + 86_400 * day + 43_200 for day in range(28)],
        [1_704_067_200.5 + 86_400 * day + 43_200 for day in range(28)],
        [1000 * (1_704_067_200 + 86_400 * day + 43_200) for day in range(28)],
    ],
)
def test_sqlite_applies_the_range_where_times_compare(tmp_path: Path, times: list[object]) -> None:
    source = SqliteSource(to_sqlite(pd.DataFrame({"time": times, "x": range(28)}), tmp_path / "a.db"), "readings")
    found = {row[1] for row in rows(source, "time", "x", within=range_of("2024-01-10", "2024-01-12"))}
    assert {9, 10} <= found
    assert len(found) < 8


def test_sqlite_takes_the_widest_range(tmp_path: Path) -> None:
    ends = [clock.instant(datetime(year, 1, 1, tzinfo=UTC), "UTC") for year in (1, 9999)]
    source = SqliteSource(to_sqlite(pd.DataFrame({"time": ["2024-01-01"]}), tmp_path / "a.db"), "readings")
    assert rows(source, "time", within=TimeRange(*ends)) == [("2024-01-01",)]


@pytest.mark.parametrize("odd", ["10/01/2024", 5, None])
def test_sqlite_leaves_mixed_times_to_the_reader(tmp_path: Path, odd: object) -> None:
    frame = pd.DataFrame({"time": [odd, "2024-01-01", "2024-02-01"]}, dtype=object)
    source = SqliteSource(to_sqlite(frame, tmp_path / "a.db"), "readings")
    found = rows(source, "time", within=range_of("2024-01-01", "2024-01-02"))
    assert len(found) == (1 if odd is None else 3)


def test_sqlite_stream_may_be_left_early(tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": range(200_000)}), tmp_path / "a.db")
    stream = SqliteSource(path, "readings").read(["time"], time_column="time", within=ALL)
    assert next(stream).num_rows > 0
    stream.close()
    path.unlink()


def test_sqlite_reads_views(tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": [1, 2]}), tmp_path / "a.db")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE VIEW latest AS SELECT time, time * 2.5 AS x FROM readings WHERE time > 1")
    connection.close()
    assert rows(SqliteSource(path, "latest"), "time", "x") == [(2.0, 5.0)]


def test_sqlite_fetches_no_endless_text(tmp_path: Path) -> None:
    """A view of some bytes can make gigabytes; a long text is a word that none reads, a huge one is refused."""
    path = to_sqlite(pd.DataFrame({"time": [1, 2, 3], "x": [1.0, 2.0, 3.0]}), tmp_path / "a.db")
    for length, view in ((1000, "fits"), (1002, "long"), (2_000_000, "huge")):
        with sqlite3.connect(path) as connection:
            text = f"hex(zeroblob({length // 2}))"
            connection.execute(
                f"CREATE VIEW {view} AS SELECT time, CASE WHEN time = 2 THEN {text} ELSE x END x FROM readings"
            )
    assert rows(SqliteSource(path, "fits"), "time", "x")[1] == (2.0, "0" * 1000)
    assert rows(SqliteSource(path, "long"), "time", "x") == [(1.0, "1.0"), (2.0, "<long text>"), (3.0, "3.0")]
    with pytest.raises(DataError, match="a value of over 1 MB"):
        rows(SqliteSource(path, "huge"), "time", "x")
    with pytest.raises(DataError, match="a value of over 1 MB"):
        SqliteSource(path, "huge").axis("x")


def test_sqlite_missing_file_and_table(tmp_path: Path) -> None:
    path = to_sqlite(pd.DataFrame({"time": [1]}), tmp_path / "a.db")
    with pytest.raises(SourceError, match=r"none\.db cannot be opened: No such file") as caught:
        SqliteSource(tmp_path / "none.db", "readings")
    assert str(tmp_path) not in caught.value.message
    with pytest.raises(SourceError, match='no table "reading"') as caught:
        SqliteSource(path, "reading")
    assert caught.value.hint == 'did you mean "readings"? available: readings'
    with pytest.raises(ConfigError, match="no table is named") as config_error:
        SqliteSource(path, None)
    assert "readings" in str(config_error.value.hint)


def test_sqlite_file_that_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"notes\.db cannot be read: file is not a database") as caught:
        SqliteSource(write(tmp_path / "notes.db", "not a database, but long enough to look at" * 50), "readings")
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_separators_quotes_and_bom(tmp_path: Path, separator: str) -> None:
    x = "1.5" if separator == "," else "1,5"
    lines = [["time", "x", "note"], ["2024-01-01", x, '"two\nlines"'], ["b", "", "c"]]
    path = write(tmp_path / "a.csv", "\ufeff" + "\r\n".join(separator.join(line) for line in lines) + "\r\n")
    found = rows(CsvSource(path), "x", "time")
    assert found == [(x, "2024-01-01"), (None, "b")]


def test_csv_is_read_as_text_and_compressed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"time,x\n007,1\nlate,hot\n"))
    assert rows(CsvSource(path), "time", "x") == [("007", "1"), ("late", "hot")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("a,b,a\n1,2,3\n", 'column "a" more than once'),
        ("a,b\n1,2\n3,4,5\n", "broken at line 3: 2 values expected, 3 found"),
        ('a,b\n"1\n1",2\n3\n', "broken at line 4: 2 values expected, 1 found"),
        (b"a,b\n1,2\n3,\xff\n", "not UTF-8 text at line 3"),
        (b"a\x00,\x00b\x00\n\x00\x00\x00\x00\x00", "holds zero bytes"),
        (b"\x7fELF\x02\x01\x00", "holds zero bytes"),
        (b"a,b\r1,2\r3,\xff\r", "not UTF-8 text at line 3"),
        ("a," + "b" * 140_000 + "\n1,2\n", "field larger than field limit"),
        ("a" * 5_000_000, "no end of the line in"),
    ],
)
def test_broken_csv_names_the_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        rows(CsvSource(write(tmp_path / "a.csv", content)), "a", "b")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_every_end_of_a_line_and_every_unicode_text_is_read(tmp_path: Path, end: str, encoding: str, name: str) -> None:
    content = end.join(["time;Öl °C", *(f"{number};{number},5" for number in range(2000))]).encode(encoding)
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    assert rows(CsvSource(path), "Öl °C") == [(f"{number},5",) for number in range(2000)]


def test_broken_compression_is_an_error_without_folders(tmp_path: Path) -> None:
    whole = gzip.compress(np.random.default_rng(0).bytes(100_000).hex().encode())
    for name, content in (("cut.csv.gz", whole[:500]), ("plain.csv.gz", b"time,x\n1,2\n")):
        with pytest.raises(DataError, match=f"the file {name} cannot be read") as caught:
            rows(CsvSource(write(tmp_path / name, content)), "time")
        assert str(tmp_path) not in caught.value.message


def test_parquet_skips_what_lies_outside_the_range(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=30, tz="UTC"), "a.b": range(30)})
    frame.to_parquet(tmp_path / "a.parquet")
    source = ParquetSource(tmp_path / "a.parquet")
    assert source.row_count() == 30
    assert source.columns() == ["time", "a.b"]
    found = rows(source, "time", "a.b", within=range_of("2024-01-10", "2024-01-12"))
    assert [row[1] for row in found] == [9, 10]
    assert len(rows(source, "time")) == 30


def test_parquet_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet") as caught:
        ParquetSource(write(tmp_path / "a.parquet", "no"))
    assert str(tmp_path) not in caught.value.message


def test_open_source_picks_by_driver_and_extension(tmp_path: Path) -> None:
    database = to_sqlite(pd.DataFrame({"time": [1]}), tmp_path / "a.db")
    csv = write(tmp_path / "a.CSV", "time\n1\n")
    assert isinstance(open_source(config(database)), SqliteSource)
    assert isinstance(open_source(config(csv)), CsvSource)
    assert isinstance(open_source(config(database), csv), CsvSource)
    with pytest.raises(DataError, match=r"there is no file none\.csv"):
        open_source(config(tmp_path / "none.csv"))
    with pytest.raises(DataError, match="is no file of readings"):
        open_source(config(write(tmp_path / "a.xls", "")))


def test_open_source_without_one_and_without_its_driver(tmp_path: Path) -> None:
    without = config(tmp_path / "a.csv").model_copy(update={"data_source": None})
    with pytest.raises(ConfigError, match="names no source"):
        open_source(without)
    assert set(DRIVERS) == {"sqlite", "postgresql", "sqlalchemy"}
