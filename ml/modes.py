"""Modes of failure of a row or an event, as one text: their names side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

SEPARATOR = "|"
OTHER = "other"
"""The mode that modes with few failures are counted as."""


def join_modes(names: Iterable[str]) -> str:
    """Names in one text; a separator inside a name is written as a stroke.

    >>> join_modes(["comp1", "comp4"])
    'comp1|comp4'
    """
    return SEPARATOR.join(name.replace(SEPARATOR, "/") for name in names)


def split_modes(text: str) -> list[str]:
    """The names in a text of `join_modes`; none in an empty one.

    >>> split_modes("comp1|comp4"), split_modes("")
    (['comp1', 'comp4'], [])
    """
    return text.split(SEPARATOR) if text else []


def count_modes(texts: Iterable[str]) -> dict[str, int]:
    """How many of some events have each mode, by name; an event of several modes counts for each.

    >>> count_modes(["b", "a|b"])
    {'a': 1, 'b': 2}
    """
    counts = Counter(name for text in texts for name in split_modes(text))
    return dict(sorted(counts.items()))
