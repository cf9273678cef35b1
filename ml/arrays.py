"""Names of arrays that every room uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
"""Which rows, features or cells: true for those that are meant; the shape is said where it is used."""
