"""Scaling constants of features; they are stored, and applied on the model's side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from ml.arrays import Float32s

Method = Literal["none", "standard", "minmax", "robust"]


@dataclass(frozen=True)
class Scaling:
    """Per-feature constants; ``scaled = (float32(x) - center) / scale`` in float32, NaN stays NaN.

    Attributes
    ----------
    center, scale
        float32 (n_features,); empty for the method "none". The scale of a constant feature is 1.
    """

    method: Method
    center: Float32s
    scale: Float32s

    @classmethod
    def learn(cls, method: Method, groups: Iterable[Float32s]) -> Self:
        """The constants of all features, given some at a time as (n_rows, n_some), NaN skipped.

        standard: mean and standard deviation (ddof = 0, as scikit-learn); minmax: minimum and range; robust: median
        and interquartile range.
        """
        if method == "none":
            return cls(method, np.empty(0, np.float32), np.empty(0, np.float32))
        pairs = np.array([_location_and_spread(method, column) for group in groups for column in group.T])
        scale = np.where(pairs[:, 1] > 0, pairs[:, 1], 1.0)
        return cls(method, pairs[:, 0].astype(np.float32), scale.astype(np.float32))

    def apply(self, matrix: Float32s) -> Float32s:
        """`matrix` scaled; a copy, or `matrix` itself for the method "none". What exceeds float32 becomes infinite."""
        if self.method == "none":
            return matrix
        with np.errstate(over="ignore"):
            return (matrix - self.center) / self.scale

    def to_dict(self) -> dict[str, Any]:
        """JSON form; float32 values are written exactly."""
        return {"method": self.method, "center": self.center.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(data["method"], np.array(data["center"], np.float32), np.array(data["scale"], np.float32))


def _location_and_spread(method: Method, column: Float32s) -> tuple[float, float]:
    values = column[~np.isnan(column)].astype(np.float64)
    if values.size == 0:
        return 0.0, 1.0
    if method == "standard":
        return float(values.mean()), float(values.std())
    if method == "minmax":
        return float(values.min()), float(values.max() - values.min())
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(middle), float(high - low)
