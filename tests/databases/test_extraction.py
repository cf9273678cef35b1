"""Extraction from a real server, by the step as the backend spawns it: killed, resumed, extended, disturbed."""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.databases.history import document
from tests.databases.server import Database, Server
from tests.pipeline.backend import ML, Json, Outcome, environment, run_here, spawn
from tests.pipeline.small_plant import write_json

DAYS = 20
ORGANIZATION = "plant_a"
SENSORS = ["temperature", "pressure", "flow", "speed"]
KILLS = 10


@pytest.fixture(scope="module")
def history(server: Server) -> Iterator[Database]:
    """Twenty days of two pumps, a row every half minute, in no particular order within an hour."""
    with server.database() as database:
        create_readings(database)
        yield database


@pytest.fixture
def plant(server: Server, history: Database) -> Iterator[Database]:
    """A copy of the history that may be changed."""
    with server.database(template=history.name) as database:
        database.let_read("readings")
        yield database


def create_readings(database: Database) -> None:
    database.execute(
        f"""
        CREATE TABLE readings AS
        SELECT '2024-01-01'::timestamptz + i * interval '30 s' AS created_timestamp, 'P-' || a AS asset,
            {
            ", ".join(
                f"round((50 + 10 * sin(i * a / {50 + n}.0))::numeric, 3)::float8 AS {name}"
                for n, name in enumerate(SENSORS)
            )
        },
            (i % 997 = 0) AS alarm, (i % 2880 BETWEEN 1440 AND 1500)::int AS failure_indicator
        FROM generate_series(0, {DAYS * 2880 - 1}) i, generate_series(1, 2) a
        ORDER BY i / 120, md5(i::text || a);
        CREATE INDEX ON readings (created_timestamp);
        ANALYZE readings
        """
    )


def configured(database: Database, connection: Json | None = None, **sections: Any) -> Json:
    connection = {"sliceSeconds": 86_400, **(connection or {})}
    schema = {"continuousColumns": SENSORS, **sections.pop("schemaConfig", {})}
    data = {"samplingIntervalSeconds": 60, **sections.pop("dataConfig", {})}
    return document(database, connection, schemaConfig=schema, dataConfig=data, **sections)


def run(config: Json, root: Path, **options: Any) -> Outcome:
    root.mkdir(exist_ok=True)
    return spawn("data_prep", write_json(root.parent / f"{root.name}.json", config), root=root, **options)


def succeed(config: Json, root: Path) -> Json:
    root.mkdir(exist_ok=True)
    outcome = run_here("data_prep", write_json(root.parent / f"{root.name}.json", config), root=root)
    assert outcome.exit_code == 0, outcome.document
    return outcome.document


def fail(config: Json, root: Path, exit_code: int, code: str, words: str, **options: Any) -> Json:
    outcome = run(config, root, **options)
    assert (outcome.exit_code, outcome.error["code"]) == (exit_code, code), outcome.document
    assert words in outcome.error["message"]
    assert not list(root.rglob("prepared_data.parquet"))
    assert not list(root.rglob(".staging*"))
    return outcome.error


def manifests(root: Path) -> list[Path]:
    return sorted(root.glob(f"artifacts/{ORGANIZATION}/slices/*/*/manifest.json"))


def slices(root: Path) -> dict[tuple[int, int], tuple[int, int]]:
    """Every complete slice: its range -> inode and time of its file, which a second fetch would change."""
    found = {}
    for manifest in manifests(root):
        for one in json.loads(manifest.read_text())["slices"]:
            status = (manifest.parent / f"{one['start']}_{one['end']}.parquet").stat()
            found[one["start"], one["end"]] = (status.st_ino, status.st_mtime_ns)
    return found


def prepared(root: Path) -> tuple[bytes, bytes]:
    folder = root / "artifacts" / ORGANIZATION / "v1"
    return (folder / "prepared_data.parquet").read_bytes(), (folder / "data_summary.json").read_bytes()


@contextmanager
def once(condition: Callable[[], bool], action: Callable[[], object]) -> Iterator[None]:
    """Do `action` in the background as soon as `condition` holds."""
    over, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            if condition():
                action()
                done.set()
                return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert done.is_set(), "the moment for the disturbance never came"


