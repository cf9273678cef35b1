"""Kernels of operating regimes: which one a row belongs to, and its sensors compared with what is normal there."""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def assign(
    values: Float32s, operating: Int64s, mean: Float64s, scale: Float64s, centroids: Float64s, member: Int64s
) -> None:
    """Write the number of the nearest centroid of each row, (n_rows,); the lowest on ties.

    Parameters
    ----------
    values
        (n_series, n_rows), of which the rows `operating` (m,) are standardised by `mean` and `scale` (m,).
    centroids
        (k, m). The member is k where an operating value is NaN.
    """
    count = centroids.shape[0]
    for t in range(member.size):
        best, nearest = np.inf, count
        for number in range(count):
            distance = 0.0
            for column in range(operating.size):
                apart = (np.float64(values[operating[column], t]) - mean[column]) / scale[column]
                apart -= centroids[number, column]
                distance += apart * apart
            if distance < best:  # False for NaN
                best, nearest = distance, number
        member[t] = nearest


@compiled
def normalise(
    values: Float32s, series: Int64s, targets: Int64s, mean: Float64s, scale: Float64s, member: Int64s
) -> None:
    """Write series z-scored within each row's regime to the target series of `values`, finite or NaN, never -0.

    `mean` and `scale` are (n_series, k + 1); the last column is for rows of no regime.
    """
    for k in range(series.size):
        source, target = values[series[k]], values[targets[k]]
        for t in range(member.size):
            z = np.float32((np.float64(source[t]) - mean[k, member[t]]) / scale[k, member[t]]) + np.float32(0.0)
            target[t] = z if abs(z) < np.inf else np.float32(np.nan)
