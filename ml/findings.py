"""What a successful result must not keep to itself: what was left out, guessed or mapped, and what looks wrong.

Findings stand under ``warnings`` in the JSON result of every step, in ``metrics.json``, and in the validation report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that whoever uses the result has to know.

    Attributes
    ----------
    code
        What kind of thing, in capitals, such as ``FEATURE_COLUMNS_UNKNOWN``; stable, for programs.
    message
        What was seen and what was done about it, in one or two sentences, for people. Never a secret.
    field
        The configuration key or column that it is about.
    hint
        What to do, if there is something to do.
    """

    code: str
    message: str
    field: str | None = None
    hint: str | None = None

    def to_json(self) -> dict[str, str]:
        """An entry of ``warnings``."""
        parts = {"code": self.code, "message": self.message, "field": self.field, "hint": self.hint}
        return {key: value for key, value in parts.items() if value is not None}


def distinct(warnings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each entry of ``warnings`` once, in the order of its first appearance."""
    entries = list(warnings)
    return [entry for at, entry in enumerate(entries) if entry not in entries[:at]]
