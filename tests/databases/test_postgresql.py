"""The PostgreSQL source against a real server."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.errors import ConfigError, DataError, EagleError, IsolationError, MissingColumnError, SourceError
from ml.ingest.prepare import prepare
from ml.ingest.sources import open_source
from ml.ingest.sources.base import Keys
from ml.ingest.sources.postgresql import session
from ml.ingest.sources.postgresql.source import PostgresqlSource
from ml.inspect.__main__ import run as inspect_source
from tests.databases.history import COLUMNS, START, TYPES, config, create_table, readings
from tests.databases.server import Database, Server

HOUR = 3_600_000_000


_open: list[PostgresqlSource] = []


@pytest.fixture(autouse=True)
def close_sources() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def opened(database: Database, connection: dict[str, Any] | None = None, **sections: Any) -> PostgresqlSource:
    source = open_source(config(database, connection, **sections))
    assert isinstance(source, PostgresqlSource)
    _open.append(source)
    return source


def every_row(source: PostgresqlSource, *columns: str) -> list[tuple[Any, ...]]:
    batches = source.read(columns, time_column=columns[0], within=TimeRange())
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def refused(plant: Database, kind: type[EagleError], **connection: Any) -> EagleError:
    with pytest.raises(kind) as caught:
        opened(plant, connection)
    assert plant.password not in str(caught.value.to_json())
    return caught.value


def test_prepares_what_an_sqlite_file_or_csv_of_the_same_rows_would_give(database: Database, tmp_path: Any) -> None:
    rows = readings()
    create_table(database, rows)
    lines = [",".join(COLUMNS), *(",".join("" if v is None else str(v) for v in row) for row in rows)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    found, expected = prepare(config(database)), prepare(config(database), source_path=tmp_path / "a.csv")
    assert found.frame.equals(expected.frame)
    assert {**found.summary, "source": ""} == {**expected.summary, "source": ""}
    assert found.summary["failureEvents"]["total"] == 4


def test_every_type_that_plants_use(database: Database) -> None:
    database.execute("CREATE TYPE state AS ENUM ('on', 'off'); CREATE DOMAIN celsius AS numeric(10, 2)")
    values = {
        "t": ("timestamptz", datetime(2024, 1, 1, tzinfo=UTC)),
        "small": ("smallint", 1),
        "big": ("bigint", 2**60),
        "single": ("real", 0.5),
        "exact": ("numeric", "12345678901234567890.123456789"),
        "room": ("celsius", "21.50"),
        "flag": ("boolean", True),
        "word": ("varchar(10)", "yes"),
        "padded": ("char(5)", "ab"),
        "valve": ("state", "on"),
        "id": ("uuid", "6f1c5f7e-0000-4000-8000-000000000001"),
    }
    create_table(
        database, [tuple(v for _, v in values.values()), (None,) * len(values)], "readings", list(values),
        [kind for kind, _ in values.values()],
    )  # fmt: skip
    first, second = every_row(opened(database), *values)
    assert first == (
        datetime(2024, 1, 1, tzinfo=UTC), 1, 2**60, 0.5, "12345678901234567890.123456789", "21.50", True, "yes", "ab",
        "on", "6f1c5f7e-0000-4000-8000-000000000001",
    )  # fmt: skip
    assert second == (None,) * len(values)


@pytest.mark.parametrize("kind", ["jsonb", "interval", "bytea", "double precision[]"])
def test_a_type_that_holds_no_value_is_refused_by_name(database: Database, kind: str) -> None:
    create_table(database, [], types=(*TYPES[:2], kind, *TYPES[3:]))
    with pytest.raises(DataError, match=r'"temperature" has the type .*, which holds neither') as caught:
        opened(database).types(["temperature"])
    assert caught.value.field == "temperature"


def test_numbers_of_arbitrary_precision_and_special_values(database: Database) -> None:
    rows = [(START + timedelta(hours=i), "P", v, 1.0, False, 0) for i, v in enumerate(["1.5", "NaN", "Infinity", None])]
    create_table(database, rows, types=(*TYPES[:2], "numeric", *TYPES[3:]))
    found = prepare(config(database))
    assert found.frame["temperature"].tolist() == [1.5, 1.5, 1.5, 1.5]
    assert found.summary["infiniteValues"] == {"temperature": 1}


def test_rows_come_in_the_order_of_the_table(database: Database) -> None:
    times = [START + timedelta(minutes=m) for m in (5, 1, 3, 1, 4)]
    create_table(database, [(t, f"P-{i}", 1.0, 1.0, False, 0) for i, t in enumerate(times)])
    database.execute("SET enable_seqscan = off; ANALYZE readings")
    source = opened(database)
    axis = source.axis("created_timestamp")
    assert axis is not None
    start = clock.instant(START, "UTC")
    batches = list(source.stream(["asset"], Keys(axis, start, start + HOUR)))
    assert [row["asset"] for batch in batches for row in batch.to_pylist()] == ["P-0", "P-1", "P-2", "P-3", "P-4"]


@pytest.mark.parametrize(
    ("kind", "convert", "unit"),
    [
        ("timestamptz", lambda t: t, None),
        ("timestamp", lambda t: t.replace(tzinfo=None), None),
        ("date", lambda t: t.date(), None),
        ("bigint", lambda t: int(t.timestamp()), 1_000_000),
        ("bigint", lambda t: int(t.timestamp() * 1000), 1_000),
        ("double precision", lambda t: t.timestamp(), 1_000_000),
        ("numeric", lambda t: int(t.timestamp() * 1000), 1_000),
    ],
)
def test_times_of_every_kind_can_be_cut(database: Database, kind: str, convert: Any, unit: int | None) -> None:
    times = [START + timedelta(hours=hour) for hour in range(72)]
    rows = [(convert(t), "P", float(i), 1.0, False, 0) for i, t in enumerate(times)]
    create_table(database, [*rows, (None, "P", -1.0, 1.0, False, 0)], types=(kind, *TYPES[1:]))
    source = opened(database)
    axis = source.axis("created_timestamp")
    assert axis is not None
    assert unit in (None, axis.unit)
    first, day = clock.instant(START, "UTC"), 24 * HOUR
    last = first + (2 * day if kind == "date" else 71 * HOUR)
    assert source.bounds(axis) == (first, last)
    assert source.rows_without_key(axis) == 1
    parts = [list(source.stream(["temperature"], Keys(axis, first + i * day, first + (i + 1) * day))) for i in range(3)]
    values = [row["temperature"] for part in parts for batch in part for row in batch.to_pylist()]
    assert values == list(range(72))
    assert [source.count(Keys(axis, first + i * day, first + (i + 1) * day)) for i in range(4)] == [24, 24, 24, 0]
    later = first + day + (0 if kind == "date" else 1_000_000)
    following = later if kind == "date" else first + day + HOUR
    assert source.extreme("min", Keys(axis, later, first + 9 * day)) == following
    assert source.extreme("min", Keys(axis, first + 9 * day, first + 10 * day)) is None


def test_text_times_are_read_whole(database: Database) -> None:
    rows = [((START + timedelta(hours=i)).isoformat(), "P", 1.0, 1.0, False, 0) for i in range(3)]
    create_table(database, rows, types=("text", *TYPES[1:]))
    source = opened(database)
    assert source.axis("created_timestamp") is None
    assert len(every_row(source, "created_timestamp")) == 3
    assert len(prepare(config(database)).frame) == 3


def test_times_and_numbers_as_text_and_the_last_hours(database: Database) -> None:
    """What is found out of a file is found out of columns of text; a range of hours goes back from the newest row."""
    rows = [
        (f"{START + timedelta(hours=n):%d.%m.%Y %H:%M}", "M", f"{20 + n / 4:.2f}".replace(".", ","), "1,5", False, 0)
        for n in range(1000)
    ]
    create_table(database, rows, types=("text", "text", "text", "text", *TYPES[4:]))
    asked = config(database, dataRange={"last": "48h"})
    found = prepare(asked)
    assert found.summary["notation"] == {"timestampFormat": "%d.%m.%Y %H:%M", "decimalMark": ","}
    assert (found.summary["gridRows"], found.frame["temperature"].iloc[-1]) == (49, 269.75)
    inspected = inspect_source(asked)
    assert inspected["refusal"] is None
    assert inspected["candidates"]["time"] == ["created_timestamp"]


def test_infinite_and_absurd_times_are_counted_and_do_no_harm(database: Database) -> None:
    rows = [(START + timedelta(hours=i), "P", 1.0, 1.0, False, 0) for i in range(3)]
    odd = [(t, "P", 1.0, 1.0, False, 0) for t in ("infinity", "-infinity", "0044-03-15", "9999-12-31", None)]
    create_table(database, rows + odd)
    source = opened(database)
    axis = source.axis("created_timestamp")
    assert axis is not None
    assert source.rows_without_key(axis) == 5
    assert source.bounds(axis) == (clock.instant(START, "UTC"), clock.instant(START, "UTC") + 2 * HOUR)


def test_views_partitions_and_other_schemas(database: Database) -> None:
    database.execute('CREATE SCHEMA "Plant Floor"')
    database.execute(f'GRANT USAGE ON SCHEMA "Plant Floor" TO {database.reader}')
    create_table(database, readings(hours=3), "Plant Floor.readings")
    database.execute(
        "CREATE TABLE parted (created_timestamp timestamptz, x float8) PARTITION BY RANGE (created_timestamp);"
        "CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
        "INSERT INTO parted VALUES ('2024-05-01', 1.5);"
        "CREATE VIEW latest AS SELECT created_timestamp, x * 2 AS x FROM parted"
    )
    for table in ("parted", "latest"):
        database.let_read(table)
    assert len(every_row(opened(database), "asset")) == 6
    assert every_row(opened(database, {"table": "Plant Floor.readings"}), "asset")[0] == ("P-0",)
    assert every_row(opened(database, {"table": "parted"}), "x") == [(1.5,)]
    assert every_row(opened(database, {"table": "public.latest"}), "x") == [(3.0,)]
    create_table(database, [], "other_readings")
    database.execute("CREATE SCHEMA b; CREATE TABLE b.readings (x int); GRANT USAGE ON SCHEMA b TO PUBLIC")
    error = refused(database, ConfigError)
    assert error.message == 'several schemas have a table "readings": Plant Floor, b'
    create_table(database, [], "readings")
    assert every_row(opened(database), "asset") == []


def test_nothing_can_be_written_and_names_are_not_searched_for(database: Database) -> None:
    create_table(database, readings(hours=3))
    database.execute(f"GRANT ALL ON readings TO {database.reader}; CREATE TABLE {database.reader} (x int)")
    source = opened(database)
    with (
        pytest.raises(SourceError, match="cannot execute INSERT in a read-only transaction"),
        source._session.transaction() as transaction,
    ):
        transaction._cursor.execute("INSERT INTO public.readings (asset) VALUES ('x')")
    with source._session.transaction() as transaction:
        assert transaction.rows("SELECT current_setting('transaction_isolation'), current_setting('search_path')") == [
            ("repeatable read", "pg_catalog, pg_temp")
        ]
    with pytest.raises(SourceError, match='relation "readings" does not exist'), source._session.transaction() as t:
        t.rows("SELECT 1 FROM readings")


def test_a_slow_query_is_ended_by_the_server(database: Database) -> None:
    create_table(database, readings(hours=3))
    database.execute("CREATE VIEW slow AS SELECT *, pg_sleep(5)::text AS nap FROM readings")
    database.let_read("slow")
    source = opened(database, {"table": "slow", "statementTimeoutSeconds": 1})
    began = time.monotonic()
    with pytest.raises(SourceError, match="statement timeout") as caught:
        every_row(source, "nap")
    assert time.monotonic() - began < 4
    assert caught.value.field == "scadaDbConfig.statementTimeoutSeconds"


class TestRefusals:
    def test_a_wrong_password_is_not_tried_twice(self, database: Database, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        error = refused(database, SourceError, password="wrong-password")
        assert f'password authentication failed for user "{database.reader}"' in error.message
        assert "wrong-password" not in str(error.to_json())
        assert "next attempt" not in caplog.text

    def test_a_database_that_is_not_there(self, database: Database) -> None:
        error = refused(database, SourceError, database="nowhere")
        assert '"nowhere" does not exist' in error.message

    def test_encryption_that_the_server_does_not_offer(self, database: Database) -> None:
        assert "does not support SSL" in refused(database, SourceError, sslmode="require").message

    def test_a_server_that_is_down_is_tried_again(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(session, "RETRY_AFTER", (0.0, 0.0))
        caplog.set_level(logging.INFO)
        error = refused(database, SourceError, port=1)
        assert "Connection refused" in error.message
        assert caplog.text.count("next attempt") == 2

    def test_a_server_that_comes_back_is_used(
        self, database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create_table(database, readings(hours=3))
        server.stop()
        pauses: list[float] = []

        def start_at_the_second_pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                server.start()

        monkeypatch.setattr(session, "time", SimpleNamespace(sleep=start_at_the_second_pause))
        assert len(every_row(opened(database), "asset")) == 6
        assert pauses == [0.5, 1.0]

    def test_a_missing_table_names_the_nearest(self, database: Database) -> None:
        create_table(database, [])
        error = refused(database, SourceError, table="reading")
        assert error.message == 'the database has no table "reading" that the role may see'
        assert error.hint == 'did you mean "readings"? available: readings'

    def test_a_table_that_may_not_be_read(self, database: Database) -> None:
        create_table(database, readings(hours=3))
        database.execute(f"REVOKE SELECT ON readings FROM {database.reader}")
        assert refused(database, SourceError).message == 'the role may not read the table "readings"'

    def test_a_column_that_may_not_be_read(self, database: Database) -> None:
        create_table(database, readings(hours=3))
        database.execute(
            f"REVOKE SELECT ON readings FROM {database.reader}; GRANT SELECT (asset) ON readings TO {database.reader}"
        )
        source = opened(database)
        assert len(every_row(source, "asset")) == 6
        with pytest.raises(SourceError, match="does not allow it: permission denied for table readings"):
            every_row(source, "asset", "temperature")

    def test_a_type_that_changes_while_reading(self, database: Database) -> None:
        create_table(database, readings(hours=3))
        source = opened(database)
        database.execute("ALTER TABLE readings ALTER temperature TYPE text")
        with pytest.raises(DataError, match="double precision when reading began and has the type text now"):
            every_row(source, "temperature")
        database.execute("ALTER TABLE readings DROP temperature")
        with pytest.raises(MissingColumnError, match='lost the column "temperature"'):
            every_row(source, "temperature")

    def test_a_server_that_is_stopped_in_the_middle(self, database: Database, server: Server) -> None:
        rows = [(START + timedelta(seconds=i), "P" * 200, 1.0, 1.0, False, 0) for i in range(200_000)]
        create_table(database, rows)
        stream = opened(database).read(["asset"], time_column="asset", within=TimeRange())
        assert next(stream).num_rows > 0
        server.stop()
        try:
            with pytest.raises(SourceError, match="connection to the database was lost") as caught:
                for _ in stream:
                    pass
        finally:
            server.start()
        assert "goes on after the last slice" in str(caught.value.hint)


class TestPowers:
    @pytest.mark.parametrize(
        ("grant", "words"),
        [
            ("ALTER ROLE {role} SUPERUSER", "is a superuser"),
            ("ALTER ROLE {role} BYPASSRLS", "bypasses row security (BYPASSRLS)"),
            ("GRANT INSERT ON readings TO {role}", "may write to the table"),
            ("GRANT UPDATE (asset) ON readings TO {role}", "may write to the table"),
            ("ALTER TABLE readings OWNER TO {role}", "may write to the table"),
        ],
    )
    def test_too_much_power_is_a_warning_or_a_refusal(
        self, grant: str, words: str, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        create_table(database, readings(hours=3))
        opened(database, {"requireLeastPrivilege": True}).close()
        assert caplog.records == []
        database.execute(grant.format(role=database.reader))
        opened(database).close()
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert words in caplog.text
        error = refused(database, IsolationError, requireLeastPrivilege=True)
        assert words in error.message


class TestSharedTables:
    @pytest.fixture
    def shared(self, database: Database) -> Database:
        own = [("plant_a", *row) for row in readings(hours=6)]
        foreign = [("plant_b", row[0], row[1], 999.0, *row[3:]) for row in readings(hours=6)]
        mixed = [row for pair in zip(own, foreign, strict=True) for row in pair]
        columns, types = ("created_timestamp", "org", *COLUMNS[1:]), ("timestamptz", "text", *TYPES[1:])
        create_table(database, [(t, o, *rest) for o, t, *rest in mixed], "readings", columns, types)
        return database

    def test_only_rows_of_the_organisation_come(self, shared: Database) -> None:
        for organization in ("plant_a", "plant_b"):
            found = prepare(config(shared, schemaConfig={"organizationColumn": "org"}, organizationId=organization))
            assert found.summary["rowsRead"] == 12
            assert (found.frame["temperature"] == 999).all() == (organization == "plant_b")

    def test_the_column_may_be_a_number_or_uuid(self, database: Database) -> None:
        identity = "6F1C5F7E-0000-4000-8000-000000000001"
        for kind, own, other in (("integer", "7", "70"), ("uuid", identity, identity.replace("1", "2"))):
            create_table(
                database, [(START, own), (START, other), (START, None)], f"shared_{kind}", ["t", "org"],
                ["timestamptz", kind],
            )  # fmt: skip
            source = opened(
                database, {"table": f"shared_{kind}"}, schemaConfig={"organizationColumn": "org"}, organizationId=own
            )
            assert len(every_row(source, "t")) == 1
        with pytest.raises(DataError, match="cannot compare"):
            opened(database, {"table": "shared_integer"}, schemaConfig={"organizationColumn": "org"})

    def test_a_database_that_lets_other_rows_through_is_caught(
        self, shared: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = opened(shared, schemaConfig={"organizationColumn": "org"})
        monkeypatch.setattr(source, "_where", lambda conditions: "")
        with pytest.raises(IsolationError, match='is not exactly "plant_a"; nothing of them was kept') as caught:
            every_row(source, "temperature")
        assert "plant_b" not in str(caught.value.to_json())

    def test_a_table_that_looks_shared_gets_a_warning(self, shared: Database, caplog: pytest.LogCaptureFixture) -> None:
        shared.execute("ALTER TABLE readings RENAME org TO organization_id")
        opened(shared).close()
        assert "name that column in schemaConfig.organizationColumn" in caplog.text
        caplog.clear()
        opened(shared, schemaConfig={"organizationColumn": "organization_id"}).close()
        assert caplog.records == []

    def test_a_missing_column_is_named(self, shared: Database) -> None:
        with pytest.raises(MissingColumnError, match='no column "orgs" to tell organisations apart') as caught:
            opened(shared, schemaConfig={"organizationColumn": "orgs"})
        assert caught.value.hint.startswith('did you mean "org"? available: ')


def test_batches_are_small(database: Database) -> None:
    rows = [(START + timedelta(seconds=i), "P" * 400, 1.0, 1.0, False, 0) for i in range(100_000)]
    create_table(database, rows)
    batches: list[pa.RecordBatch] = list(opened(database).read(["asset"], time_column="asset", within=TimeRange()))
    assert len(batches) > 3
    assert max(batch.nbytes for batch in batches) < 2 * session.BATCH_BYTES
