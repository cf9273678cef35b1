"""Sums over the members of a training group, for what LightGBM does not sum itself.

LightGBM evaluates metrics on each machine's own validation rows, so that machines would stop at different rounds and
wait for each other for ever. Members therefore add up the parts of the metric, and all see the same value.
"""

from __future__ import annotations

import hmac
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from ml.arrays import Float64s

Address = tuple[str, int]

_RETRY_SECONDS = 0.1
_RANK_BYTES = 4
TOKEN_BYTES = 32


class Exchange:
    """A star: the member of rank 0 listens, and sends the sum back to the others.

    Parameters
    ----------
    address
        Where rank 0 listens: an address of its worker, no other.
    rank, members
        This member's number, and how many there are.
    token
        `TOKEN_BYTES` that the members share; others that connect are turned away.
    seconds
        How long to wait for the others before giving up with TimeoutError.
    """

    def __init__(self, address: Address, rank: int, members: int, token: bytes, seconds: float) -> None:
        self._address, self._rank, self._members = address, rank, members
        self._token, self._seconds = token, seconds
        self._peers: list[socket.socket] = []

    def __enter__(self) -> Self:
        if self._rank == 0:
            self._peers = self._accepted()
        else:
            self._peers = [self._connected()]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for peer in self._peers:
            peer.close()

    def sum(self, values: Sequence[float] | Float64s) -> Float64s:
        """The sum over all members, added in the order of ranks: the same bits for everyone.

        Raises OSError if a member is gone, or does not answer in time.
        """
        own = np.ascontiguousarray(values, dtype=np.float64)
        if self._rank == 0:
            total = own.copy()
            for peer in self._peers:
                total += np.frombuffer(_received(peer, own.nbytes), dtype=np.float64)
            for peer in self._peers:
                peer.sendall(total.tobytes())
            return total
        self._peers[0].sendall(own.tobytes())
        return np.frombuffer(_received(self._peers[0], own.nbytes), dtype=np.float64)

    def _accepted(self) -> list[socket.socket]:
        """The others, in the order of their ranks."""
        peers: dict[int, socket.socket] = {}
        deadline = time.monotonic() + self._seconds
        with socket.create_server(self._address, backlog=self._members) as listener:
            while len(peers) < self._members - 1:
                listener.settimeout(max(0.001, deadline - time.monotonic()))
                peer, _ = listener.accept()
                peer.settimeout(self._seconds)
                try:
                    greeting = _received(peer, TOKEN_BYTES + _RANK_BYTES)
                except OSError:
                    peer.close()
                    continue
                if not hmac.compare_digest(greeting[:TOKEN_BYTES], self._token):
                    peer.close()
                    continue
                peers[int.from_bytes(greeting[TOKEN_BYTES:])] = peer
        return [peers[rank] for rank in sorted(peers)]

    def _connected(self) -> socket.socket:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                peer = socket.create_connection(self._address, timeout=self._seconds)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
                continue
            peer.sendall(self._token + self._rank.to_bytes(_RANK_BYTES))
            return peer


def _received(peer: socket.socket, size: int) -> bytes:
    parts, missing = [], size
    while missing:
        part = peer.recv(min(missing, 1 << 20))
        if not part:
            raise ConnectionResetError("a member of the training group is gone")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
