"""A configuration with a server of its own gets nobody else's password, and no file of another organisation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml.errors import EagleError
from ml.learning.search.storage import opened_storage
from ml.options.learning import TuningConfig
from tests.pipeline.backend import Json, Outcome, run_here
from tests.pipeline.fake_postgresql import fake_postgresql
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.watching import watched

SECRET = "victims-secret"
FILES = ("pgpass", "metrics.json", "service.conf")


@pytest.fixture
def victim(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The victim's folder, and secrets of the victim and of the operator where they may lie."""
    folder = root / "artifacts" / "plant_victim" / "v1"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"*:*:*:*:{SECRET}\n")
        (folder / name).chmod(0o600)
    secrets, home = root.parent / "secrets", root.parent / "home"
    (secrets / "plant_victim").mkdir(parents=True)
    (secrets / "plant_victim" / "scada").write_text(SECRET)
    home.mkdir()
    (home / ".pgpass").write_text(f"*:*:*:*:{SECRET}\n")
    (home / ".pgpass").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EAGLE_ML_SECRETS", str(secrets))
    for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "EAGLE_SECRET_plant_victim__SCADA"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("PGPASSFILE", str(folder / "pgpass"))
    return folder


def read_database(root: Path, **connection: object) -> Outcome:
    config = plant_config(root) | {"scadaDbConfig": {"table": "t", "database": "d", **connection}}
    return run_here("data_prep", write_json(root.parent / "config.json", config), root=root)


def search(root: Path, database: Path, **tuning: object) -> Outcome:
    config = plant_config(database, tuningConfig={"nTrials": 1, **tuning})
    return run_here("hyperparameter_tuning", write_json(root.parent / "config.json", config), root=root)


@pytest.mark.parametrize(
    "secret",
    [
        {"passwordEnv": "AWS_SECRET_ACCESS_KEY"},
        {"passwordEnv": "EAGLE_SECRET_plant_victim__SCADA"},
        {"passwordEnv": "PGPASSWORD"},
        {"passwordFile": "../plant_victim/scada"},
        {"passwordFile": "scada"},
        {"passwordFile": "/etc/hostname"},
    ],
    ids=str,
)
def test_no_other_secret_can_be_named(victim: Path, root: Path, secret: Json) -> None:
    with fake_postgresql() as server, watched(victim) as touched, watched(root.parent / "secrets/plant_victim") as read:
        outcome = read_database(root, host="127.0.0.1", port=server.port, user="u", sslmode="disable", **secret)
    assert (outcome.exit_code, server.connections, touched + read) == (2, 0, [])
    assert outcome.error["field"] == f"scadaDbConfig.{next(iter(secret))}"
    assert "<organizationId>" in outcome.error["hint"]
    assert SECRET not in outcome.stdout_text + outcome.stderr_text


@pytest.mark.parametrize("driver", ["postgresql", "sqlalchemy"])
@pytest.mark.parametrize("own", [None, "own-password"])
def test_libpq_sends_nothing_of_the_account(victim: Path, root: Path, driver: str, own: str | None) -> None:
    """PGPASSWORD, PGPASSFILE and .pgpass are the operator's; with no password given, none is sent."""
    if driver == "sqlalchemy":
        pytest.importorskip("psycopg")
    with fake_postgresql() as server, watched(victim) as touched, watched(root.parent / "home") as read:
        address = {"host": "127.0.0.1", "port": server.port, "user": "u"}
        if driver == "sqlalchemy":
            address = {"database": f"postgresql+psycopg://u@127.0.0.1:{server.port}/d"}
        outcome = read_database(root, driver=driver, password=own, **address)
    assert outcome.exit_code == 4, outcome.document
    assert server.connections > 0
    assert set(server.passwords) == ({own.encode()} if own else set())
    assert touched + read == []


@pytest.mark.parametrize("named", [None, "AWS_SECRET_ACCESS_KEY", "SCADA"])
def test_a_storage_gets_no_other_secret(victim: Path, root: Path, named: str | None) -> None:
    pytest.importorskip("psycopg")
    with fake_postgresql() as server, watched(victim) as touched, watched(root.parent / "home") as read:
        storage = {"storage": f"postgresql://u@127.0.0.1:{server.port}/d", "storagePasswordEnv": named}
        tuning = TuningConfig.model_validate(storage)
        with pytest.raises(EagleError) as refused, opened_storage(tuning, None, f"{ORGANIZATION}/v1/x"):
            pass
    assert refused.value.exit_code == (2 if named else 4)
    assert (server.connections > 0) == (named is None)
    assert server.passwords + touched + read == []


OPTIONS = [
    "p%61ssfile={victim}/pgpass",
    "sslmode=require&sslcert={victim}/metrics.json&sslkey={victim}/metrics.json",
    "sslmode=verify-ca&sslrootcert={victim}/metrics.json",
    "servicefile={victim}/service.conf&service=x",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_of_a_url_opens_a_file(victim: Path, root: Path, database: Path, option: str) -> None:
    query = option.format(victim=victim)
    with fake_postgresql() as server, watched(victim) as touched:
        url = f"//u@127.0.0.1:{server.port}/db?{query}"
        outcomes = [
            read_database(root, driver="sqlalchemy", database=f"postgresql+psycopg:{url}"),
            search(root, database, storage=f"postgresql:{url}"),
        ]
    assert (server.connections, touched) == (0, [])
    told = [(outcome.exit_code, outcome.error["field"]) for outcome in outcomes]
    assert told == [(2, "scadaDbConfig.database"), (2, "tuningConfig.storage")]


def test_a_password_in_an_address_is_stored_nowhere(root: Path, database: Path) -> None:
    canary = "Zm9v/YmFyQ2FuYXJ5"
    prepared = run_here("data_prep", write_json(root.parent / "config.json", plant_config(database)), root=root)
    assert prepared.exit_code == 0
    for connection in (
        {"driver": "sqlalchemy", "database": f"postgresql+psycopg://reader:{canary}@127.0.0.1:1/db"},
        {"driver": "postgresql", "database": f"postgresql://reader:{canary}@127.0.0.1:1/db"},
        {"driver": "postgresql", "database": "d", "host": f"reader:{canary}@127.0.0.1"},
    ):
        config = plant_config(database) | {"scadaDbConfig": {"table": "t", **connection}}
        for step in ("data_prep", "hyperparameter_tuning"):
            outcome = run_here(step, write_json(root.parent / "config.json", config), root=root)
            assert outcome.exit_code == 2
            assert outcome.error["field"] == (
                "scadaDbConfig.host" if "host" in connection else "scadaDbConfig.database"
            )
            assert canary not in outcome.stdout_text + outcome.stderr_text
    assert [file for file in root.rglob("*") if file.is_file() and canary.encode() in file.read_bytes()] == []


def test_a_short_password_leaves_the_result_whole(root: Path, database: Path) -> None:
    for password in ("version", "a", "preparedDataPath", "v1"):
        config = plant_config(database)
        config["scadaDbConfig"]["password"] = password
        outcome = run_here("data_prep", write_json(root.parent / "config.json", config), root=root)
        assert outcome.document["version"] == "v1"
        assert any(os.path.exists(value) for value in outcome.document.values() if isinstance(value, str))  # noqa: PTH110
