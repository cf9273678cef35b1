"""Rows made to break an inexact conversion: values on thresholds, beside them, and at the ends of float32.

Random rows almost never lie on a threshold, but sensor readings of limited resolution do, all the time.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.export.graph.scaling import StoredScaling, scaling_constants
from ml.export.session import batches
from ml.export.trees.ensemble import TreeEnsemble

_FLOAT32 = np.finfo(np.float32)
_EDGES = np.array(
    [0.0, 1.0, _FLOAT32.smallest_subnormal, 1e-40, _FLOAT32.tiny, 1e-35, 1e-6, 1e6, 2.5e8, _FLOAT32.max, np.inf],
    dtype=np.float32,
)
_SIGNED_EDGES = np.concatenate([_EDGES, -_EDGES, [np.float32(np.nan)]])
_BESIDE_CATEGORIES = np.array([-1.0, -0.5, 2.0**31, 2.0**32, 2.0**63, -(2.0**31)], dtype=np.float32)
_LARGE = np.float32(1e30)  # scikit-learn looks for infinities by a float32 sum, which must not overflow either
_CELLS_AT_ONCE = 4_000_000  # bounds the memory beside the result to about 100 MB


def adversarial_rows(
    ensemble: TreeEnsemble,
    n_rows: int,
    *,
    seed: int,
    base_rows: Float32s | None = None,
    scaling: StoredScaling | None = None,
) -> Float32s:
    """Float32 rows, (n_rows, n_features), that probe the decisions of `ensemble`; the same for the same seed.

    Every second row is steered to one split, all splits in turn, with the split's feature at the float32 nearest to
    the threshold, its lower neighbour, its upper neighbour, or NaN; on the way there it passes each split as narrowly
    as float32 allows. So ``8 * n_splits`` rows try every split in all these ways, except NaN where an earlier split on
    the same feature sends it elsewhere. At a split by categories, a category that it asks for stands in the place of
    the threshold. The other cells hold thresholds and categories of their feature and their neighbours, NaN, plus and
    minus infinity and zero, denormals, and very small and very large numbers. Where the training library refuses
    infinities, all values are kept within 1e30.

    Parameters
    ----------
    base_rows
        Real rows; given these, a random share of each row's cells is taken from one of them.
    scaling
        Scaler in front of the trees; the rows are then what goes into the scaler.
    """
    rng = np.random.default_rng(seed)
    pools = _Pools(ensemble)
    probes = _Probes(ensemble, rng)
    rows = np.empty((n_rows, ensemble.n_features), dtype=np.float32)
    for part in batches(n_rows, max(1, _CELLS_AT_ONCE // ensemble.columns.n_columns)):
        chunk = pools.draw(part.stop - part.start, rng)
        steered = np.arange(part.start, part.stop) % 2 == 1
        forced = np.zeros(chunk.shape, dtype=np.bool_)
        chunk[steered], forced[steered] = probes.steer(chunk[steered], np.arange(part.start, part.stop)[steered] // 2)
        chunk = _unscaled(chunk, scaling)
        rows[part] = chunk if base_rows is None else _mixed(chunk, forced, base_rows, rng)
    return rows if ensemble.accepts_infinity else np.clip(rows, -_LARGE, _LARGE)


def edge_rows(
    n_features: int, n_rows: int, *, seed: int, base_rows: Float32s | None = None, scaling: StoredScaling | None = None
) -> Float32s:
    """Float32 rows, (n_rows, n_features), for a model without thresholds; the same for the same seed.

    Their cells are NaN, plus and minus infinity and zero, denormals, and very small and very large numbers, and in
    random shares those of real rows; parameters as for `adversarial_rows`.
    """
    rng = np.random.default_rng(seed)
    rows = np.empty((n_rows, n_features), dtype=np.float32)
    for part in batches(n_rows, max(1, _CELLS_AT_ONCE // n_features)):
        drawn = rng.choice(_SIGNED_EDGES, size=(part.stop - part.start, n_features))
        near = rng.normal(size=drawn.shape).astype(np.float32)  # a few standard deviations, where a scaler is in front
        chunk = _unscaled(np.where(rng.random(drawn.shape, dtype=np.float32) < 0.5, drawn, near), scaling)
        free = np.zeros(drawn.shape, dtype=np.bool_)
        rows[part] = chunk if base_rows is None else _mixed(chunk, free, base_rows, rng)
    return rows


class _Pools:
    """For each feature, the values worth trying; stored end to end, as features differ in their thresholds."""

    def __init__(self, ensemble: TreeEnsemble) -> None:
        pools = []
        for feature in range(ensemble.n_features):
            edges = _SIGNED_EDGES
            nearest = _to_float32(np.unique(ensemble.threshold[ensemble.feature == feature]))
            if feature in ensemble.columns.categorical:
                nearest = np.arange(len(ensemble.columns.members(feature)), dtype=np.float32)
                edges = np.concatenate([edges, nearest + np.float32(0.5), _BESIDE_CATEGORIES])
            pools.append(np.concatenate([edges, nearest, _lower(nearest), _upper(nearest)]))
        self._values = np.concatenate(pools)
        self._sizes = np.array([len(pool) for pool in pools])
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])

    def draw(self, n_rows: int, rng: np.random.Generator) -> Float32s:
        """Cells drawn at random from the pool of their feature."""
        picks = rng.integers(0, self._sizes, size=(n_rows, len(self._sizes)))
        return self._values[self._starts + picks]


class _Probes:
    """Ways through the trees to chosen splits."""

    def __init__(self, ensemble: TreeEnsemble, rng: np.random.Generator) -> None:
        self._ensemble = ensemble
        self._columns = ensemble.columns
        self._rng = rng
        self._order = rng.permutation(ensemble.n_splits)
        self._parent = np.full(ensemble.n_splits, -1)
        self._came_true = np.zeros(ensemble.n_splits, dtype=np.bool_)
        for side, true in ((ensemble.true_child, True), (ensemble.false_child, False)):
            splits = np.flatnonzero(side >= 0)
            self._parent[side[splits]] = splits
            self._came_true[side[splits]] = true

    def steer(self, rows: Float32s, numbers: Int64s) -> tuple[Float32s, Bools]:
        """`rows` changed to reach the splits that belong to `numbers`, and which cells that took."""
        targets = self._order[numbers // 4 % len(self._order)]
        low, high = self._bounds(targets)
        each, column = np.arange(len(rows)), self._ensemble.feature[targets]
        width = self._columns.n_features
        by_category = column >= width
        low[each[by_category], column[by_category]] = self._ensemble.threshold[targets[by_category]]
        high[each[by_category], column[by_category]] = np.inf
        steered, forced = _between(rows, low[:, :width], high[:, :width])
        for categorical in self._columns.categorical:
            own = self._columns.columns_of(categorical)
            chosen, found = self._categories(categorical, low[:, own] > -np.inf, high[:, own] < np.inf)
            steered[found, categorical], forced[found, categorical] = chosen[found], True
        feature = self._columns.sources()[column]
        nearest = np.where(by_category, steered[each, feature], _to_float32(self._ensemble.threshold[targets]))
        ways = np.stack([nearest, _lower(nearest), _upper(nearest), np.full_like(nearest, np.nan)])
        steered[each, feature] = ways[numbers % 4, each]
        forced[each, feature] = True
        return steered, forced

    def _categories(self, feature: int, inside: Bools, outside: Bools) -> tuple[Float32s, Bools]:
        """For each row a random category in all sets of `inside` and none of `outside`, and whether there is one.

        Both are (n_rows, n_sets); rows that ask for nothing get none.
        """
        members = self._columns.members(feature) > 0
        weight = self._rng.random((len(inside), len(members)), dtype=np.float32)
        for number in range(members.shape[1]):
            member = members[:, number]
            weight[inside[:, number][:, None] & ~member] = 0
            weight[outside[:, number][:, None] & member] = 0
        asked = (inside | outside).any(axis=1)
        return weight.argmax(axis=1).astype(np.float32), asked & (weight.max(axis=1) > 0)

    def _bounds(self, targets: Int64s) -> tuple[Float64s, Float64s]:
        """Open lower and closed upper bound of every column so that the rows reach `targets`: (n_rows, n_columns)."""
        shape = (len(targets), self._columns.n_columns)
        low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
        each, current = np.arange(len(targets)), targets
        while len(each):
            climbing = self._parent[current] >= 0
            each, current = each[climbing], current[climbing]
            parent, true = self._parent[current], self._came_true[current]
            cell, threshold = (each, self._ensemble.feature[parent]), self._ensemble.threshold[parent]
            high[cell] = np.where(true, np.minimum(high[cell], threshold), high[cell])
            low[cell] = np.where(true, low[cell], np.maximum(low[cell], threshold))
            current = parent
        return low, high


def _between(rows: Float32s, low: Float64s, high: Float64s) -> tuple[Float32s, Bools]:
    """`rows` with the float32 next to a bound where there is one, and which cells have one."""
    at_most, above = _rounded_down(high), _upper(_rounded_down(low))
    bounded = (low > -np.inf) | (high < np.inf)
    return np.where(bounded, np.where((high < np.inf) & (at_most > low), at_most, above), rows), bounded


def _mixed(rows: Float32s, forced: Bools, base_rows: Float32s, rng: np.random.Generator) -> Float32s:
    """Put a random share of each row's free cells back to those of a real row."""
    real = base_rows[rng.integers(0, len(base_rows), size=len(rows))]
    share = rng.random((len(rows), 1), dtype=np.float32)
    kept = forced | (rng.random(rows.shape, dtype=np.float32) < share)
    return np.where(kept, rows, real)


def _unscaled(rows: Float32s, scaling: StoredScaling | None) -> Float32s:
    """What the scaler turns into `rows`, up to rounding."""
    constants = scaling_constants(scaling, rows.shape[1])
    if constants is None:
        return rows
    center, scale = constants
    return _to_float32(rows.astype(np.float64) * scale + center)


def _to_float32(values: Float64s) -> Float32s:
    """The nearest float32; infinite where a value is beyond float32."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _rounded_down(values: Float64s) -> Float32s:
    """The largest float32 that is not above the value."""
    nearest = _to_float32(values)
    return np.where(nearest > values, _lower(nearest), nearest)


def _lower(values: Float32s) -> Float32s:
    with np.errstate(over="ignore"):
        return np.nextafter(values, np.float32(-np.inf))


def _upper(values: Float32s) -> Float32s:
    with np.errstate(over="ignore"):
        return np.nextafter(values, np.float32(np.inf))
