"""Drift of the evaluated rows of a trained version: of sensors by its baseline, of features by its training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, spread
from ml.evaluation.drift.baseline import (
    Reading,
    binned_distance,
    exact_distance,
    learn_baseline,
    reading_of,
    stability_index,
)
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.rows import EvaluatedData
from ml.export.metadata import ChannelBaseline
from ml.options.schema import SchemaConfig
from ml.windows.channels import physical_samples

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


def drift_of(trained: TrainedVersion, rows: EvaluatedData) -> list[Drift]:
    """Sensors first, then features, each by falling index.

    Sensors are compared with the baseline in the metadata, which clients compare with as well. Features need the
    training rows, so they are there only where the version is evaluated on the part that its training held out, and
    are compared on rows that have their whole past.
    """
    sensors = sensor_drift(trained.metadata.drift_baseline, rows.frame, trained.config.schema_config, rows.scored)
    if rows.parts is None:
        return sensors
    engineer = trained.engineer
    filled = _filled(rows.frame, engineer.look_back)
    parts = [part & filled for part in (rows.parts.train, rows.scored)]
    if not all(part.any() for part in parts):  # so short are the segments that no window is ever full
        parts = [rows.parts.train, rows.scored]
    training, evaluated = (engineer.matrix(rows.frame, rows=spread(part, MOST_ROWS)) for part in parts)
    return sensors + feature_drift(engineer.get_feature_names_out(), training, evaluated)


def _filled(frame: pd.DataFrame, look_back: int) -> Bools:
    """Rows that have their whole past: where lags and windows still fill up, they differ without any drift.

    A part that begins with many new segments would else seem to drift in every lag.
    """
    segment = frame["segment"].to_numpy()
    starts = np.flatnonzero(np.diff(segment, prepend=segment[:1] - 1))
    lengths = np.diff(np.append(starts, len(segment)))
    filled: Bools = np.arange(len(segment)) - np.repeat(starts, lengths) >= look_back - 1
    return filled
