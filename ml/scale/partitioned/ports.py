"""Ports for the members of a training group."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_LOWEST, _HIGHEST = 20_000, 32_000
"""Below the range from which systems take ports for outgoing connections: they stay free until members listen."""


def free_ports(count: int) -> list[int]:
    """Different ports that nothing on this machine listens on, drawn at random: other workers of it draw, too."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(_LOWEST, _HIGHEST), _HIGHEST - _LOWEST):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no port from {_LOWEST} to {_HIGHEST} is free")
