"""Any database by its SQLAlchemy URL, shown with PostgreSQL through psycopg."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from ml.cleaning.time_range import TimeRange
from ml.errors import ConfigError, IsolationError, SourceError
from ml.ingest.prepare import prepare
from ml.ingest.sources import open_source
from ml.ingest.sources.base import Keys
from ml.options.source import ScadaDbConfig
from tests.databases.history import COLUMNS, START, TYPES, config, create_table, readings
from tests.databases.server import Database


def connection(plant: Database, **changes: Any) -> dict[str, Any]:
    url = f"postgresql+psycopg://{plant.reader}@127.0.0.1:{plant.server.port}/{plant.name}"
    nothing = dict.fromkeys(("host", "port", "user", "sslmode"))
    return {**nothing, "driver": "sqlalchemy", "database": url, **changes}


def test_gives_what_the_postgresql_driver_gives(database: Database) -> None:
    create_table(database, readings(), types=(*TYPES[:2], "numeric", *TYPES[3:]))
    for sections in ({}, {"dataRange": {"startDate": "2024-01-01T10:00:00Z"}}):
        found = prepare(config(database, connection(database), **sections))
        expected = prepare(config(database, **sections))
        pd.testing.assert_frame_equal(found.frame, expected.frame)
        assert {**found.summary, "source": ""} == {**expected.summary, "source": ""}


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "bigint", "numeric"])
def test_slices_hold_every_row_once(database: Database, kind: str) -> None:
    stamps = [row[0] for row in readings(hours=48, assets=1)]
    values = [stamp if kind.startswith("time") else int(stamp.timestamp()) for stamp in stamps]
    create_table(database, [(v, "P", float(i), 1.0, False, 0) for i, v in enumerate(values)], types=(kind, *TYPES[1:]))
    source: Any = open_source(config(database, connection(database)))
    axis = source.axis("created_timestamp")
    first, last = source.bounds(axis)
    day = 86_400_000_000
    assert (first, last - first) == (int(START.timestamp()) * 1_000_000, 47 * day // 24)
    parts = [list(source.stream(["temperature"], Keys(axis, first + i * day, first + (i + 1) * day))) for i in range(3)]
    assert [sum(batch.num_rows for batch in part) for part in parts] == [24, 24, 0]
    assert [source.count(Keys(axis, first + i * day, first + (i + 1) * day)) for i in range(3)] == [24, 24, 0]
    assert source.extreme("min", Keys(axis, first + day, first + 2 * day)) == first + day


def test_a_shared_table(database: Database) -> None:
    rows = [(row[0], organization, *row[1:]) for row in readings(hours=3) for organization in ("plant_a", "plant_b")]
    create_table(database, rows, "readings", (COLUMNS[0], "org", *COLUMNS[1:]), (TYPES[0], "text", *TYPES[1:]))
    source: Any = open_source(config(database, connection(database), schemaConfig={"organizationColumn": "org"}))
    batches = list(source.read(["org"], time_column="created_timestamp", within=TimeRange()))
    assert [row["org"] for batch in batches for row in batch.to_pylist()] == ["plant_a"] * 6
    source._own_rows = list
    with pytest.raises(IsolationError, match="not exactly"):
        list(source.read(["asset"], time_column="created_timestamp", within=TimeRange()))


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"table": "reading"}, SourceError, 'no table "reading"'),
        ({"table": "nowhere.readings"}, SourceError, 'no table "nowhere.readings"'),
        ({"table": None}, ConfigError, "no table is named"),
        ({"database": "no url"}, ConfigError, "must be a URL such as"),
        ({"database": "klingon://reader@host/x"}, ConfigError, "klingon is not installed"),
        ({"database": "mysql+pymysql://reader@host/x"}, ConfigError, "pymysql is not installed"),
        ({"database": "sqlite:////tmp/other.sqlite"}, ConfigError, "not allowed there"),
        ({"database": "sqlite:///other.sqlite"}, ConfigError, "names no server"),
        ({"database": "duckdb://host/other"}, ConfigError, "names no server"),
        ({"database": "postgresql+psycopg://reader@host"}, ConfigError, "names no database"),
        ({"database": "mssql+pyodbc://host/plant"}, ConfigError, "names no user"),
        ({"database": "mysql+other://reader@host/plant"}, ConfigError, "allowed are mysqldb, pymysql"),
        ({"password": "wrong-canary"}, SourceError, "password authentication failed"),
    ],
)
def test_refusals(database: Database, changes: dict[str, Any], kind: Any, words: str) -> None:
    create_table(database, readings(hours=3))
    with pytest.raises(kind, match=words) as caught:
        open_source(config(database, connection(database, **changes)))
    told = str(caught.value.to_json())
    assert "wrong-canary" not in told
    assert database.password not in told


@pytest.mark.parametrize("url", ["mysql://user:s3cret@host/plant", "mssql://host/plant?password=s3cret"])
def test_a_password_in_the_url_is_refused_and_not_repeated(database: Database, url: str) -> None:
    with pytest.raises(ConfigError, match="must not hold a password") as caught:
        config(database, {"driver": "sqlalchemy", "database": url})
    assert "s3cret" not in str(caught.value.to_json())
    assert ScadaDbConfig(driver="postgresql", database="plain").database == "plain"
