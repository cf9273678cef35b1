"""How kernels are compiled: to machine code kept on disk, without the GIL, with IEEE division."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

log = logging.getLogger(__name__)


def _sources() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


_SOURCES = _sources()


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on its first call, or read what an earlier process compiled.

    Division by zero gives an infinity or NaN as in numpy; a check would keep loops off the vector units. Sums are not
    reordered and products not fused into sums, so a formula has the same bits on every processor.
    """
    dispatcher = njit(nogil=True, error_model="numpy")(kernel)
    try:
        dispatcher.enable_caching()
    except RuntimeError as reason:  # neither beside the source nor in the user's cache folder may a file be written
        log.info("kernels are compiled anew by every process: %s", reason)
    else:
        # numba would look at the kernel's own file only, and go on using its old code when a kernel it calls changed.
        dispatcher._cache._cache_file._source_stamp = _SOURCES
    return dispatcher  # type: ignore[no-any-return]
