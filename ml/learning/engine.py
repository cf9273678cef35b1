"""Where the readings of an organisation are, and where features are made of them and models fitted: an engine.

Splitting, calibration, the threshold and the search for leaks need labels, times and a few columns; they run where
they are called. What needs all sensors of all rows goes through an engine, so that the same training works on a table
in this process and on a file that only a cluster can read in reasonable time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s
from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.learning import estimators
from ml.learning.estimators.base import Estimator, RoundCallback
from ml.learning.feature_rows import FeatureRows
from ml.options.learning import TrainingConfig
from ml.windows.channels import physical_samples

Found = TypeVar("Found")


class Engine:
    """The grid frame in this process, sensors included; `ml.scale.partitioned.engine` is one for files.

    Rows are given as masks (n_rows,) over the frame; every result is the same for every engine. The exception is `fit`:
    trees that several processes grow together sum gradients in another order.

    Attributes
    ----------
    frame
        The grid frame (n_rows, ...), sorted by asset and time; that of another engine may lack the sensors.
    """

    def __init__(self, config: OrganizationConfig, frame: pd.DataFrame) -> None:
        self._config, self.frame = config, frame

    def learn_features(self, engineer: FeatureEngineer, rows: Bools) -> None:
        """As `FeatureEngineer.fit` on the frame, its labels and `rows`."""
        engineer.fit(self.frame, self._label, rows=rows)

    def fit(
        self,
        settings: TrainingConfig,
        engineer: FeatureEngineer,
        rows: Bools,
        stop_by: Bools | None,
        on_round: RoundCallback,
    ) -> Estimator:
        """Fit the configured model type on the scaled features of `rows`; early stopping uses those of `stop_by`.

        Model types that do not stream are given the whole table.
        """
        kind = estimators.get(settings.model_type)

        def table(wanted: Bools) -> FeatureRows | Float32s:
            computed = FeatureRows(engineer, self.frame, wanted)
            return computed if kind.streams else np.asarray(computed)

        return kind(settings).fit(
            table(rows),
            self._label[rows],
            None if stop_by is None else table(stop_by),
            None if stop_by is None else self._label[stop_by],
            names=engineer.get_feature_names_out(),
            on_round=on_round,
        )

    def predicted(self, predict: Callable[[Float32s], Float64s], engineer: FeatureEngineer, rows: Bools) -> Float64s:
        """What `predict` makes of the scaled features of `rows`, float64 (n_wanted,)."""
        batches = FeatureRows(engineer, self.frame, rows).batches()
        return np.concatenate([np.empty(0), *(predict(batch) for batch in batches)])

    def features(self, engineer: FeatureEngineer, rows: Bools) -> Float32s:
        """Features of a few rows, not scaled: column-major (n_wanted, n_features)."""
        return engineer.matrix(self.frame, rows=rows)

    def readings(self, rows: Bools) -> pd.DataFrame:
        """The sensors of a few rows, as the frame stores them."""
        return self.frame.loc[rows, list(self._config.schema_config.sensor_columns)]

    def each_channel(self, function: Callable[[Float32s], Found], rows: Bools) -> dict[str, Found]:
        """What `function` makes of the physical samples (n_wanted,) of each channel; it must be importable."""
        return {
            name: function(values) for name, values in physical_samples(self.frame, self._config.schema_config, rows)
        }

    def excerpt(self) -> pd.DataFrame:
        """Rows of the frame with their sensors, in stretches that represent it: all of it, if it is in memory."""
        return self.frame

    @property
    def _label(self) -> npt.NDArray[Any]:
        return np.asarray(self.frame["label"])
