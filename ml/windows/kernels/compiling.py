"""How kernels are compiled: to machine code kept on disk, without the GIL, with IEEE division."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config as numba_config
from numba import njit

from ml.private_folders import private_folder

log = logging.getLogger(__name__)


def _sources() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> Path | None:
    """Where kernels are kept; said once where that is nowhere, or not where it should be."""
    folder, reason = private_folder("numba")
    hint = "Let NUMBA_CACHE_DIR name a folder that belongs to this user, mode 0700"
    if folder is None:
        log.warning("every process compiles its kernels anew, which takes a minute or two: %s. %s", reason, hint)
    elif reason:
        log.warning("compiled kernels are kept in the temporary folder only: %s. %s", reason, hint)
    return folder


_SOURCES = _sources()
_CACHE = _cache_folder()


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on its first call, or read what an earlier process compiled.

    Division by zero gives an infinity or NaN as in numpy; a check would keep loops off the vector units. Sums are not
    reordered and products not fused into sums, so a formula has the same bits on every processor.
    """
    dispatcher = njit(nogil=True, error_model="numpy")(kernel)
    if _CACHE is not None:
        _keep(dispatcher, str(_CACHE))
    return dispatcher  # type: ignore[no-any-return]


def _keep(dispatcher: Any, folder: str) -> None:
    elsewhere, numba_config.CACHE_DIR = numba_config.CACHE_DIR, folder  # for this kernel; a notebook has its own
    try:
        dispatcher.enable_caching()
    except RuntimeError as reason:
        log.info("a kernel is not kept: %s", reason)
    else:
        # numba would look at the kernel's own file only, and go on using its old code when a kernel it calls changed.
        dispatcher._cache._cache_file._source_stamp = _SOURCES
    finally:
        numba_config.CACHE_DIR = elsewhere
