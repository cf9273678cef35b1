"""Which rows a report speaks of: where they come from, how many there are, and their digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows that the verdict rests on."""

    source: str
    """Where they come from, in words: the held-out part, or the name of a file."""
    rows: int
    positives: int
    assets: int
    events: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The description under its JSON names."""
        return {
            "source": self.source,
            "rows": self.rows,
            "positives": self.positives,
            "events": self.events,
            "assets": self.assets,
            "from": self.start,
            "to": self.end,
            "digest": self.digest,
        }
