"""Standard output that carries one JSON document and nothing else, whatever libraries print."""

from __future__ import annotations

import json
import os
import select
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import IO, Any, Self, TextIO

from ml.workspace.process.full_pipes import write_line
from ml.workspace.process.printable import printable

_STDOUT, _STDERR = 1, 2
_PATIENCE_SECONDS = 0.3
_captured: ContextVar[bool] = ContextVar("captured", default=False)
"""Whether the results of steps go to another command of this process, which tells what came of them."""
_ERROR_PATIENCE_SECONDS = 1.0


class ResultStream:
    """Sends everything that is printed inside its block to stderr, C libraries included, and one result to stdout.

    Where ``sys.stdout`` has been replaced (tests, notebooks), the result goes to the replacement.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._python_stdout: TextIO | None = None
        self._real_stdout: int | None = None
        self.is_process = False
        """Whether the result goes to the process's own standard output."""
        self.status: int | None = None
        """The exit status that goes with the result, once one has been written to its end."""

    def __enter__(self) -> Self:
        self._python_stdout = sys.stdout
        self.is_process = _file_descriptor(sys.stdout) == _STDOUT
        _flush(sys.stdout)
        with suppress(OSError):  # closed by whoever started us
            self._real_stdout = os.dup(_STDOUT)
            _redirect_stdout()
        sys.stdout = sys.stderr
        return self

    def __exit__(self, *_: object) -> None:
        _flush(sys.stderr)
        _flush(self._python_stdout)
        _flush_c_libraries()
        if self._python_stdout is not None:
            sys.stdout = self._python_stdout
        if self._real_stdout is not None:
            os.dup2(self._real_stdout, _STDOUT)
            os.close(self._real_stdout)

    @property
    def on_terminal(self) -> bool:
        """Whether the result is shown to a person."""
        return self.is_process and self._real_stdout is not None and os.isatty(self._real_stdout)

    def tell_error(self, error: Mapping[str, Any]) -> None:
        """Write `error` to stderr as its last line: ``{"event": "error", ...}``, or in words where people read it.

        Callers that read stderr alone find the reason there. What libraries have printed and not yet sent comes before.
        """
        _flush_c_libraries()
        with suppress(OSError, ValueError, AttributeError):  # stderr is closed or missing
            on_terminal = sys.stderr.isatty()
            if on_terminal and (self.on_terminal or _captured.get()):
                return  # the result beside it says the same
            words = printable(f"{error['code']}: {error['message']}")
            line = words if on_terminal else json.dumps(_event(error))
            write_line(sys.stderr, line, patience=_ERROR_PATIENCE_SECONDS)

    def tell_error_without_waiting(self, error: Mapping[str, Any]) -> None:
        """As `tell_error`, for a process that ends at once: where nobody empties the pipe, the line is left out."""
        line = json.dumps(_event(error)).encode() + b"\n"
        with suppress(OSError):
            poll = select.poll()
            poll.register(_STDERR, select.POLLOUT)
            if len(line) <= select.PIPE_BUF and any(event & select.POLLOUT for _, event in poll.poll(0)):
                os.write(_STDERR, line)

    def write(self, document: Mapping[str, Any], status: int, for_people: str | None = None) -> None:
        """Write `document`, or on a terminal `for_people` if given, unless there is a result already."""
        with self._lock:
            if self._started:
                return
            self._started = True
            with suppress(OSError, ValueError):  # nobody reads any more; the exit status still tells
                self._send(document, for_people)
            self.status = status

    def write_soon(self, document: Mapping[str, Any], status: int) -> int:
        """As `write`, but wait for a reader only for a moment; gives the exit status that goes with what was written.

        For a thread that is about to end the process, which must not depend on anybody who reads.
        """
        writer = threading.Thread(target=self.write, args=(document, status), daemon=True)
        writer.start()
        writer.join(_PATIENCE_SECONDS)
        return status if self.status is None else self.status

    def _send(self, document: Mapping[str, Any], for_people: str | None) -> None:
        if self.is_process and self._real_stdout is not None:
            text = _json_text(document, 2 if self.on_terminal else None)
            if self.on_terminal and for_people:
                text = printable(for_people, keep="\n")
            rest = text.encode(errors="backslashreplace")
            while rest:
                rest = rest[os.write(self._real_stdout, rest) :]
        elif self._python_stdout is not None:
            self._python_stdout.write(_json_text(document, None))
            self._python_stdout.flush()


@contextmanager
def captured_result() -> Iterator[IO[bytes]]:
    """Have what a step in this process writes to standard output in a file, which is left open for reading."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - read after the block
    before, descriptor = sys.stdout, os.dup(_STDOUT)
    os.dup2(file.fileno(), _STDOUT)
    token = _captured.set(True)
    try:
        with os.fdopen(_STDOUT, "w", encoding="utf-8", closefd=False) as sys.stdout:
            yield file
    finally:
        _captured.reset(token)
        sys.stdout = before
        os.dup2(descriptor, _STDOUT)
        os.close(descriptor)


def _event(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"event": "error", **error}


def _json_text(document: Mapping[str, Any], indent: int | None) -> str:
    """One line, or indented; what JSON has no type for (dates) becomes text, because the result must not fail."""
    return json.dumps(document, indent=indent, allow_nan=False, default=str) + "\n"


def _redirect_stdout() -> None:
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # stderr is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDOUT)
        os.close(nowhere)


def _file_descriptor(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError, AttributeError):
        return None


def _flush(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError, AttributeError):
        if stream is not None:
            stream.flush()


def _flush_c_libraries() -> None:
    """What C code has printed waits in a buffer of its own, and would follow the result when the process ends."""
    import ctypes

    with suppress(OSError, AttributeError, TypeError):  # a system without a C library to open by no name
        ctypes.CDLL(None).fflush(None)
