"""Numbers, shares, times and names in sentences, and what a sentence may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ml.findings import Finding
from ml.options.base import first_of

LISTED = 12  # assets or sensors that one sentence names
_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))

Told = Iterator[str | Finding]
"""Sentences that say what there is, and findings that say what is wrong or odd."""


def sentence(told: str | Finding) -> str:
    """A finding with its hint as one sentence."""
    if isinstance(told, str):
        return told
    return told.message if told.hint is None else f"{told.message.rstrip('.')}; {told.hint}."


def names_of(names: Iterable[str]) -> str:
    """The first names of a list."""
    return first_of(names, LISTED)


def percent(share: float) -> str:
    """A share as people read it; what is not quite nothing or not quite everything does not look so."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %"


def duration(seconds: int) -> str:
    """Seconds in the largest unit of which there are two."""
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds} s"
