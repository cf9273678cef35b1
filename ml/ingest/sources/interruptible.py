"""Calls of a database driver that a request to stop can end.

A query that runs for minutes keeps its thread inside the driver, where Python handles no signal; and ADBC puts a
handler of its own in place of ours for SIGINT, but only in the main thread. So the driver works in another thread, and
the main thread, which waits for it, hears the signal and has the driver cancel the query, on the server as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import adbc_driver_manager
import pyarrow as pa

Result = TypeVar("Result")


class Cursor:
    """An ADBC cursor; raises what the driver raises, and whatever reaches the caller's thread meanwhile."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def set_options(self, **options: str | int) -> None:
        """Set options of the driver for the next statement."""
        self._cursor.adbc_statement.set_options(**options)

    def execute(self, statement: str, parameters: Sequence[object] | None = None) -> None:
        """Run a statement."""
        self._call(self._cursor.execute, statement, parameters)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows of the result."""
        return list(self._call(self._cursor.fetchall))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The result as it arrives."""
        reader = self._call(self._cursor.fetch_record_batch)
        while (batch := self._call(next, reader, None)) is not None:
            yield batch

    def _call(self, work: Callable[..., Any], *arguments: object) -> Any:
        return interruptibly(work, *arguments, cancel=self._cursor.adbc_cancel)


def interruptibly(work: Callable[..., Result], *arguments: object, cancel: Callable[[], None] | None = None) -> Result:
    """The result of ``work(*arguments)``, computed in another thread.

    An exception that reaches the caller's thread meanwhile calls `cancel`, waits for the work to end and is raised.
    """
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(work, *arguments)
        try:
            return future.result()
        except BaseException:
            if cancel is not None and not future.done():
                with suppress(adbc_driver_manager.Error):  # the query may have ended by itself
                    cancel()
            raise
