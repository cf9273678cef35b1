"""What a worker of an embedded cluster loads first: it has the step's standard streams, which carry JSON only."""

from __future__ import annotations

import os
from typing import Any


def dask_setup(worker: Any) -> None:  # noqa: ARG001
    """Send to nowhere what the worker or a library in it prints; errors of tasks reach the step all the same."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
