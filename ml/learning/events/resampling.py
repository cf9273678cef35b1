"""Bootstrap over groups of rows that say little about each other: which groups, how often drawn, and intervals.

Rows of one asset are not independent, so that drawing single rows would promise far too narrow intervals. Whole groups
are drawn instead, with replacement, as many as there are (the cluster bootstrap: Davison and Hinkley, Bootstrap Methods
and their Application, 1997, section 3.8), and intervals are percentiles (Efron, The Jackknife, the Bootstrap and Other
Resampling Plans, 1982).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Float64s, Int64s

ENOUGH_ASSETS = 10  # fewer groups make the bootstrap's standard error itself a guess
MOST_GROUPS = 1000  # more of them cost memory and change no interval visibly
SAMPLES = 1000  # percentiles at 2.5 % then rest on 25 samples a side
CONFIDENCE = 0.95
_STRETCHES = 20


def independent_groups(asset_id: pd.Series[Any]) -> Int64s:
    """Group of each row, (n_rows,), from 0: its asset, or its stretch of rows where there are few assets.

    With fewer than ten assets the rows, sorted by asset and time, are cut into 20 stretches. More than 1,000 assets
    are pooled into 1,000 groups.
    """
    codes, assets = pd.factorize(asset_id)
    if len(assets) >= ENOUGH_ASSETS:
        return np.asarray(codes, dtype=np.int64) % MOST_GROUPS
    return np.arange(len(codes)) * _STRETCHES // max(len(codes), 1)


def draw(n_groups: int, seed: int, samples: int = SAMPLES) -> Int64s:
    """How often each sample holds each group: (samples, n_groups), rows summing to `n_groups`."""
    if not n_groups:
        return np.zeros((samples, 0), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=samples)


def percentile_interval(values: Float64s, *, few_groups: int | None = None) -> tuple[float, float] | None:
    """The middle 95 % of the samples' values, (n_samples,), leaving NaN out; None if most samples are NaN.

    With `few_groups`, their number, the percentiles lie further out, as those of Student's t do beside the normal
    distribution's (Hesterberg, The American Statistician 69(4), 2015): means of few groups vary too little.
    """
    defined = values[~np.isnan(values)]
    if 2 * len(defined) <= len(values):
        return None
    tail = (1 - CONFIDENCE) / 2
    if few_groups is not None and few_groups > 1:
        from scipy.stats import norm, t

        tail = float(norm.cdf(t.ppf(tail, few_groups - 1) * np.sqrt(few_groups / (few_groups - 1))))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
