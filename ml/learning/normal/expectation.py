"""What sensors should show under the operating conditions, fitted on rows of normal operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from ml.arrays import Float64s, Int64s
from ml.export.graph.normal import Expectation

RIDGE = 1.0
_OUTER = 0.001  # share of operating values on each side that is clipped: a polynomial knows nothing beyond them
_TRIM = 0.05  # share of residuals on each side that a spread does not look at: the history may hold unknown failures
_LEAST_SPREAD = 1e-9
# The standard deviation of a normal distribution of which both tails are cut off.
_BOUND = NormalDist().inv_cdf(1 - _TRIM)
_TRIMMED = (1 - 2 * _BOUND * NormalDist().pdf(_BOUND) / (1 - 2 * _TRIM)) ** 0.5


def fit_expectation(
    values: Float64s, channels: Sequence[str], groups: Mapping[tuple[str, ...], Sequence[str]]
) -> tuple[Expectation, ...]:
    """Ridge regression of sensors on their operating columns.

    Parameters
    ----------
    values
        (n_rows, n_channels), NaN where missing; a sensor is fitted on the rows in which it and all its operating
        columns have a value.
    groups
        Operating columns -> the sensors that depend on them.
    """
    place = {name: at for at, name in enumerate(channels)}
    return tuple(
        _fitted(values, _positions(sensors, place), _positions(operating, place))
        for operating, sensors in groups.items()
    )


def trimmed_moments(values: Float64s) -> tuple[Float64s, Float64s]:
    """Centre and spread of each column, (n_columns,), without the outer twentieth on both sides; NaN is left out.

    The spread is that of a normal distribution with such a middle. Where the middle does not vary it is the standard
    deviation of all values; where these do not vary, or there are none, it is 0.
    """
    center, spread = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        known = values[:, column][~np.isnan(values[:, column])]
        if not len(known):
            continue
        low, high = np.quantile(known, [_TRIM, 1 - _TRIM])
        middle = known[(known >= low) & (known <= high)]
        center[column] = middle.mean()
        spread[column] = next((s for s in (middle.std() / _TRIMMED, known.std()) if s > 0), 0.0)
    return center, spread


def _positions(names: Sequence[str], place: Mapping[str, int]) -> Int64s:
    return np.array([place[name] for name in names], dtype=np.int64)


def _fitted(values: Float64s, sensors: Int64s, operating: Int64s) -> Expectation:
    given = values[:, operating]
    known = ~np.isnan(given).any(axis=1)
    given, readings = given[known], values[np.ix_(known, sensors)]
    empty = np.zeros(len(operating))
    low, high, mean, std = empty, empty, empty, np.ones(len(operating))
    if len(given) and len(operating):
        low, high = np.quantile(given, [_OUTER, 1 - _OUTER], axis=0)
        clipped = np.clip(given, low, high)
        mean, std = clipped.mean(axis=0), clipped.std(axis=0)
        std = np.where(std > _LEAST_SPREAD * np.abs(mean), std, 1.0)
    shape = Expectation(sensors, operating, low, high, mean, std, np.zeros((0, len(sensors))), np.zeros(len(sensors)))
    columns = shape.terms(given)
    terms = np.array(columns).reshape(len(columns), len(given)).T
    weights, intercept = np.zeros((terms.shape[1], len(sensors))), np.zeros(len(sensors))
    for at, reading in enumerate(readings.T):
        there = ~np.isnan(reading)
        if there.any():
            weights[:, at], intercept[at] = _ridge(terms[there], reading[there])
    return Expectation(sensors, operating, low, high, mean, std, weights, intercept)


def _ridge(terms: Float64s, reading: Float64s) -> tuple[Float64s, float]:
    center, level = terms.mean(axis=0), float(reading.mean())
    centered = terms - center
    gram = centered.T @ centered + RIDGE * np.eye(terms.shape[1])
    weights = np.linalg.solve(gram, centered.T @ (reading - level)) if terms.shape[1] else np.zeros(0)
    return weights, level - float(center @ weights)
