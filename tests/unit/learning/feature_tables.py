"""Small feature matrices with missing values and a learnable label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Table = tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]


def feature_table(n_rows: int = 600, n_features: int = 5, *, seed: int = 0) -> Table:
    """Label 1 (about one in five) where feature 0 is high, with noise; a tenth of all cells is missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    y = (X[:, 0] + rng.normal(scale=0.5, size=n_rows) > 1).astype(np.int8)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


def names(n_features: int = 5) -> list[str]:
    """Feature names with the characters that LightGBM refuses."""
    return [f'sensor "{number}": [°C], {{raw}}' for number in range(n_features)]
