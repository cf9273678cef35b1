"""Where log messages of a step go: all of them to its log file, warnings to stderr as well, secrets nowhere."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType

from ml.workspace.files import FILE_MODE, make_folder, plain_storage_errors
from ml.workspace.process.full_pipes import write_line
from ml.workspace.process.printable import printable
from ml.workspace.process.redaction import Redactor
from ml.workspace.safe_open import open_file

_LOGGERS = ("ml", "py.warnings")
_OPEN_LOG: ContextVar[Path | None] = ContextVar("open_log", default=None)
_PATIENCE_SECONDS = 1.0  # with whoever reads stderr; the log and the result have the warning as well


@contextmanager
def warnings_on_stderr(redactor: Redactor) -> Iterator[None]:
    """Show warnings and errors on stderr: one line of JSON each, or plain text on a terminal; never a traceback.

    Python's own warnings become log messages as well.
    """
    show = warnings.showwarning
    warnings.showwarning = _log_warning
    try:
        with _attached(_StderrHandler(redactor)):
            yield
    finally:
        warnings.showwarning = show


@contextmanager
def step_log(file: Path, redactor: Redactor) -> Iterator[None]:
    """Append every message, Python warnings and tracebacks included, to `file`, with times in UTC.

    Raises StorageError if the log cannot be opened.
    """
    make_folder(file.parent)
    with plain_storage_errors(file.name):
        descriptor = open_file(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as stream:
        handler = _FileHandler(stream)
        handler.setFormatter(_RedactingFormatter(redactor))
        before = _OPEN_LOG.set(file)
        try:
            with _attached(handler):
                yield
        finally:
            _OPEN_LOG.reset(before)


def log_unexpected(identity: str, error: BaseException, redactor: Redactor) -> Path | None:
    """Log what nobody foresaw, with its traceback, and return the file; None if none can be written.

    Where no step's log is open, that is a new file in the folder for temporary files, which only the user can read.
    """
    log = logging.getLogger(__name__)
    if (file := _OPEN_LOG.get()) is not None:
        log.error("unexpected error %s", identity, exc_info=error)
        return file
    with suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix="eagle-ml-", suffix=".log")
        record = log.makeRecord(log.name, logging.ERROR, "", 0, f"unexpected error {identity}", (), _exc_info(error))
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(_RedactingFormatter(redactor).format(record) + "\n")
        return Path(name)
    return None


def _exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return type(error), error, error.__traceback__


class _RedactingFormatter(logging.Formatter):
    """Formats in UTC, a line for a message; redacts the finished text, so that tracebacks are covered, too."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return printable(self._redactor.text(super().format(record)), keep="\n")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is the library's
        return printable(self._redactor.text(super().formatMessage(record)))


class _FileHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Goes on in silence if the disk is full: the step itself will say so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - the name is the library's
        return


class _StderrHandler(logging.Handler):
    """Warnings for whoever started the step; looks up ``sys.stderr`` late so that a progress bar may wrap it."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(logging.WARNING)
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        message = self._redactor.text(record.getMessage()).strip()
        with suppress(OSError, ValueError, AttributeError):  # stderr is closed or missing
            is_terminal = sys.stderr.isatty()
            event = printable(message) if is_terminal else json.dumps({"event": "warning", "message": message})
            write_line(sys.stderr, event, patience=_PATIENCE_SECONDS)


def _log_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """As `logging.captureWarnings` does, without the path of the file that warns: stderr tells no paths."""
    logging.getLogger("py.warnings").warning("%s: %s", category.__name__, message)


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.close()
