"""Nothing executes that is only a name, no password leaves, and no organisation sees a row of another."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest

from tests.databases.history import COLUMNS, TYPES, create_table, document, readings
from tests.databases.server import Database, Server
from tests.pipeline.backend import Json, Outcome, run_here, spawn
from tests.pipeline.small_plant import write_json

PASSWORD = "c4nary'pass\\word; 100%"
INJECTIONS = [
    "readings; DROP TABLE keep; --",
    'readings"; DROP TABLE keep; --',
    "readings' OR '1'='1",
    "x FROM readings; UPDATE keep SET x = 2; --",
    "(SELECT pg_sleep(60))--",
    'x"::text, (SELECT passwd FROM pg_shadow LIMIT 1) AS "y',
    "$$; DROP TABLE keep; $$",
    "readings/**/;DELETE/**/FROM/**/keep",
]


def run(config: Json, root: Path) -> Outcome:
    root.mkdir(exist_ok=True)
    return run_here("data_prep", write_json(root.parent / f"{root.name}.json", config), root=root)


@pytest.fixture(scope="module")
def powerful(server: Server) -> Iterator[Database]:
    """A role that could do harm, so that only the statements stand between a name and the table."""
    with server.database() as database:
        create_table(database, readings())
        database.execute("CREATE TABLE keep AS SELECT 1 AS x")
        database.execute(f"ALTER TABLE keep OWNER TO {database.reader}; GRANT ALL ON readings TO {database.reader}")
        yield database


class TestInjection:
    @pytest.mark.parametrize("text", INJECTIONS)
    @pytest.mark.parametrize(
        "place",
        [
            lambda text: {"scadaDbConfig": {"table": text}},
            lambda text: {"scadaDbConfig": {"table": f"public.{text}"}},
            lambda text: {"schemaConfig": {"continuousColumns": ["temperature", text]}},
            lambda text: {"schemaConfig": {"columnMapping": {text: "pressure"}}},
            lambda text: {"schemaConfig": {"assetColumn": text}},
            lambda text: {"schemaConfig": {"timestampColumn": text}},
            lambda text: {"schemaConfig": {"targetColumn": text}},
            lambda text: {"schemaConfig": {"organizationColumn": text}},
            lambda text: {"organizationId": text},
            lambda text: {"dataConfig": {"timezone": text}},
            lambda text: {"dataConfig": {"labelColumn": text}},
        ],
        ids=str.split("table schema column mapping asset time target tenant organisation timezone label"),
    )
    def test_nothing_executes(self, place: Any, text: str, powerful: Database, tmp_path: Path) -> None:
        from ml.config import OrganizationConfig
        from ml.errors import EagleError
        from ml.ingest.prepare import prepare

        sections = place(text)
        config = document(powerful, sections.pop("scadaDbConfig", None), **sections)
        with pytest.raises(EagleError) as caught:
            prepare(OrganizationConfig.from_dict(config), slices=tmp_path)
        assert caught.value.exit_code in (2, 6), caught.value.to_json()
        assert powerful.execute("SELECT x FROM keep") == [(1,)]
        assert powerful.execute("SELECT count(*) FROM readings") == [(96,)]

    @pytest.mark.parametrize("text", INJECTIONS)
    def test_the_same_text_as_a_value_or_a_real_name_is_just_data(
        self, text: str, powerful: Database, tmp_path: Path
    ) -> None:
        from ml.config import OrganizationConfig
        from ml.ingest.prepare import prepare

        name = text[:60]
        columns = (COLUMNS[0], name, *COLUMNS[2:])
        create_table(powerful, [(row[0], text, *row[2:]) for row in readings(assets=1)], name, columns)
        config = document(powerful, {"table": f"public.{name}"}, schemaConfig={"assetColumn": name})
        found = prepare(OrganizationConfig.from_dict(config), slices=tmp_path)
        assert set(found.frame["asset_id"]) == {text}
        assert powerful.execute("SELECT x FROM keep") == [(1,)]

    @pytest.mark.parametrize("text", INJECTIONS)
    @pytest.mark.parametrize("key", ["host", "database", "user", "password", "sslRootCert"])
    def test_values_of_the_connection_cannot_add_others(self, key: str, text: str, powerful: Database) -> None:
        from ml.errors import ConfigError
        from ml.ingest.sources.postgresql.address import connection_string
        from tests.databases.history import config

        spelled = f"{text} sslmode=disable' host='evil"
        if key in ("host", "database", "user"):
            with pytest.raises(ConfigError, match=f"scadaDbConfig.{key}: must be the name"):
                config(powerful, {key: spelled})
            return
        database = config(powerful, {key: spelled}).scada_db_config
        assert database is not None
        parsed = parse(connection_string(database, database.secret("plant_a")))
        assert parsed[key.lower()] == spelled
        assert parsed["host"] == "127.0.0.1"


def parse(address: str) -> dict[str, Any]:
    """A connection string as libpq itself understands it."""
    from psycopg.conninfo import conninfo_to_dict

    return dict(conninfo_to_dict(address))


RUNS: list[tuple[Json, int]] = [
    ({}, 0),
    ({"user": "somebody"}, 4),
    ({"database": "nowhere"}, 4),
    ({"table": "nothing"}, 4),
    ({"sslmode": "require"}, 4),
    ({"host": "127.0.0.1 host=elsewhere"}, 2),
    ({"ssl": {"key": "x"}}, 2),
]


class TestCanary:
    """The password appears in no output, file, or process list, whatever happens."""

    @pytest.fixture
    def plant(self, database: Database) -> Database:
        create_table(database, readings())
        database.execute(f"ALTER ROLE {database.reader} PASSWORD $pw${PASSWORD}$pw$")
        return database

    @pytest.mark.parametrize(
        ("given", "changes", "exit_code"),
        [(given, *case) for given in ("password", "passwordEnv") for case in RUNS] + [("passwordFile", {}, 0)],
    )
    def test_it_is_nowhere(self, given: str, changes: Json, exit_code: int, plant: Database, tmp_path: Path) -> None:
        root = tmp_path / "root"
        folder = tmp_path / "secrets" / "plant_a"
        folder.mkdir(parents=True)
        (folder / "scada").write_text(f"{PASSWORD}\n", encoding="utf-8")
        kept = {"EAGLE_ML_SECRETS": str(folder.parent), "EAGLE_SECRET_plant_a__scada": PASSWORD}
        secret = {"password": PASSWORD} if given == "password" else {"password": None, given: "scada"}
        if "ssl" in changes:
            changes = {**changes, "sslmode": None}
        config = document(plant, {**secret, **changes})
        lists: list[str] = []
        over = threading.Event()
        watcher = threading.Thread(target=note_command_lines, args=(lists, over))
        watcher.start()
        root.mkdir()
        outcome = spawn("data_prep", write_json(tmp_path / "root.json", config), root=root, env=kept)
        over.set()
        watcher.join()
        assert outcome.exit_code == exit_code, outcome.document
        assert any("data_prep.py" in line for line in lists)
        everything = [outcome.stdout_text, outcome.stderr_text, *lists]
        everything += [str(path) for path in root.rglob("*")]
        everything += [path.read_bytes().decode("latin-1") for path in root.rglob("*") if path.is_file()]
        if exit_code != 2:
            assert any(plant.name in text or "nowhere" in text for text in everything)
        spellings = {PASSWORD, json.dumps(PASSWORD)[1:-1], repr(PASSWORD)[1:-1], PASSWORD.replace("'", "\\'")}
        spellings |= {PASSWORD.replace("\\", "\\\\").replace("'", "\\'"), "c4nary"}
        assert [text[:200] for text in everything for secret in spellings if secret in text] == []


def note_command_lines(lists: list[str], over: threading.Event) -> None:
    """What `ps` would show, again and again."""
    while not over.wait(0.05):
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lists.append(entry.read_bytes().replace(b"\0", b" ").decode("latin-1"))
            except OSError:  # the process has ended
                continue


def kept_rows(root: Path, organization: str) -> pd.DataFrame:
    """All rows of an organisation's slices and prepared data: the sensor that tells whose they are."""
    folder = root / "artifacts" / organization
    files = [*folder.glob("slices/*/*/*.parquet"), folder / "v1" / "prepared_data.parquet"]
    assert len(files) > 2
    frames = [pyarrow.parquet.read_table(file, columns=["pressure"]).to_pandas() for file in files]
    return pd.concat(frames)


