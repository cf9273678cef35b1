"""A look-alike of PostgreSQL on the loopback interface that asks for passwords in clear and keeps them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_ENCRYPTION = (80877103, 80877104)  # requests for TLS and GSSAPI
_REFUSED = b"SFATAL\0C28P01\0Mno\0\0"


@dataclass
class FakePostgresql:
    """What clients said, and where."""

    port: int
    passwords: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextmanager
def fake_postgresql() -> Iterator[FakePostgresql]:
    """The server while the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = FakePostgresql(listener.getsockname()[1])
        threading.Thread(target=_serve, args=(listener, server), daemon=True).start()
        yield server


def _serve(listener: socket.socket, server: FakePostgresql) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            client, _ = listener.accept()
            server.connections += 1
            with client, suppress(OSError, struct.error):
                _talk(client, server)


def _talk(client: socket.socket, server: FakePostgresql) -> None:
    while struct.unpack(">I", _message(client)[:4])[0] in _ENCRYPTION:
        client.sendall(b"N")
    client.sendall(b"R" + struct.pack(">II", 8, 3))  # the password in clear, please
    client.recv(1)
    server.passwords.append(_message(client).rstrip(b"\0"))
    client.sendall(b"E" + struct.pack(">I", len(_REFUSED) + 4) + _REFUSED)


def _message(client: socket.socket) -> bytes:
    length = struct.unpack(">I", client.recv(4))[0] - 4
    return client.recv(length)
