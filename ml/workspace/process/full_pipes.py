"""Whether a stream takes a line now: nobody need read what a step tells on the way, and no step waits for a reader."""

from __future__ import annotations

import select
from contextlib import suppress
from typing import TextIO


def write_line(stream: TextIO | None, line: str, *, patience: float = 0.0) -> None:
    """Write `line` and its end, unless the stream is closed or a pipe stays full for `patience` seconds."""
    with suppress(OSError, ValueError, AttributeError):
        if stream is not None and has_room(stream, patience):
            stream.write(f"{line}\n")
            stream.flush()


def has_room(stream: TextIO | int, patience: float = 0.0) -> bool:
    """Whether a page fits into the stream or descriptor without waiting longer than `patience` seconds."""
    try:
        descriptor = stream if isinstance(stream, int) else stream.fileno()
    except (OSError, ValueError, AttributeError):
        return True  # no pipe: a notebook's or a test's own stream
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(round(1000 * patience)))
