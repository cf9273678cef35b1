"""How much memory a running process and its children hold, looked at again and again from outside."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Self

import psutil

_EVERY_SECONDS = 0.1


class ResidentMemory:
    """Watches a process until the block ends. Memory that processes share, such as libraries, counts for each."""

    def __init__(self) -> None:
        self.own_peak = 0
        """Largest resident memory of the process itself, in bytes."""
        self.children_peak = 0
        """Largest sum of the resident memory of all its descendants at one moment, in bytes."""
        self.own_cpu_seconds = 0.0
        """CPU time of the process itself, without its descendants."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, pid: int) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, args=(psutil.Process(pid),), daemon=True)
        self._thread.start()

    def _watch(self, process: psutil.Process) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                self._look_at(process)

    def _look_at(self, process: psutil.Process) -> None:
        self.own_peak = max(self.own_peak, process.memory_info().rss)
        self.children_peak = max(self.children_peak, sum(_resident(each) for each in process.children(recursive=True)))
        times = process.cpu_times()
        self.own_cpu_seconds = max(self.own_cpu_seconds, times.user + times.system)


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0
