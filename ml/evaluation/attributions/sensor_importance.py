"""Importance of sensors, from the importance of the features that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.export.reasons.exact import TIME
from ml.windows.catalogue import Feature


def by_sensor(features: Sequence[Feature], weight: Mapping[str, float]) -> dict[str, float]:
    """The weights of features, by name, summed over the features of each sensor; largest first.

    A feature of two sensors counts half for each, one of neither as `TIME`. A feature without a weight counts as 0.
    """
    total: dict[str, float] = {}
    for feature in features:
        sensors = feature.operation.sensors or (TIME,)
        for sensor in sensors:
            total[sensor] = total.get(sensor, 0.0) + weight.get(feature.name, 0.0) / len(sensors)
    return dict(sorted(total.items(), key=lambda item: -item[1]))
