"""Addresses of databases: what is taken, and that nothing which could hold a password, or name a file, is."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.options.access.database_url import OPTIONS, UrlError, parse_url

CANARY = "Zm9v/YmFyQ2FuYXJ5"


def configuration(section: str, **keys: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {"organizationId": "plant", "schemaConfig": {"continuousColumns": ["x"]}, section: keys}
    )


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("mysql+pymysql://reader@host/plant", ("mysql+pymysql", "reader", "host", None, "plant", {})),
        (
            "postgresql://u%40tenant@db.example:5432/a%20b?sslmode=verify-full&connect_timeout=5",
            ("postgresql", "u@tenant", "db.example", 5432, "a b", {"sslmode": "verify-full", "connect_timeout": "5"}),
        ),
        ("postgresql:///trials", ("postgresql", None, None, None, "trials", {})),
        ("postgresql://u@[::1]:5432/trials", ("postgresql", "u", "::1", 5432, "trials", {})),
        (
            "mssql+pyodbc://u@server\\instance/plant?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes",
            (
                *("mssql+pyodbc", "u", "server\\instance", None, "plant"),
                {"driver": "ODBC Driver 18 for SQL Server", "Encrypt": "yes"},
            ),
        ),
        ("oracle+oracledb://u@h:1521/?service_name=x", ("oracle+oracledb", "u", "h", 1521, "", {"service_name": "x"})),
        ("klingon://u@h/Größe_1", ("klingon", "u", "h", None, "Größe_1", {})),
    ],
)  # fmt: skip
def test_what_is_taken(url: str, parts: tuple[Any, ...]) -> None:
    found = parse_url(url)
    assert (found.scheme, found.user, found.host, found.port, found.database, found.options) == parts
    if found.dialect == "postgresql":
        assert configuration("tuningConfig", storage=url).tuning_config.storage == url
    assert configuration("scadaDbConfig", driver="sqlalchemy", database=url).scada_db_config is not None


NAMES_OF_FILES = [
    "passfile", "p%61ssfile", "sslcert", "sslkey", "sslrootcert", "ssl%72ootcert", "SSLCERT", "sslcrl", "sslcrldir",
    "service", "servicefile", "host", "hostaddr", "options", "plugin", "ssl_ca", "ssl_key", "read_default_file",
    "unix_socket", "local_infile", "allow_local_infile", "odbc_connect", "dsn", "wallet_location", "config_dir",
    "Trusted_Connection", "krbsrvname", "sslpassword", "user", "database", "sslmode ", "sslmode\0",
]  # fmt: skip


@pytest.mark.parametrize("option", NAMES_OF_FILES)
@pytest.mark.parametrize("dialect", [*OPTIONS, "klingon"])
def test_no_option_names_a_file_or_a_login(dialect: str, option: str) -> None:
    for query in (f"?{option}=/victim/pgpass", f"?sslmode=require&{option}=x", f"?{option}"):
        with pytest.raises(UrlError):
            parse_url(f"{dialect}://u@127.0.0.1:5432/db{query}")


@pytest.mark.parametrize("value", ["/x.so", "{/x.so}", "a;PWD=x", "%2Fx.so", "a=b", "..\\x", "", "x\n"])
def test_no_value_of_an_option_names_a_file(value: str) -> None:
    with pytest.raises(UrlError):
        parse_url(f"mssql://u@h/db?driver={value}")
    with pytest.raises(UrlError):
        parse_url("mssql://u@h/db?driver=a&driver=b")


WITH_PASSWORD = [
    f"postgresql+psycopg://reader:{CANARY}@127.0.0.1:1/db",
    f"postgresql://reader:{CANARY}@127.0.0.1/db",
    "postgresql://reader:12/CANARY@127.0.0.1/db",
    "postgresql://reader:12/CANARY%40host/db",
    "postgresql://reader:12/CANARY?x@127.0.0.1/db",
    "postgresql://reader:1#CANARY@127.0.0.1/db",
    "postgresql://reader:?CANARY@127.0.0.1/db",
    "postgresql://reader%3ACANARY@127.0.0.1/db",
    "postgresql://reader:CANARY%2F@127.0.0.1/db",
    "postgresql://:CANARY@127.0.0.1/db",
    "postgresql://reader:@CANARY@127.0.0.1/db",
    "postgresql://reader:[CANARY]@127.0.0.1/db",
    "postgresql://[reader:CANARY]@127.0.0.1/db",
    "postgresql://reader\\:CANARY@127.0.0.1/db",
    "postgresql:reader:CANARY@127.0.0.1/db",
    "postgresql:/reader:CANARY@127.0.0.1/db",
    "postgresql:///reader:CANARY@127.0.0.1/db",
    "postgresql://127.0.0.1/db?password=CANARY",
    "postgresql://127.0.0.1/db?p%61ssword=CANARY",
    "postgresql://127.0.0.1/db?PWD=CANARY",
    "postgresql://127.0.0.1/db?sslmode=CANARY@",
    "postgresql://127.0.0.1/db#CANARY:x@",
    "postgresql://127.0.0.1:CANARY/db",
    "reader:CANARY@127.0.0.1/db",
    "host=127.0.0.1 password=CANARY",
    "//reader:CANARY@127.0.0.1/db",
]


@pytest.mark.parametrize("url", WITH_PASSWORD)
@pytest.mark.parametrize(
    ("section", "key", "others"),
    [
        ("scadaDbConfig", "database", {"driver": "sqlalchemy"}),
        ("scadaDbConfig", "database", {"driver": "postgresql"}),
        ("scadaDbConfig", "host", {"database": "d"}),
        ("scadaDbConfig", "user", {"database": "d"}),
        ("tuningConfig", "storage", {}),
    ],
)
def test_a_password_is_refused_where_it_stands(url: str, section: str, key: str, others: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration(section, **others, **{key: url})
    assert (caught.value.exit_code, caught.value.field) == (2, f"{section}.{key}")
    told = f"{caught.value.to_json()} {caught.value.__cause__}"
    assert not any(part in told for part in ("CANARY", "Canary", CANARY))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", "reader:HostCanary@127.0.0.1"), ("host", "reader:HostCanary"), ("host", "127.0.0.1:5432"),
        ("host", "/var/run/HostCanary"), ("host", "@abstract"), ("host", "a b"), ("host", "h/HostCanary"),
        ("user", "reader:HostCanary"), ("user", "reader/HostCanary@h"), ("table", "mysql://a:HostCanary@h/d"),
        ("sslRootCert", "https://a:HostCanary@h/ca.pem"), ("database", "HostCanary=1"), ("database", "a@HostCanary"),
    ],
)  # fmt: skip
def test_an_address_where_a_name_belongs(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration("scadaDbConfig", **{"database": "d", key: value})
    assert caught.value.field == f"scadaDbConfig.{key}"
    assert "HostCanary" not in str(caught.value.to_json())


@pytest.mark.parametrize("path", ["postgresql://a:Canary@h/d", "https://a:Canary@h/x.csv", "postgresql:a:Canary@h"])
def test_a_path_is_no_url(path: str) -> None:
    for section, keys in (("dataSource", {"path": path}), ("scadaDbConfig", {"driver": "sqlite", "database": path})):
        with pytest.raises(ConfigError, match="must not be a URL") as caught:
            configuration(section, **keys)
        assert "Canary" not in str(caught.value.to_json())


@pytest.mark.parametrize(
    "keys",
    [
        {"host": "scada-db.example", "user": "DOMAIN\\reader"}, {"host": "10.0.0.1"}, {"host": "::1"},
        {"host": "fe80::1%eth0"}, {"host": "a.example,b.example"}, {"user": "reader@server"}, {"user": "Käthe"},
        {"database": "plant-1 (old)".replace("(", "$").replace(")", "#")}, {"table": "schema.table"}, {"host": ""},
        {"driver": "sqlite", "database": "C:\\data\\a@b.sqlite"}, {"driver": "sqlite", "database": "/srv/a:b@c/x.db"},
        {"sslRootCert": "C:/ca.pem"}, {"sslRootCert": "system"},
    ],
)  # fmt: skip
def test_names_that_servers_roles_and_files_have(keys: dict[str, str]) -> None:
    configuration("scadaDbConfig", **{"database": "d", **keys})


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab:/@?#[]%&=.3\\ ;'\"\0é"), max_size=30))
def test_libraries_understand_the_same(text: str) -> None:
    """What is taken has no password for SQLAlchemy either, and the same server."""
    import sqlalchemy

    try:
        ours = parse_url(f"postgresql://{text}")
    except UrlError:
        return
    theirs = sqlalchemy.make_url(f"postgresql://{text}")
    assert (theirs.username or None, theirs.password, theirs.host or None) == (ours.user, None, ours.host)
    assert (theirs.port, theirs.database or "", dict(theirs.query)) == (ours.port, ours.database, ours.options)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/d" + "?" * 900_000,
        "mysql://h/d" + "?pass" * 180_000,
        "mysql://" + "a:" * 450_000,
        "a" * 900_000 + "://",
        "a:" + "/" * 900_000,
        "//" + "@" * 900_000,
        "mysql://h/d?" + "charset=a&" * 90_000,
        "%" * 900_000,
    ],
    ids=range(8),
)
def test_time_is_linear(url: str) -> None:
    for section, keys in (
        ("scadaDbConfig", {"driver": "sqlalchemy", "database": url}),
        ("scadaDbConfig", {"driver": "sqlite", "database": url}),
        ("scadaDbConfig", {"database": "d", "host": url}),
        ("scadaDbConfig", {"database": "d", "passwordFile": url}),
        ("tuningConfig", {"storage": url}),
    ):
        began = time.process_time()
        with (
            pytest.raises(ConfigError) if "driver" not in keys or keys["driver"] != "sqlite" else suppress(ConfigError)
        ):
            configuration(section, **keys)
        assert time.process_time() - began < 2
