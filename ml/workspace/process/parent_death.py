"""A process that must not outlive the one that started it.

The backend leaves without ending the steps that it has started. Nobody would read their results, and a training that
goes on for hours would keep the version locked. So a step that was started as a process looks for its parent every half
second, and stops as after SIGTERM once that has gone. It goes on if somebody has said that it should: by
``EAGLE_ML_KEEP_RUNNING=1``, by ``nohup`` (which ignores SIGHUP), or by ``setsid`` (which makes it its own session).
A step that the first process of a container or a service manager has started has a parent that does not end.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import stat
import sys
import threading
from typing import Self

KEEP_RUNNING = "EAGLE_ML_KEEP_RUNNING"
"""Environment variable: anything but "", "0", "false" and "no" lets a step go on without its parent."""

STARTED_BY = os.getppid()
"""The process that started this one, as soon as one of ours could ask."""

_POLL_SECONDS = 0.5
_NO = ("", "0", "false", "no")
_INIT = 1
_STREAMS = (1, 2)
_PR_SET_PDEATHSIG = 1  # prctl(2)

_log = logging.getLogger(__name__)


def end_with(parent: int) -> None:
    """Have the system kill this process when the thread that started it ends; leave at once if it has ended already.

    Only Linux can; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


class ParentWatch:
    """Sends this process SIGTERM once the process that started it has gone.

    Parameters
    ----------
    enabled
        Whether to watch at all: not where a step is called within somebody else's process.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and not _is_to_keep_running()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._enabled:
            threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        gone = _left_at_once()
        parent = os.getppid()
        while not gone:
            if self._ended.wait(_POLL_SECONDS):
                return
            gone = os.getppid() != parent
        _log.warning("the process that started this one is gone; stopping. %s=1 would let it go on", KEEP_RUNNING)
        os.kill(os.getpid(), signal.SIGTERM)


def _is_to_keep_running() -> bool:
    told = os.environ.get(KEEP_RUNNING, "").lower() not in _NO
    return told or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or os.getsid(0) == os.getpid()


def _left_at_once() -> bool:
    """Whether the parent has ended while this process was being started, and left nobody who reads what it writes.

    A shell's ``( ... & )`` ends as early, but leaves a terminal or a file to write to.
    """
    parent = os.getppid()
    if parent == STARTED_BY and parent != _INIT:
        return False
    return all(_is_unread(descriptor) for descriptor in _STREAMS)


def _is_unread(descriptor: int) -> bool:
    """Whether it is a pipe or a socket of which the other end is closed."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors and hang-ups are told unasked
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
