"""A query that hangs does not keep a step from ending, and does not go on without it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.databases.server import Database
from tests.pipeline.backend import Json, environment
from tests.pipeline.small_plant import ORGANIZATION, write_json
from tests.pipeline.stopping import Ready, stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
CANCELLED_SECONDS = 5.0  # a message to the server, on a busy machine
COUNTING = "WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT max(i) FROM n"


def prepare(tmp_path: Path, settings: Json, ready: Ready, number: signal.Signals) -> None:
    """Start data_prep, stop it, and see that its version is free again."""
    root = tmp_path / "workspace"
    root.mkdir()
    config = {
        "organizationId": ORGANIZATION,
        "schemaConfig": {"continuousColumns": ["temperature"]},
        "scadaDbConfig": settings,
    }
    arguments = ["scripts/data_prep.py", str(write_json(tmp_path / "config.json", config))]
    stopped(arguments, environment(root), ready, number)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_postgresql_is_told_to_cancel_the_query(tmp_path: Path, database: Database, number: signal.Signals) -> None:
    database.execute("CREATE TABLE r (timestamp timestamptz, temperature float8, failure_indicator int)")
    database.execute("INSERT INTO r VALUES ('2025-01-01T00:00:00Z', 1, 0)")
    database.execute("CREATE VIEW readings AS SELECT r.* FROM r WHERE (SELECT pg_sleep(600)) IS NOT NULL")
    database.let_read("readings")
    prepare(tmp_path, database.settings(), lambda *_: bool(database.execute(SLEEPING)), number)
    deadline = time.monotonic() + CANCELLED_SECONDS
    while database.execute(SLEEPING) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert database.execute(SLEEPING) == []


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_sqlite(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "scada.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE r (timestamp TEXT, temperature REAL, failure_indicator INTEGER)")
    connection.execute("INSERT INTO r VALUES ('2025-01-01T00:00:00Z', 1, 0)")
    connection.execute(f"CREATE VIEW readings AS SELECT * FROM r WHERE ({COUNTING}) > 0")
    connection.commit()
    connection.close()
    open_since: list[float] = []

    def counting(process: subprocess.Popen[bytes], _: str) -> bool:
        """Only the slow query keeps the file open for so long."""
        if not is_open(file, process.pid):
            open_since.clear()
            return False
        open_since.append(time.monotonic())
        return open_since[-1] - open_since[0] > 0.5

    prepare(tmp_path, {"driver": "sqlite", "database": str(file), "table": "readings"}, counting, number)


def is_open(file: Path, pid: int) -> bool:
    found = False
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found |= link.readlink() == file
        except FileNotFoundError:  # closed meanwhile
            continue
    return found
