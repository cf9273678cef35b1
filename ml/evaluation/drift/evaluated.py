"""Drift of the evaluated rows of a trained version: by the baseline that it carries, and by its training rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.evaluation.drift.table import Drift, evenly, feature_drift, sensor_drift
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.rows import EvaluatedData


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
    training, evaluated = (engineer.matrix(rows.frame, rows=evenly(part)) for part in parts)
    return sensors + feature_drift(engineer.get_feature_names_out(), training, evaluated)


def _filled(frame: pd.DataFrame, look_back: int) -> NDArray[np.bool_]:
    """Rows that have their whole past: where lags and windows still fill up, they differ without any drift.

    A part that begins with many new segments would else seem to drift in every lag.
    """
    segment = frame["segment"].to_numpy()
    starts = np.flatnonzero(np.diff(segment, prepend=segment[:1] - 1))
    lengths = np.diff(np.append(starts, len(segment)))
    filled: NDArray[np.bool_] = np.arange(len(segment)) - np.repeat(starts, lengths) >= look_back - 1
    return filled
