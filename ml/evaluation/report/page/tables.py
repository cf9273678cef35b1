"""Tables as the page shows them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Table:
    """Records as text: a heading per column, a row per record, the record's name first."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    """Records that are in the JSON report only."""


def breakable(name: str) -> Markup:
    """A name, escaped, that a narrow screen may break after underscores rather than anywhere."""
    return Markup(re.sub("(_+)", r"\1<wbr>", str(escape(name))))  # escaping puts no underscore in
