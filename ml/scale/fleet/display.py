"""How far a fleet is, on stderr: a live table for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self, TextIO

from ml.scale.fleet.task import Outcome
from ml.workspace.process.printable import printable
from ml.workspace.process.progress import Progress

if TYPE_CHECKING:
    from rich.table import Table

STEP = "fleet"
_TOLD = ("organizationId", "version", "step", "done", "total", "message")


def display_for(total: int, stream: TextIO | None = None) -> Board | Lines:
    """The display that suits `stream`, stderr by default, for a fleet of `total` organisations.

    Either is a context manager; progress may come from any thread.
    """
    stream = stream if stream is not None else sys.stderr
    return Board(total, stream) if stream.isatty() else Lines(total, stream)


class Lines:
    """JSON lines: ``{"event": "organization", "organizationId", "version", "state", ...}`` and the steps' own form.

    ``state`` is ``running`` with the step and how far it is, then one of the states of `Outcome`. Beside them there
    is a ``{"event": "progress", "step": "fleet", "done", "total", ...}`` at least every five seconds.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._stream = stream
        self._total = total
        self._ended = 0
        self._progress = Progress(STEP, stream)

    def __enter__(self) -> Self:
        self._progress.start()
        self._progress.update(0, self._total, "organisations")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def on_progress(self, event: dict[str, Any]) -> None:
        """Write a line."""
        self._write({"state": "running"} | {key: event.get(key) for key in _TOLD})

    def on_outcome(self, outcome: Outcome) -> None:
        """Write a line, and one for the whole fleet."""
        row = outcome.to_json()
        self._write({key: row[key] for key in ("organizationId", "version", "state", "reason")})
        self._ended += 1
        self._progress.update(self._ended, self._total, "organisations")

    def _write(self, event: dict[str, Any]) -> None:
        try:
            self._stream.write(json.dumps({"event": "organization"} | event) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more; the fleet goes on
            return


class Board:
    """A table of the organisations at work, redrawn in place, under a line that counts the ended ones."""

    def __init__(self, total: int, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._total = total
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], dict[str, Any]] = {}
        self._ended: Counter[str] = Counter()
        self._live = Live(console=Console(file=stream), get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_progress(self, event: dict[str, Any]) -> None:
        """Show the organisation as running."""
        with self._lock:
            self._running[event["organizationId"], event["version"]] = event

    def on_outcome(self, outcome: Outcome) -> None:
        """Count the organisation, and take it off the table."""
        with self._lock:
            self._running.pop((outcome.organization_id, outcome.version), None)
            self._ended[outcome.state] += 1

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            running, ended = list(self._running.values()), dict(self._ended)
        counts = " · ".join(f"{state} {count}" for state, count in sorted(ended.items()))
        table = Table(
            title=Text(f"{sum(ended.values())} of {self._total} organisations" + (f": {counts}" * bool(counts)))
        )
        for heading in ("organisation", "version", "step", "done", ""):
            table.add_column(heading)
        for event in running:
            share = f"{event['done'] / event['total']:.0%}" if event["total"] else ""
            cells = (event["organizationId"], event["version"], event["step"], share, event.get("message") or "")
            table.add_row(*(Text(printable(str(cell))) for cell in cells))  # as text: nothing in it is markup
        return table