def test_killed_at_ten_random_moments_it_goes_on_where_it_stopped(plant: Database, tmp_path: Path) -> None:
    undisturbed, root = tmp_path / "undisturbed", tmp_path / "killed"
    halves = configured(plant, {"sliceSeconds": 43_200})
    succeed(halves, undisturbed)
    assert len(slices(undisturbed)) == 2 * DAYS
    root.mkdir()
    file = write_json(tmp_path / "config.json", halves)
    rng = random.Random(20)
    complete: dict[tuple[int, int], tuple[int, int]] = {}
    for _ in range(KILLS):
        goal = len(complete) + rng.randint(1, 2)
        kill_in_the_middle(file, root, lambda: len(slices(root)) >= goal, rng.uniform(0, 0.03))  # noqa: B023
        now = slices(root)
        assert {key: now[key] for key in complete} == complete, "a complete slice was fetched again"
        complete = now
        assert not list(root.rglob("prepared_data.parquet"))
    assert KILLS <= len(complete) < 2 * DAYS
    succeed(halves, root)
    now = slices(root)
    assert {key: now[key] for key in complete} == complete
    assert now.keys() == slices(undisturbed).keys()
    assert prepared(root) == prepared(undisturbed)


def kill_in_the_middle(file: Path, root: Path, moment: Callable[[], bool], pause: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "scripts/data_prep.py", file],
        cwd=ML,
        env=environment(root),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not moment():
        time.sleep(0.001)
    time.sleep(pause)
    process.kill()
    assert process.wait() == -9, "it ended before it could be killed"


def test_a_longer_range_fetches_only_what_is_new(plant: Database, tmp_path: Path) -> None:
    root = tmp_path / "root"
    early = {"startDate": "2024-01-05T06:00:00Z", "endDate": "2024-01-10T00:00:00Z"}
    succeed(configured(plant, dataRange=early), root)
    first = slices(root)
    assert len(first) == 5
    succeed(configured(plant, dataRange={"startDate": "2024-01-03T00:00:00Z"}), root)
    second = slices(root)
    assert {key: second[key] for key in first} == first
    edges = sorted(second)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))
    assert len(second) == 5 + 3 + (DAYS - 9)
    succeed(configured(plant, dataRange=early), root)
    assert slices(root) == second
    alone = tmp_path / "alone"
    succeed(configured(plant, dataRange=early), alone)
    assert prepared(root) == prepared(alone)


