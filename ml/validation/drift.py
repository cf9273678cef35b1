"""Drift: whether a sensor still measures what it measured while the model was trained.

The baseline of a sensor is how many training rows lie in each tenth of its own values. A client counts its newest rows
in the same bins and compares the shares by the population stability index (N. Siddiqi, *Credit Risk Scorecards*,
2006), of which below 0.1 is read as stable and above 0.25 as another population.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import DataError
from ml.options.schema import SchemaConfig
from ml.windows.channels import Float32s, physical_samples

_DECILES = np.arange(1, 10) / 10
# An empty bin would make the index infinite; a share this small is "less than one row in ten thousand".
SMALLEST_SHARE = 1e-4


@dataclass(frozen=True)
class Baseline:
    """How a sensor's training rows are spread.

    Attributes
    ----------
    edges
        Increasing float32 values, as floats, in the sensor's unit; a counter's is its increase per sample.
    counts
        Rows per bin, one more than edges: bin i holds edges[i-1] < x <= edges[i], the last all above.
    missing
        Rows without a value.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int


def channel_baselines(frame: pd.DataFrame, schema: SchemaConfig, rows: NDArray[np.bool_]) -> dict[str, Baseline]:
    """The baseline of every sensor over the chosen rows of a grid frame, by name."""
    return {name: learn_baseline(values) for name, values in physical_samples(frame, schema, rows)}


def learn_baseline(values: Float32s) -> Baseline:
    """The spread of float32 `values`, shape (n_rows,), over the bins between their deciles.

    NaN is missing. Equal deciles are one edge. A sensor that never changes has a bin below its value, one at it and
    one above, so that any change of it shows.

    Examples
    --------
    >>> learn_baseline(np.arange(1, 11, dtype=np.float32)).counts
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    >>> learn_baseline(np.array([5, 5, np.nan], np.float32)).counts
    (0, 2, 0)
    """
    known = np.sort(values[~np.isnan(values)])
    edges = known
    if known.size:
        edges = np.unique(np.quantile(known, _DECILES, method="inverted_cdf"))
        if known[0] == known[-1]:
            edges = np.array([np.nextafter(known[0], np.float32(-np.inf)), known[0]])
    until = np.searchsorted(known, edges, side="right")
    counts = np.diff(until, prepend=0, append=known.size)
    return Baseline(tuple(edges.tolist()), tuple(counts.tolist()), int(values.size - known.size))


def bin_counts(values: Float32s, edges: Float32s) -> tuple[NDArray[np.int64], int]:
    """Values per bin, int64 (n_edges + 1,), and how many are NaN; bins as in `Baseline`."""
    known = values[~np.isnan(values)]
    bins = np.searchsorted(edges, known, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.int64), int(values.size - known.size)


def stability_index(baseline: Baseline, values: Float32s) -> float:
    """Population stability index of new float32 `values`, shape (n_rows,), against the baseline.

    Σ (aᵢ - eᵢ) ln(aᵢ / eᵢ) over the shares of new rows aᵢ and training rows eᵢ in each bin, missing values being a
    bin of their own; shares below 0.0001 count as that.

    Raises
    ------
    DataError
        If there are no rows on one of the sides.
    """
    counts, missing = bin_counts(values, np.array(baseline.edges, dtype=np.float32))
    actual = np.append(counts, missing).astype(np.float64)
    expected = np.append(baseline.counts, baseline.missing).astype(np.float64)
    if actual.sum() == 0 or expected.sum() == 0:
        raise DataError("drift needs at least one row of training and one new row")
    new = np.maximum(actual / actual.sum(), SMALLEST_SHARE)
    old = np.maximum(expected / expected.sum(), SMALLEST_SHARE)
    return float(((new - old) * np.log(new / old)).sum())
