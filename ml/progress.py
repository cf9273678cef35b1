"""How long work tells its caller how far it is."""

from collections.abc import Callable

ProgressCallback = Callable[[float, float, str], None]
"""Called with units done, units in total, and what is being done. What it raises ends the work."""


def silent(done: float, total: float, message: str) -> None:
    """Report to nobody."""
