"""What the columns of labels in prepared data hold."""

from __future__ import annotations

STATUSES = ("labelled", "censored", "in_failure", "recovery", "unknown")
"""Why a row has a label, or none."""
MODES = "modes"
"""Column with the modes of failure of a failed row, as `ml.modes` writes them; empty on others."""
