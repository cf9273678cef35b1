"""Drift of the evaluated rows of a trained version: by the baseline that it carries, and by its training rows."""

from __future__ import annotations

from ml.pipeline.evaluated_data import EvaluatedData
from ml.pipeline.trained import TrainedVersion
from ml.validation.drift import Baseline
from ml.validation.drift_table import Drift, evenly, feature_drift, sensor_drift


def drift_of(trained: TrainedVersion, rows: EvaluatedData) -> list[Drift]:
    """Sensors first, then features, each by falling index.

    Sensors are compared with the baseline in the metadata, which clients compare with as well. Features need the
    training rows, so they are there only where the version is evaluated on the part that its training held out.
    """
    baselines = {
        name: Baseline(tuple(each.edges), tuple(each.counts), each.missing)
        for name, each in trained.metadata.drift_baseline.items()
    }
    sensors = sensor_drift(baselines, rows.frame, trained.config.schema_config, rows.scored)
    if rows.parts is None:
        return sensors
    engineer = trained.engineer
    training, evaluated = (engineer.matrix(rows.frame, rows=evenly(part)) for part in (rows.parts.train, rows.scored))
    return sensors + feature_drift(engineer.get_feature_names_out(), training, evaluated)
