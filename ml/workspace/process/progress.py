"""Progress of a step on stderr: a bar for people, JSON lines for programs.

A program that reads the lines hears something at least every few seconds, so that silence means that the step hangs.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TextIO

from ml.workspace.process.full_pipes import write_line
from ml.workspace.process.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

SILENCE_SECONDS = 5.0
_REPEAT_SHARE = 0.9  # repeat a little before the silence gets too long
_ESTIMATED_FROM = 0.1  # share of the work from which on its speed is known well enough
_QUIET_SHARE = 0.2  # ordinary updates come at most this often, in shares of the longest silence


class _State(NamedTuple):
    done: float
    total: float
    message: str


class Progress:
    """Tells how far a step is.

    Parameters
    ----------
    step
        Name of the step.
    stream
        Where to write. Default: ``sys.stderr``. On a terminal a bar is drawn; otherwise each line is
        ``{"event": "progress", "step", "done", "total", "etaSeconds", "message"?}``.
    interval
        Longest silence in seconds while the progress is open.

    Use it as a context manager, or call `start` and `close`. An instance may be called like `update`.
    """

    def __init__(self, step: str, stream: TextIO | None = None, interval: float = SILENCE_SECONDS) -> None:
        self._step = step
        self._stream = stream if stream is not None else sys.stderr
        self._interval = interval
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._heartbeat: threading.Thread | None = None
        self._state: _State | None = None
        self._phase_start = (0.0, 0.0)  # done and time when the present kind of work was first reported
        self._is_steady = False
        self._last_write = -math.inf
        self._bar: tuple[RichProgress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Self:
        """Begin to repeat the last state whenever nothing new is reported for a while."""
        if self._heartbeat is None and not self._is_terminal():
            self._heartbeat = threading.Thread(target=self._repeat, name="progress", daemon=True)
            self._heartbeat.start()
        return self

    def close(self) -> None:
        """Stop repeating, and take the bar away: the result follows."""
        self._closed.set()
        if self._heartbeat is not None:
            self._heartbeat.join()
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    def update(self, done: float, total: float, message: str = "") -> None:
        """Report that `done` of `total` units are done; `message` says what is being done."""
        with self._lock:
            last, self._state = self._state, _State(done, total, message)
            if last is None or total != last.total or done < last.done:
                self._phase_start, self._is_steady = (done, time.monotonic()), True
            elif _kind(message) != _kind(last.message):
                self._is_steady = False  # other work goes at another speed
            if self._is_terminal():
                self._draw(self._state)
            elif self._is_news(self._state, last):
                self._write_line(self._state)

    __call__ = update

    def _is_news(self, state: _State, last: _State | None) -> bool:
        if last is None or state.message != last.message:
            return True
        if state.done >= state.total and state != last:
            return True
        return time.monotonic() - self._last_write >= self._interval * _QUIET_SHARE

    def _repeat(self) -> None:
        longest = self._interval * _REPEAT_SHARE
        wait = longest
        while not self._closed.wait(wait):
            with self._lock:
                if time.monotonic() - self._last_write >= longest:
                    self._write_line(self._state or _State(0, 0, ""))
                wait = max(0.0, self._last_write + longest - time.monotonic())

    def _write_line(self, state: _State) -> None:
        line: dict[str, Any] = {
            "event": "progress",
            "step": self._step,
            "done": state.done,
            "total": state.total,
            "etaSeconds": self._eta_seconds(state),
        }
        if state.message:
            line["message"] = state.message
        self._last_write = time.monotonic()
        write_line(self._stream, json.dumps(line))  # or nobody reads, and the step goes on

    def _eta_seconds(self, state: _State) -> int | None:
        done_at_start, started = self._phase_start
        done, all_of_it = state.done - done_at_start, state.total - done_at_start
        if not self._is_steady or done <= 0 or done < _ESTIMATED_FROM * all_of_it:
            return None
        return round((all_of_it - done) * (time.monotonic() - started) / done)

    def _draw(self, state: _State) -> None:
        if self._bar is None:
            self._bar = _new_bar(self._stream, self._step)
        bar, task = self._bar
        total = state.total if state.done < state.total else None  # what is left to do then has no measure
        bar.update(task, completed=state.done, total=total, message=printable(state.message))

    def _is_terminal(self) -> bool:
        with suppress(AttributeError, ValueError):
            return self._stream.isatty()
        return False


def _kind(message: str) -> str:
    """What is being done, whatever numbers stand in the message."""
    return re.sub(r"[\d.,]+", "", message)


def _new_bar(stream: TextIO, step: str) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn(escape(step)),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
        console=Console(file=stream),
        transient=True,
    )
    task = bar.add_task(step, total=None, message="")
    bar.start()
    return bar, task