def owned(rows: list[Any], value: float, assets: str) -> list[tuple[Any, ...]]:
    """The same machines at the same times, with a pressure that tells whose rows they are."""
    return [(row[0], row[1] if assets == "same" else f"{row[1]}-{value:g}", row[2], value, *row[4:]) for row in rows]


OWN = {"plant_a": 1.0, "plant_b": 2.0, "PLANT_A2": 3.0, "plant_": 4.0}


class TestTwoOrganisations:
    @pytest.mark.parametrize("driver", ["postgresql", "sqlite"])
    @pytest.mark.parametrize("assets", ["same", "different"])
    def test_in_one_shared_table(self, driver: str, assets: str, database: Database, tmp_path: Path) -> None:
        tables = [[(r[0], name, *r[1:]) for r in owned(readings(), v, assets)] for name, v in OWN.items()]
        rows = [row for together in zip(*tables, strict=True) for row in together]
        rows += [(row[0], None, *row[2:]) for row in rows[:5]]
        columns, types = (COLUMNS[0], "org", *COLUMNS[1:]), (TYPES[0], "text", *TYPES[1:])
        create_table(database, rows, "readings", columns, types)
        connection: Json = {"sliceSeconds": 43_200}
        if driver == "sqlite":
            connection |= {"driver": "sqlite", "database": str(write_sqlite(tmp_path / "a.sqlite", columns, rows))}
        for name, value in OWN.items():
            config = document(database, connection, organizationId=name, schemaConfig={"organizationColumn": "org"})
            outcome = run(config, tmp_path / "root")
            assert outcome.exit_code == 0, outcome.document
            assert outcome.document["rows"] == 96
            assert set(kept_rows(tmp_path / "root", name)["pressure"]) == {value}
            summary = json.loads(Path(outcome.document["dataSummaryPath"]).read_text())
            assert summary["rowsRead"] == 96
            told = outcome.stdout_text + outcome.stderr_text
            assert not [other for other in OWN if other != name and f'"{other}"' in told]

    def test_an_organisation_without_rows_gets_none(self, database: Database, tmp_path: Path) -> None:
        rows = [(r[0], "plant_b", *r[1:]) for r in readings()]
        columns, types = (COLUMNS[0], "org", *COLUMNS[1:]), (TYPES[0], "text", *TYPES[1:])
        create_table(database, rows, "readings", columns, types)
        outcome = run(document(database, schemaConfig={"organizationColumn": "org"}), tmp_path / "root")
        assert (outcome.exit_code, outcome.error["code"]) == (3, "NO_ROWS")
        assert "hint" in outcome.error
        assert "2024-01" not in outcome.error["hint"], "the range of another organisation's rows is not to be told"

    def test_in_two_databases_with_the_same_table(self, server: Server, tmp_path: Path) -> None:
        with server.database() as first, server.database() as second:
            for name, value, plant in (("plant_a", 1.0, first), ("plant_b", 2.0, second)):
                create_table(plant, owned(readings(), value, "same"))
                outcome = run(document(plant, {"sliceSeconds": 43_200}, organizationId=name), tmp_path / "root")
                assert outcome.exit_code == 0, outcome.document
                assert set(kept_rows(tmp_path / "root", name)["pressure"]) == {value}
            # The same organisation, whose configuration now names the other database, keeps nothing of the first.
            moved = document(second, {"sliceSeconds": 43_200}, organizationId="plant_a")
            assert run(moved, tmp_path / "root").exit_code == 0
            prepared = tmp_path / "root" / "artifacts" / "plant_a" / "v1" / "prepared_data.parquet"
            assert set(pyarrow.parquet.read_table(prepared)["pressure"].to_pylist()) == {2.0}
            refused = document(first, {"user": second.reader, "password": second.password}, organizationId="plant_b")
            outcome = run(refused, tmp_path / "root")
            assert (outcome.exit_code, outcome.error["code"]) == (4, "SOURCE_UNAVAILABLE")

    def test_slices_of_another_organisation_are_refused(self, database: Database, tmp_path: Path) -> None:
        create_table(database, readings())
        root = tmp_path / "root"
        assert run(document(database), root).exit_code == 0
        (root / "artifacts" / "plant_a").rename(root / "artifacts" / "plant_b")
        outcome = run(document(database, organizationId="plant_b"), root)
        assert (outcome.exit_code, outcome.error["code"]) == (6, "ISOLATION_REFUSED")
        assert "plant_a" not in outcome.stdout_text

    def test_no_version_may_be_called_like_the_folder_of_slices(self, database: Database, tmp_path: Path) -> None:
        outcome = run(document(database) | {"version": "Slices"}, tmp_path / "root")
        assert (outcome.exit_code, outcome.error["code"]) == (6, "ISOLATION_REFUSED")

    def test_sqlite_that_compares_loosely_is_caught(self, tmp_path: Path, database: Database) -> None:
        rows = [(r[0], name, *r[1:]) for r in readings() for name in ("plant_a", "PLANT_A")]
        columns = (COLUMNS[0], "org", *COLUMNS[1:])
        file = write_sqlite(tmp_path / "a.sqlite", columns, rows, collation="COLLATE NOCASE")
        connection = {"driver": "sqlite", "database": str(file)}
        config = document(database, connection, schemaConfig={"organizationColumn": "org"})
        outcome = run(config, tmp_path / "root")
        assert (outcome.exit_code, outcome.error["code"]) == (6, "ISOLATION_REFUSED")
        assert not list((tmp_path / "root").rglob("*.parquet"))


def write_sqlite(path: Path, columns: Any, rows: list[Any], collation: str = "") -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE readings ({', '.join(columns).replace('org', 'org TEXT ' + collation)})")
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO readings VALUES ({marks})", [(row[0].isoformat(), *row[1:]) for row in rows]
        )
    return path
