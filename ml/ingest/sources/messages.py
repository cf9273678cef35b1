"""What several kinds of sources say alike."""

from __future__ import annotations

from collections.abc import Sequence

from ml.errors import EagleError, MissingColumnError
from ml.options.base import missing_name, nearest

_SHOWN = 10  # names that a message lists


def missing_column(where: str, name: str, available: Sequence[str], field: str) -> EagleError:
    """The error about a column that a source does not have."""
    guess = nearest(name, available)
    listing = f"available: {listed(available)}"
    return missing_name(
        MissingColumnError,
        name,
        f'{where} has no column "{name}"',
        field=field,
        hint=f'did you mean "{guess}"? {listing}' if guess else listing,
    )


def listed(names: Sequence[str]) -> str:
    """The first names of a list."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(f'"{name}"' for name in names[:_SHOWN]) + more
