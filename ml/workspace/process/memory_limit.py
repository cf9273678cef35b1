"""A limit of the address space (``ulimit -v``) that the numerical libraries cannot live with, told before they load.

They do not fail in words of their own then: OpenBLAS sends SIGINT to the process or ends it, others do not find their
shared objects, or never return.
"""

from __future__ import annotations

import sys

from ml.errors import StorageError

LEAST_BYTES = 2 << 30  # on two CPUs training maps 2.7 GB and preparing data 1.9 GB, of which 0.4 and 0.2 GB are used
_MEGABYTE = 1 << 20


def refuse_small_address_space() -> None:
    """Raise StorageError if this process may map less than `LEAST_BYTES`."""
    limit = _limit()
    if limit is not None and limit < LEAST_BYTES:
        raise StorageError(
            f"not enough memory: this process is limited to {limit // _MEGABYTE:,} MB of address space (ulimit -v); "
            f"the libraries need at least {LEAST_BYTES // _MEGABYTE:,} MB",
            hint="raise the limit, or limit the memory that is used (a container's or systemd's limit) in its place",
        )


def _limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
