"""Drift of the evaluated rows from the training part: of sensors, and of features where training rows are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.evaluation.drift.baseline import (
    Reading,
    binned_distance,
    exact_distance,
    learn_baseline,
    reading_of,
    stability_index,
)
from ml.export.metadata import ChannelBaseline
from ml.options.schema import SchemaConfig
from ml.windows.channels import Float32s, physical_samples

MOST_ROWS = 10_000  # of each part: the error of a Kolmogorov-Smirnov distance is then about 0.01


@dataclass(frozen=True)
class Drift:
    """How far the evaluated rows of one sensor or feature lie from the training part."""

    name: str
    kind: Literal["sensor", "feature"]
    psi: float
    """Population stability index over the training part's tenths, missing values a bin of their own."""
    ks: float | None
    """Kolmogorov-Smirnov distance, 0 to 1. Sensor: at the edges of the stored baseline; feature: exact."""

    @property
    def reading(self) -> Reading:
        """What the index says."""
        return reading_of(self.psi)

    def to_json(self) -> dict[str, Any]:
        """The finding under its JSON names."""
        return {"name": self.name, "kind": self.kind, "psi": self.psi, "ks": self.ks, "reading": self.reading}


def sensor_drift(
    baselines: Mapping[str, ChannelBaseline], frame: pd.DataFrame, schema: SchemaConfig, rows: Bools
) -> list[Drift]:
    """Drift of every sensor with a baseline over the chosen rows of a grid frame; the strongest first."""
    found = [
        Drift(name, "sensor", stability_index(baselines[name], values), binned_distance(baselines[name], values))
        for name, values in physical_samples(frame, schema, rows)
        if name in baselines
    ]
    return strongest_first(found)


def feature_drift(names: Sequence[str], training: Float32s, evaluated: Float32s) -> list[Drift]:
    """Drift of every feature between two float32 matrices ``(n_rows, n_features)``; the strongest first."""
    found = [
        Drift(
            name,
            "feature",
            stability_index(learn_baseline(training[:, column]), evaluated[:, column]),
            exact_distance(training[:, column], evaluated[:, column]),
        )
        for column, name in enumerate(names)
    ]
    return strongest_first(found)


def strongest_first(found: Sequence[Drift]) -> list[Drift]:
    """By falling index; ties by name."""
    return sorted(found, key=lambda each: (-each.psi, each.name))


def evenly(rows: Bools, most: int = MOST_ROWS) -> Bools:
    """At most `most` of the chosen rows, at even distances, so that the whole time they span has its say."""
    positions = np.flatnonzero(rows)
    if positions.size <= most:
        return rows
    kept = np.zeros_like(rows)
    kept[positions[np.linspace(0, positions.size - 1, most).astype(np.int64)]] = True
    return kept