def test_late_and_new_rows_are_fetched_and_no_others(plant: Database, tmp_path: Path) -> None:
    root = tmp_path / "root"
    rows = succeed(configured(plant), root)["rows"]
    before = slices(root)
    plant.execute("INSERT INTO readings SELECT created_timestamp + interval '7 s', 'P-9', 1, 1, 1, 1, false, 0 "
                  "FROM readings WHERE created_timestamp = '2024-01-03 12:00' LIMIT 1")  # fmt: skip
    plant.execute("INSERT INTO readings SELECT created_timestamp + interval '1 day', asset, 2, 2, 2, 2, false, 0 "
                  "FROM readings WHERE created_timestamp >= '2024-01-20' AND asset = 'P-1'")  # fmt: skip
    plant.execute("DELETE FROM readings WHERE created_timestamp = '2024-01-07 00:00:30'")
    assert succeed(configured(plant), root)["rows"] == rows + 1440 + 1
    after = slices(root)
    assert len(after) == DAYS + 1
    assert [(key[0] // 86_400_000_000) % 19723 for key in before if before[key] != after[key]] == [2, 6]


def test_another_mapping_or_schema_starts_anew(plant: Database, tmp_path: Path) -> None:
    root = tmp_path / "root"
    succeed(configured(plant), root)
    (first,) = manifests(root)
    fewer = {"continuousColumns": ["temperature"]}
    succeed(configured(plant, schemaConfig=fewer), root)
    (second,) = manifests(root)
    mapped = {"continuousColumns": ["heat"], "columnMapping": {"temperature": "heat"}}
    succeed(configured(plant, schemaConfig=mapped), root)
    (third,) = manifests(root)
    assert len({first, second, third}) == 3
    plant.execute("ALTER TABLE readings ALTER temperature TYPE numeric")
    succeed(configured(plant, schemaConfig=mapped), root)
    assert manifests(root) not in ([first], [second], [third])


def test_another_version_uses_the_same_slices_and_a_damaged_one_is_fetched_again(
    plant: Database, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    succeed(configured(plant), root)
    before, expected = slices(root), prepared(root)
    succeed(configured(plant) | {"version": "v2"}, root)
    assert slices(root) == before
    damaged = sorted(manifests(root)[0].parent.glob("*.parquet"))[3]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    outcome = run(configured(plant), root)
    assert outcome.exit_code == 0
    assert "are damaged; they are fetched again" in outcome.stderr_text
    assert prepared(root) == expected


class TestDisturbances:
    """Each is one JSON error with its exit code; nothing complete is lost, and the next run succeeds."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "root"

    def recovers(self, plant: Database, root: Path, kept: dict[Any, Any], config: Json | None = None) -> None:
        succeed(config or configured(plant), root)
        now = slices(root)
        assert {key: now[key] for key in kept} == kept
        assert len(now) == DAYS

    def test_the_server_stops_in_the_middle(self, plant: Database, server: Server, root: Path) -> None:
        with once(lambda: len(slices(root)) >= 3, server.stop):
            fail(configured(plant), root, 4, "SOURCE_UNAVAILABLE", "the database")
        kept = slices(root)
        assert 3 <= len(kept) < DAYS
        fail(configured(plant), root, 4, "SOURCE_UNAVAILABLE", "cannot be reached")
        server.start()
        self.recovers(plant, root, kept)

    def test_a_wrong_password(self, plant: Database, root: Path) -> None:
        wrong = configured(plant, {"password": "canary-password"})
        outcome = fail(wrong, root, 4, "SOURCE_UNAVAILABLE", "password authentication failed")
        assert "canary-password" not in json.dumps(outcome)
        self.recovers(plant, root, {})

    def test_a_missing_table(self, plant: Database, root: Path) -> None:
        error = fail(configured(plant, {"table": "reading"}), root, 4, "SOURCE_UNAVAILABLE", 'no table "reading"')
        assert "readings" in error["hint"]
        self.recovers(plant, root, {})

    def test_a_missing_column(self, plant: Database, root: Path) -> None:
        columns = {"continuousColumns": [*SENSORS, "presure"]}
        error = fail(configured(plant, schemaConfig=columns), root, 3, "COLUMN_MISSING", '"presure"')
        assert "pressure" in error["hint"]
        self.recovers(plant, root, {})

    def test_revoked_in_the_middle(self, plant: Database, root: Path) -> None:
        revoke = f"REVOKE SELECT ON readings FROM {plant.reader}"
        with once(lambda: len(slices(root)) >= 3, lambda: plant.execute(revoke)):
            error = fail(configured(plant), root, 4, "SOURCE_UNAVAILABLE", "permission denied")
        assert "SELECT" in error["hint"]
        kept = slices(root)
        assert 3 <= len(kept) < DAYS
        plant.let_read("readings")
        self.recovers(plant, root, kept)

    def test_a_type_changes_between_slices(self, plant: Database, root: Path) -> None:
        change = "ALTER TABLE readings ALTER flow TYPE text"
        with once(lambda: len(slices(root)) >= 3, lambda: plant.execute(change)):
            fail(
                configured(plant), root, 3, "DATA_INVALID", "double precision when reading began and has the type text"
            )
        self.recovers(plant, root, {})

    def test_an_empty_range(self, plant: Database, root: Path) -> None:
        later = configured(plant, dataRange={"startDate": "2031-01-01T00:00:00Z"})
        error = fail(later, root, 3, "NO_ROWS", "no usable rows")
        assert error["hint"] == "it covers 2024-01-01T00:00:00Z to 2024-01-20T23:59:30Z"
        self.recovers(plant, root, {})

    def test_a_file_that_may_not_grow(self, plant: Database, root: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
        try:
            fail(configured(plant), root, 4, "STORAGE_FAILED", "cannot be written")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.recovers(plant, root, {})

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system; the limit above needs none")
    def test_a_full_disk(self, plant: Database, root: Path) -> None:
        root.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root], check=False, capture_output=True
        )
        if mounted.returncode != 0:
            pytest.skip("this system lets nobody mount; the limit above shows the same")
        try:
            fail(configured(plant), root, 4, "STORAGE_FAILED", "the disk is full")
            kept = slices(root)
            assert 0 < len(kept) < DAYS
            subprocess.run(["mount", "-o", "remount,size=50m", root], check=True)
            self.recovers(plant, root, kept)
        finally:
            subprocess.run(["umount", root], check=True)
            shutil.rmtree(root)
