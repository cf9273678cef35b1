"""SIGTERM and SIGINT end a step within two seconds, wherever it is.

The first signal raises StoppedError in the main thread, so that everything is cleaned up as after any error. Python
runs a signal handler only between two of its own instructions; a thread watches for the case that the main thread is
inside native code, or waits for somebody to read a pipe, and does not come back in time. (Native code that also keeps
Python's global lock for that long stops the watcher as well; none of the libraries here does.)
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

from ml.errors import StoppedError
from ml.workspace.process.full_pipes import has_room

GRACE_SECONDS = 1.5
"""How long the main thread may take to clean up before the process is ended."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WHILE_LOADING: dict[signal.Signals, Any] = {}
"""Handlers of `stop_while_loading`; once a step has run they must not come back, as it has told its result."""


def stopped_error(signal_number: int) -> StoppedError:
    """The error that a signal is reported as."""
    return StoppedError(f"stopped by {signal.Signals(signal_number).name}", hint="run the step again to finish it")


def stopped_exit_code(signal_number: int) -> int:
    """Exit status of a process ended by a signal, as shells report it."""
    return 128 + signal_number


def stop_while_loading(step: str) -> None:
    """Until a `StopGuard` takes over, let SIGTERM and SIGINT end this process with the result that a step would give.

    A signal that is ignored stays ignored.
    """

    def end(number: int, _: FrameType | None) -> None:
        error = stopped_error(number).to_json()
        told = {1: {"status": "FAILED", "step": step, "error": error}, 2: {"event": "error", **error}}
        for descriptor, document in told.items():
            with suppress(OSError):  # closed
                if has_room(descriptor):  # else nobody reads
                    os.write(descriptor, json.dumps(document).encode() + b"\n")
        os._exit(stopped_exit_code(number))

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
            _WHILE_LOADING[number] = end


class StopGuard:
    """Installs the signal handlers for its block and puts back what was there before.

    In place of early answers it puts the system's default: the result has been told by then.

    Outside the main thread, where Python allows no handlers, it does nothing. A signal that was ignored when the
    step was started (``nohup``, a shell's ``&``) stays ignored.

    Parameters
    ----------
    on_stuck
        Called with the signal's number, in another thread, if the block has not ended `GRACE_SECONDS` after the
        signal. It is expected to end the process. None: wait as long as it takes.
    """

    def __init__(self, on_stuck: Callable[[int], None] | None) -> None:
        self._on_stuck = on_stuck
        self._armed = False
        self._finished = threading.Event()
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_wakeup = -1
        self._pipe: tuple[int, int] | None = None
        self._watcher: threading.Thread | None = None
        self.signal_number: int | None = None
        """The first signal that came, if one came."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._start_watcher()
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    previous = signal.signal(number, self._handle)
                    is_early = previous is _WHILE_LOADING.get(number)
                    self._previous[number] = signal.SIG_DFL if is_early else previous
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._pipe is not None and self._watcher is not None:
            signal.set_wakeup_fd(self._previous_wakeup)
            os.close(self._pipe[1])  # the watcher reads the end of the pipe
            self._watcher.join()
            os.close(self._pipe[0])

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this block a signal raises StoppedError; outside it, it is only noted."""
        self._armed = True
        try:
            if self.signal_number is not None:  # it came before the block
                raise stopped_error(self.signal_number)
            yield
        finally:
            self._armed = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.signal_number is not None:
            return  # a second signal must not interrupt the cleaning up
        self.signal_number = number
        if self._armed:
            raise stopped_error(number)

    def _start_watcher(self) -> None:
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)  # Python insists: a signal handler must never wait
        self._previous_wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._watcher = threading.Thread(target=self._watch, name="stop-watcher", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        """Python's C code writes a signal's number into the pipe at once, even while the main thread is stuck."""
        if self._pipe is None:
            return
        with suppress(OSError):
            while received := os.read(self._pipe[0], 64):
                numbers = [number for number in received if number in self._previous]
                if numbers and not self._finished.wait(GRACE_SECONDS) and self._on_stuck is not None:
                    self._on_stuck(numbers[0])
