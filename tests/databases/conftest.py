from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases.server import Database, Server, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL server for all tests; a test that stops it starts it again."""
    with running_server() as running:
        yield running


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A new, empty database with a role that may only read what it is given."""
    with server.database() as created:
        yield created
