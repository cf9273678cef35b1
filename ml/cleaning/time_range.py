"""A range of instants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimeRange:
    """Instants ``start <= time < end`` in microseconds since the epoch; None is open."""

    start: int | None = None
    end: int | None = None
