"""Sensors that say what the target says at the same row: trip bits and their like, which a model would only read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import Float64s
from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.findings import Finding

COPY_CORRELATION = 0.999  # of two-state columns: one row in two thousand that differs is noise, not knowledge


class TargetCorrelation:
    """The correlation of a sensor with the target at the same row, block by block (Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self._rows = 0
        self._means = np.zeros(2)
        self._products = np.zeros((2, 2))

    def add(self, values: Float64s, target: npt.NDArray[np.int8]) -> None:
        """Take the next rows; both (n_rows,), NaN and -1 where nothing is known."""
        known = ~np.isnan(values) & (target >= 0)
        if not known.any():
            return
        pair = np.stack([values[known], target[known].astype(np.float64)])
        rows, means = pair.shape[1], pair.mean(axis=1)
        centred, shift, total = pair - means[:, None], means - self._means, self._rows + pair.shape[1]
        self._products += centred @ centred.T + np.outer(shift, shift) * self._rows * rows / total
        self._means += shift * rows / total
        self._rows = total

    @property
    def is_copy(self) -> bool:
        """Whether the sensor, or its inverse, tells the target."""
        spread = self._products[0, 0] * self._products[1, 1]
        return bool(spread > 0 and abs(self._products[0, 1]) > COPY_CORRELATION * np.sqrt(spread))


def copies_finding(names: list[str]) -> Finding:
    """The finding about sensors that are copies of the target."""
    one = len(names) == 1
    return Finding(
        "TARGET_COPIES_FENCED",
        f"{', '.join(names)} {'says' if one else 'say'} in the same row whether the asset has failed, and "
        f"{'is no feature' if one else 'are no features'}.",
        "failureConfig.allowAsFeatures",
        "name those that may be features in failureConfig.allowAsFeatures",
    )


def without_copies(config: OrganizationConfig, summary: Mapping[str, Any]) -> OrganizationConfig:
    """The configuration without sensors that are copies of the target, by the summary of the prepared data.

    Raises ConfigError if no other sensor is left.
    """
    sensors, allowed = config.schema_config.sensor_columns, config.failure_config.allow_as_features
    found: list[str] = summary.get("copiesOfTarget", [])
    names = [name for name in found if name in sensors and name not in allowed]
    if not names:
        return config
    if len(names) == len(sensors):
        raise ConfigError(
            f"every sensor is a copy of the target ({', '.join(names)}): nothing is left to look at",
            field="schemaConfig",
            hint="name other sensors, or those that may be features in failureConfig.allowAsFeatures",
        )
    return config.without_sensors(names, copies_finding(names))
