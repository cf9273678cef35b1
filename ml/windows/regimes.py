"""Operating regimes: clusters of the operating columns, learned on the training part, applied row by row.

A sensor that means nothing by itself at changing load means much when compared with its own normal at that load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.channels import Constants, Series
from ml.windows.kernels import regimes as kernels

_MOST_REGIMES = 10
_SAMPLE_ROWS = 20_000
_SILHOUETTE_ROWS = 2_000
# Above 0.70 a structure counts as strong (Kaufman and Rousseeuw, Finding Groups in Data, 1990, chapter 2, table 4).
# A load that varies evenly scores about 0.6: cutting it into pieces would only add steps.
_STRONG_STRUCTURE = 0.70
# Centroids are rounded so that the order of a sum in another library version or thread count cannot move them.
_CENTROID_DECIMALS = 6
_SMALLEST_REGIME = 30  # rows; below, a regime's own mean and std are too uncertain and the overall ones are used


@dataclass(frozen=True)
class Regimes:
    """Learned regimes.

    Attributes
    ----------
    columns
        Operating columns, m of them.
    scaling
        Mean and standard deviation of each operating column.
    centroids
        float64 (k, m), in standardised operating columns.
    constants
        Channel -> k constants, one per regime, then one for rows whose regime is unknown.
    """

    columns: tuple[str, ...]
    scaling: tuple[Constants, ...]
    centroids: Float64s
    constants: Mapping[str, tuple[Constants, ...]]

    @property
    def count(self) -> int:
        """k, the number of regimes."""
        return int(self.centroids.shape[0])

    @classmethod
    def learn(
        cls, channels: Mapping[str, Float32s], columns: tuple[str, ...], continuous: tuple[str, ...],
        count: int | None, seed: int,
    ) -> Self:  # fmt: skip
        """Cluster the training rows of `channels` (each of shape (n_rows,)) and learn each regime's constants.

        Without `count`, the k of 2 to 10 with the best silhouette is taken where that shows strong structure
        (above 0.70); else there is one regime.
        """
        scaling = tuple(constants_of(channels[name]) for name in columns)
        points = _standardise(channels, columns, scaling)
        known = points[~np.isnan(points).any(axis=1)]
        centroids = np.round(_cluster(known, count, seed), _CENTROID_DECIMALS)
        member = cls(columns, scaling, centroids, {}).assign(channels)
        constants = {
            name: _per_regime(channels[name], member, len(centroids)) for name in continuous if name not in columns
        }
        return cls(columns, scaling, centroids, constants)

    @property
    def normalised(self) -> tuple[str, ...]:
        """Channels that are z-scored within regimes: all continuous ones but the operating columns."""
        return tuple(self.constants)

    def assign(self, channels: Mapping[str, Float32s]) -> Int64s:
        """Number of the nearest regime of each row, lowest number on ties; k where an operating column is NaN."""
        values = np.array([channels[name] for name in self.columns])
        member = np.empty(values.shape[1], dtype=np.int64)
        self._assign(values, np.arange(len(self.columns)), member)
        return member

    def normaliser(self, series: Series) -> Callable[[Float32s], None]:
        """What fills the regime's row and the normalised rows of `Block.values` from its physical rows."""
        operating = np.array([series.physical[name] for name in self.columns])
        sources = np.array([series.physical[name] for name in self.constants], dtype=np.int64)
        targets = np.array([series.normal[name] for name in self.constants], dtype=np.int64)
        mean = self._table([[each.mean for each in row] for row in self.constants.values()])
        scale = self._table([[each.scale for each in row] for row in self.constants.values()])
        numbers = np.array([*range(self.count), np.nan], dtype=np.float32)

        def fill(values: Float32s) -> None:
            member = np.empty(values.shape[1], dtype=np.int64)
            self._assign(values, operating, member)
            kernels.normalise(values, sources, targets, mean, scale, member)
            values[series.regime] = numbers[member]

        return fill

    def normal(self, channels: Mapping[str, Float32s]) -> dict[str, Float32s]:
        """The channels with every sensor z-scored within its row's regime; operating columns stay as they are."""
        series = Series.of(tuple(channels), self.normalised)
        values = np.empty((series.count, len(next(iter(channels.values())))), dtype=np.float32)
        for name, row in series.physical.items():
            values[row] = channels[name]
        self.normaliser(series)(values)
        return {name: values[row] for name, row in series.normal.items()}

    def _assign(self, values: Float32s, operating: Int64s, member: Int64s) -> None:
        mean = np.array([each.mean for each in self.scaling])
        scale = np.array([each.scale for each in self.scaling])
        kernels.assign(values, operating, mean, scale, self.centroids, member)

    def _table(self, rows: list[list[float]]) -> Float64s:
        return np.array(rows, dtype=np.float64).reshape(len(rows), self.count + 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; floats are written exactly."""
        return {
            "columns": list(self.columns),
            "scaling": [[each.mean, each.std] for each in self.scaling],
            "centroids": self.centroids.tolist(),
            "constants": {name: [[each.mean, each.std] for each in row] for name, row in self.constants.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(
            tuple(data["columns"]),
            tuple(Constants(*pair) for pair in data["scaling"]),
            np.array(data["centroids"], dtype=np.float64),
            {name: tuple(Constants(*pair) for pair in row) for name, row in data["constants"].items()},
        )


def constants_of(values: Float32s) -> Constants:
    """Mean and standard deviation (ddof = 1) of the values that are there; 0 and 0 where there are none."""
    present = values[~np.isnan(values)].astype(np.float64)
    if present.size == 0:
        return Constants(0.0, 0.0)
    return Constants(float(present.mean()), float(present.std(ddof=1)) if present.size > 1 else 0.0)


def _standardise(
    channels: Mapping[str, Float32s], columns: tuple[str, ...], scaling: tuple[Constants, ...]
) -> Float64s:
    return np.column_stack(
        [
            (channels[name].astype(np.float64) - each.mean) / each.scale
            for name, each in zip(columns, scaling, strict=True)
        ]
    )


def _per_regime(values: Float32s, member: Int64s, count: int) -> tuple[Constants, ...]:
    overall = constants_of(values)
    inside = [values[member == number] for number in range(count)]
    enough = [np.count_nonzero(~np.isnan(part)) >= _SMALLEST_REGIME for part in inside]
    return (*(constants_of(part) if ok else overall for part, ok in zip(inside, enough, strict=True)), overall)


def _cluster(points: Float64s, count: int | None, seed: int) -> Float64s:
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(seed)
    sample = points if len(points) <= _SAMPLE_ROWS else points[np.sort(random.choice(len(points), _SAMPLE_ROWS, False))]
    distinct = np.unique(sample, axis=0)
    if len(distinct) == 0:
        return np.zeros((1, points.shape[1]))

    def fit(k: int) -> Any:
        return KMeans(k, n_init=4, random_state=seed).fit(sample)

    with threadpool_limits(limits=1):
        if count is not None:
            return np.asarray(fit(min(count, len(distinct))).cluster_centers_)
        best, best_score = fit(1), _STRONG_STRUCTURE
        few = random.permutation(len(sample))[:_SILHOUETTE_ROWS]
        for k in range(2, min(_MOST_REGIMES, len(distinct) - 1) + 1):
            candidate = fit(k)
            labels = candidate.labels_[few]
            if len(np.unique(labels)) < 2:
                continue
            score = silhouette_score(sample[few], labels)
            if score > best_score + 1e-9:
                best, best_score = candidate, score
        return np.asarray(best.cluster_centers_)
