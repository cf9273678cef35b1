"""What training found normal for each channel: the constants that features are made with.

Each channel is learned from its own training rows, and from those of the operating columns where there are regimes, so
that many channels can be learned side by side, each by who has read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.errors import InternalError
from ml.windows.channels import Constants, physical_samples
from ml.windows.regimes import Regimes, constants_of


@dataclass(frozen=True)
class Normality:
    """Constants of the continuous channels.

    Attributes
    ----------
    sensors
        Mean and standard deviation of each channel in its own unit.
    channels
        The same after regime normalisation; equal to `sensors` without regimes.
    regimes
        The operating regimes; None without operating columns.
    """

    sensors: Mapping[str, Constants]
    channels: Mapping[str, Constants]
    regimes: Regimes | None

    @classmethod
    def learn(
        cls,
        frame: pd.DataFrame,
        config: OrganizationConfig,
        rows: Bools,
        channels: Sequence[str] | None = None,
    ) -> Self:
        """Learn from some rows of a grid frame.

        Parameters
        ----------
        frame
            (n_rows, ...), with `segment` and the columns that `needed_columns` names.
        rows
            (n_rows,), true for training rows.
        channels
            Continuous channels to learn, differences of set point pairs included. Default: all.
        """
        schema, regime = config.schema_config, config.feature_config.families.regime
        wanted = tuple(schema.continuous_channels if channels is None else channels)
        training = dict(physical_samples(frame, schema, rows, _with_operating(config, wanted)))
        sensors = {name: constants_of(training[name]) for name in wanted}
        regimes = None
        if schema.operating_columns and regime.enabled:
            seed = config.training_config.random_state
            regimes = Regimes.learn(training, schema.operating_columns, wanted, regime.count, seed)
            training = regimes.normal(training)
        return cls(sensors, {name: constants_of(training[name]) for name in wanted}, regimes)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """What `learn` gives for all channels, from what it gave for some of the same rows each; in their order.

        Raises InternalError if the parts have found different regimes: then they have not learned from the same rows,
        or not with the same libraries.
        """
        first = parts[0].regimes
        if first is not None:
            others = [part.regimes for part in parts if part.regimes is not None]
            if any(not np.array_equal(each.centroids, first.centroids) for each in others):
                raise InternalError("operating regimes that were learned side by side differ")
            first = replace(first, constants={name: row for each in others for name, row in each.constants.items()})
        return cls(
            {name: each for part in parts for name, each in part.sensors.items()},
            {name: each for part in parts for name, each in part.channels.items()},
            first,
        )


def needed_columns(config: OrganizationConfig, channels: Sequence[str]) -> tuple[str, ...]:
    """The sensors that must be read to learn some continuous channels, each once."""
    pairs = config.schema_config.differences
    wanted = _with_operating(config, channels)
    read = ((pairs[name].value, pairs[name].set_point) if name in pairs else (name,) for name in wanted)
    return tuple(dict.fromkeys(name for names in read for name in names))


def _with_operating(config: OrganizationConfig, channels: Sequence[str]) -> tuple[str, ...]:
    regime = config.feature_config.families.regime
    return tuple(dict.fromkeys((*channels, *(config.schema_config.operating_columns if regime.enabled else ()))))
