"""Memory that was freed and may be needed by others."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return what this process has freed to the operating system, where the C library can be asked to (glibc).

    It would otherwise keep hundreds of megabytes in small pieces after LightGBM has looked at a sample of the rows.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library
        return
    trim(0)
