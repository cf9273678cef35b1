"""What the columns of labels in prepared data hold."""

from __future__ import annotations

STATUSES = ("labelled", "censored", "in_failure", "recovery", "unknown", "off")
"""Why a row has a label, or none; the last one is in data of organisations only that say when their machines run."""
MODES = "modes"
"""Column with the modes of failure of a failed row, as `ml.modes` writes them; empty on others."""


def status_names(*, with_off: bool) -> list[str]:
    """The statuses of data whose machines are off at times, or of which nobody says it."""
    return list(STATUSES if with_off else STATUSES[:-1])
