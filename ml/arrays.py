"""Names of arrays that every room uses; the shape is said where they are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
"""Which rows, features or cells: true for those that are meant."""
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]


def spread(mask: Bools, most: int) -> Bools:
    """At most so many of the rows that `mask` holds, at even distances; all of them where there are no more."""
    chosen = np.flatnonzero(mask)
    if len(chosen) <= most:
        return mask
    thinned = np.zeros_like(mask)
    thinned[chosen[np.linspace(0, len(chosen) - 1, most).astype(np.int64)]] = True
    return thinned
