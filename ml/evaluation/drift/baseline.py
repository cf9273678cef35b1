"""Drift: whether a sensor still measures what it measured while the model was trained.

The baseline of a sensor is how many training rows lie in each tenth of its own values. A client counts its newest rows
in the same bins and compares the shares by the population stability index (N. Siddiqi, *Credit Risk Scorecards*,
2006), of which below 0.1 is read as stable and above 0.25 as another population. Beside it stands the
Kolmogorov-Smirnov distance: the largest difference between the two cumulative distributions, from 0 to 1. Its p-value
is left out, because it supposes independent rows and neighbouring rows of a machine are anything but.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.errors import DataError
from ml.export.metadata import ChannelBaseline

_DECILES = np.arange(1, 10) / 10
# An empty bin would make the index infinite; a share this small is "less than one row in ten thousand".
SMALLEST_SHARE = 1e-4
STABLE_BELOW, ANOTHER_ABOVE = 0.1, 0.25  # Siddiqi's reading of the index

Reading = Literal["stable", "moderate", "strong"]


def learn_baseline(values: Float32s) -> ChannelBaseline:
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
    return ChannelBaseline(edges=edges.tolist(), counts=counts.tolist(), missing=int(values.size - known.size))


def bin_counts(values: Float32s, edges: Float32s) -> tuple[Int64s, int]:
    """Values per bin, int64 (n_edges + 1,), and how many are NaN; bins as in `ChannelBaseline`."""
    known = values[~np.isnan(values)]
    bins = np.searchsorted(edges, known, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.int64), int(values.size - known.size)


def stability_index(baseline: ChannelBaseline, values: Float32s) -> float:
    """Population stability index of new float32 `values`, shape (n_rows,), against the baseline.

    Σ (aᵢ - eᵢ) ln(aᵢ / eᵢ) over the shares of new rows aᵢ and training rows eᵢ in each bin, missing values being a
    bin of their own; shares below 0.0001 count as that.

    Raises DataError if there are no rows on one of the sides.
    """
    counts, missing = bin_counts(values, np.array(baseline.edges, dtype=np.float32))
    actual = np.append(counts, missing).astype(np.float64)
    expected = np.append(baseline.counts, baseline.missing).astype(np.float64)
    if actual.sum() == 0 or expected.sum() == 0:
        raise DataError("drift needs at least one row of training and one new row")
    new = np.maximum(actual / actual.sum(), SMALLEST_SHARE)
    old = np.maximum(expected / expected.sum(), SMALLEST_SHARE)
    return float(((new - old) * np.log(new / old)).sum())


def reading_of(index: float) -> Reading:
    """What a population stability index says: below 0.1 stable, up to 0.25 moderate, above it strong drift."""
    if index < STABLE_BELOW:
        return "stable"
    return "strong" if index > ANOTHER_ABOVE else "moderate"


def binned_distance(baseline: ChannelBaseline, values: Float32s) -> float | None:
    """Kolmogorov-Smirnov distance of new values from the baseline, as far as its bins can tell: a lower bound.

    The distributions are compared at the edges only. Missing values are left out; None if a side has no others.

    Examples
    --------
    >>> binned_distance(learn_baseline(np.array([1, 1, 2, 2], np.float32)), np.array([2, 2, 3, np.nan], np.float32))
    0.5
    """
    counts, _ = bin_counts(values, np.array(baseline.edges, dtype=np.float32))
    actual, expected = counts.astype(np.float64), np.array(baseline.counts, dtype=np.float64)
    if actual.sum() == 0 or expected.sum() == 0:
        return None
    return float(np.abs(np.cumsum(actual) / actual.sum() - np.cumsum(expected) / expected.sum()).max())


def exact_distance(training: Float32s, values: Float32s) -> float | None:
    """Two-sample Kolmogorov-Smirnov distance (Smirnov, 1948) of two float32 columns; None if a side is all NaN.

    NaN is left out.

    Examples
    --------
    >>> exact_distance(np.array([1, 2, 3, 4], np.float32), np.array([3, 4, 5, np.nan], np.float32))
    0.5
    """
    old, new = (np.sort(column[~np.isnan(column)]) for column in (training, values))
    if not (old.size and new.size):
        return None
    both = np.concatenate([old, new])
    shares = (np.searchsorted(side, both, side="right") / side.size for side in (old, new))
    return float(np.abs(next(shares) - next(shares)).max())
