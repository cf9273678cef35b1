"""What the model sees: `FeatureEngineer` turns an organisation's grid into features.

Every feature of a row is a function of the last W grid samples of one asset, and of constants learned on the training
part. The families are declared in `ml.windows.catalogue`.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # started by mistake: the package could not even be imported
    sys.stderr.write(
        "features.py computes features and is imported (from features import FeatureEngineer); "
        "to train with them, run: python scripts/train_model.py CONFIG.json\n"
    )
    raise SystemExit(2)


if __name__ == "features":  # imported with ml/ as the working directory; make the package importable as well
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import importlib
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.arrays import Bools, Float32s, Float64s
from ml.cleaning.table import from_table
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError, IntegrityError
from ml.grid import regular as grid
from ml.windows.catalogue import Feature, list_features
from ml.windows.channels import Constants
from ml.windows.chunks import Order, compute
from ml.windows.normality import Normality
from ml.windows.operations import Target
from ml.windows.parallel import threads_for
from ml.windows.program import Program
from ml.windows.regimes import Regimes
from ml.windows.scaling import Scaling
from ml.windows.selection import MOST_ROWS, drawn_rows, select
from ml.windows.state import STATE_FORMAT, read_state

_GROUP_FEATURES = 32  # whose scaling is learned at a time, so that the training rows' whole table is never in memory


class FeatureEngineer:
    """Features of one organisation, fitted on its training part.

    Parameters
    ----------
    config
        The organisation; its schemaConfig, featureConfig and dataConfig count.
    interval
        Sampling interval in seconds. Default: the configured one; else `engineer_features` takes the data's.

    Examples
    --------
    >>> config = OrganizationConfig.from_dict({
    ...     "organizationId": "plant", "schemaConfig": {"continuousColumns": ["speed"], "rollingWindows": [2]},
    ...     "featureConfig": {"families": {"raw": True, "lags": False, "differences": False, "anomaly": False,
    ...                                    "rolling": {"statistics": ["mean"]}}}})
    >>> raw = pd.DataFrame({"timestamp": pd.date_range("2024-01-01", periods=3, freq="min", tz="UTC"),
    ...                     "speed": [1.0, 2.0, float("nan")]})
    >>> table, columns = FeatureEngineer(config).engineer_features(raw)
    >>> columns
    ['speed__value', 'speed__mean__w=2']
    >>> table["speed__mean__w=2"].tolist()
    [1.0, 1.5, 2.0]
    """

    def __init__(self, config: OrganizationConfig, interval: int | None = None) -> None:
        self.config = config
        self._interval = interval or config.data_config.sampling_interval_seconds
        self._catalogue: list[Feature] | None = None
        self._selected: list[Feature] | None = None
        self._constants: dict[str, Constants] | None = None
        self._sensors: dict[str, Constants] = {}
        self._regimes: Regimes | None = None
        self._scaling = Scaling.learn("none", ())
        self._program: Program | None = None

    @property
    def interval(self) -> int:
        """Sampling interval in seconds.

        Raises
        ------
        DataError
            If neither the configuration nor the data has told it yet.
        """
        if self._interval is None:
            raise DataError(
                "the sampling interval is not known yet",
                field="dataConfig.samplingIntervalSeconds",
                hint="set it, pass `interval`, or call engineer_features first",
            )
        return self._interval

    @property
    def features(self) -> list[Feature]:
        """The features in order; after `fit` with selection, the kept ones."""
        if self._selected is not None:
            return self._selected
        if self._catalogue is None:
            self._catalogue = list_features(self.config, self.interval)
        return self._catalogue

    @property
    def look_back(self) -> int:
        """W: samples that the features of a row depend on, the row's own included."""
        before_counter = 1 if self.config.schema_config.counter_columns else 0
        return max(feature.operation.look_back for feature in self.features) + before_counter

    @property
    def channels(self) -> tuple[str, ...]:
        """Columns of a window, in order: sensors, then times since events."""
        return self.config.schema_config.window_columns

    @property
    def regimes(self) -> Regimes | None:
        """The learned operating regimes; None without operating columns."""
        return self._regimes

    @property
    def scaling(self) -> Scaling:
        """Scaling constants of the features; `transform` does not apply them."""
        return self._scaling

    @property
    def constants(self) -> Mapping[str, Constants]:
        """Mean and standard deviation of each channel in training, after regime normalisation."""
        if self._constants is None:
            raise DataError("the features are not fitted", hint="call fit, or load a fitted state")
        return self._constants

    @property
    def sensor_statistics(self) -> Mapping[str, Constants]:
        """Mean and standard deviation of each continuous channel in training, in its own unit."""
        return self._sensors

    def get_feature_names_out(self) -> list[str]:
        """Names of the features, in the order of the model's input."""
        return [feature.name for feature in self.features]

    def fit(self, frame: pd.DataFrame, label: NDArray[np.int8] | None = None, *, rows: Bools | None = None) -> Self:
        """Learn constants, regimes, selection and scaling.

        Parameters
        ----------
        frame
            Grid frame of shape (n_rows, ...), history of the training rows included.
        label
            (n_rows,), 0 or 1 where `rows` is true; needed for selection only.
        rows
            (n_rows,), true for training rows; nothing is learned from any other. Default: those with a label of 0 or 1;
            all where there are none.

        Raises
        ------
        DataError
            If features are to be selected and the training rows are not of both classes, or not of these only.
        """
        if rows is None:
            known = np.isin(label, (0, 1)) if label is not None else np.zeros(len(frame), dtype=np.bool_)
            rows = known if known.any() else np.ones(len(frame), dtype=np.bool_)
        self.adopt_normality(Normality.learn(frame, self.config, rows))
        drawn = self.rows_to_select_by(rows)
        if drawn is not None:
            self.select(self.matrix(frame, rows=drawn), None if label is None else label[drawn])
        groups = range(0, len(self.features), _GROUP_FEATURES)
        self.adopt_scaling(
            Scaling.learn(
                self.config.feature_config.scaling,
                (self.some_features(frame, slice(at, at + _GROUP_FEATURES), rows) for at in groups),
            )
        )
        return self

    def adopt_normality(self, normality: Normality) -> None:
        """Take over constants that were learned elsewhere; what was selected and scaled by before is forgotten."""
        self._selected = self._program = None
        self._scaling = Scaling.learn("none", ())
        self._sensors, self._constants = dict(normality.sensors), dict(normality.channels)
        self._regimes = normality.regimes

    def rows_to_select_by(self, rows: Bools) -> Bools | None:
        """Which of the training rows, (n_rows,), `select` must be given; None where all features are kept."""
        if self.config.feature_config.selection.method == "none":
            return None
        return drawn_rows(rows, MOST_ROWS, self.config.training_config.random_state)

    def select(self, matrix: Float32s, label: NDArray[np.int8] | None) -> None:
        """Keep the best features, by all features (n_drawn, n_features) of the rows to select by and their labels.

        Raises
        ------
        DataError
            If there are no labels.
        """
        options = self.config.feature_config.selection
        if options.method == "none":
            return
        if label is None:
            raise DataError(
                f"feature selection by {options.method} needs labels",
                field="featureConfig.selection.method",
                hint='pass `label`, or use "none"',
            )
        if (classes := sorted(set(np.unique(label).tolist()))) != [0, 1]:
            raise DataError(
                f"feature selection by {options.method} needs labels of both classes, 0 and 1; found are {classes}",
                field="featureConfig.selection.method",
                hint='give rows of both classes, or use "none"',
            )
        seed = self.config.training_config.random_state
        kept = select(matrix, label, method=options.method, k=options.k, seed=seed)
        features = self.features
        self._selected, self._program = [features[index] for index in kept], None

    def adopt_scaling(self, scaling: Scaling) -> None:
        """Take over the scaling constants of the features."""
        self._scaling = scaling

    def transform(self, frame: pd.DataFrame, *, rows: Bools | None = None) -> pd.DataFrame:
        """Features of a grid frame.

        Parameters
        ----------
        frame
            Grid frame of shape (n_rows, ...) with `segment`, `timestamp` and every sensor.
        rows
            (n_rows,), true for the rows wanted; the others still serve as history. Default: all.

        Returns
        -------
        float32 table of shape (n_wanted, n_features) with the wanted rows' index; not scaled.
        """
        matrix = self.matrix(frame, rows=rows)
        index = frame.index if rows is None else frame.index[rows]
        return pd.DataFrame(matrix, index=index, columns=self.get_feature_names_out(), copy=False)

    def matrix(self, frame: pd.DataFrame, *, rows: Bools | None = None, order: Order = "F") -> Float32s:
        """As `transform`, as an array of shape (n_wanted, n_features): column-major, or row-major for `order` "C"."""
        return self._matrix(self._whole_program(), frame, rows, order)

    def some_features(self, frame: pd.DataFrame, which: slice, rows: Bools | None = None) -> Float32s:
        """As `matrix`, but only some of the features: column-major (n_wanted, n_some)."""
        return self._matrix(self._compiled(self.features[which]), frame, rows)

    def latest(self, window: Float64s, timestamp: int | None = None) -> Float32s:
        """Features of the newest row, from the window that ends with it; the bits that `matrix` gives for that row.

        Parameters
        ----------
        window
            (W, n_channels), `look_back` rows of readings on the grid as they were measured, oldest first; NaN where
            missing or before the segment's start, counters as totals. Columns in the order of `channels`.
        timestamp
            Epoch seconds of the newest row, UTC; needed by the time family only.

        Returns
        -------
        float32 of shape (n_features,); not scaled.

        Raises
        ------
        DataError
            If the window has another shape, or the time family is on and there is no timestamp.
        """
        expected = self.look_back, len(self.channels)
        if window.shape != expected:
            raise DataError(
                f"the window has shape {window.shape}; allowed is {expected}: rows of the look-back, then channels",
                hint="put NaN where the history is shorter",
            )
        if timestamp is None and self.config.feature_config.families.time.enabled:
            raise DataError("the time family needs the newest row's timestamp", hint="pass epoch seconds, UTC")
        out = np.empty(len(self.features), dtype=np.float32)
        program = self._whole_program()
        samples = np.ascontiguousarray(window, dtype=np.float64)
        program.run(program.window(samples, timestamp or 0), Target(out, 1, 0))
        return out

    def engineer_features(self, df: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Raw readings or a grid frame in; the grid with its features, and the names of the feature columns, out.

        Raw readings are put on the grid first, exactly as for production, so the result has one row per asset and
        grid instant. An engineer that is not fitted yet is fitted on `df`, of prepared data on the rows with a known
        label: right for looking at data, wrong for evaluating a model on the same rows.
        """
        frame = df if "segment" in df.columns else self._on_grid(df)
        if self._constants is None:
            self.fit(frame, _known_labels(frame))
        features = self.transform(frame)
        return pd.concat([frame, features], axis=1), list(features.columns)

    def to_dict(self) -> dict[str, Any]:
        """Everything needed to rebuild this engineer, as JSON; floats are written exactly."""
        return {
            "formatVersion": STATE_FORMAT,
            "config": self.config.model_dump(
                mode="json",
                by_alias=True,
                include={"organization_id", "schema_config", "feature_config", "data_config", "training_config"},
            ),
            "interval": self.interval,
            "constants": {name: [each.mean, each.std] for name, each in self.constants.items()},
            "sensors": {name: [each.mean, each.std] for name, each in self._sensors.items()},
            "regimes": None if self._regimes is None else self._regimes.to_dict(),
            "features": self.get_feature_names_out(),
            "scaling": self._scaling.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises
        ------
        IntegrityError
            If the state was written by a newer release, is damaged, or names features that this release does not make.
        """
        state, config = read_state(data)
        engineer = cls(config, state.interval)
        engineer._constants = {name: Constants(*pair) for name, pair in state.constants.items()}
        engineer._sensors = {name: Constants(*pair) for name, pair in state.sensors.items()}
        engineer._regimes = None if state.regimes is None else Regimes.from_dict(state.regimes.model_dump())
        engineer._scaling = Scaling.from_dict(state.scaling.model_dump())
        try:
            by_name = {feature.name: feature for feature in engineer.features}
            grid.resolve_max_gap(config.data_config.max_gap_seconds, state.interval)
        except ConfigError as error:
            raise IntegrityError(f"the stored features are damaged: {error.message}") from error
        unknown = [name for name in state.features if name not in by_name]
        if unknown:
            raise IntegrityError(f"the stored features name {unknown[0]}, which this release does not make")
        engineer._selected = [by_name[name] for name in state.features]
        return engineer

    def _on_grid(self, df: pd.DataFrame) -> pd.DataFrame:
        readings = from_table(df, self.config).frame
        data = self.config.data_config
        if self._interval is None:
            self._interval = grid.resolve_interval(readings["asset_id"], readings["timestamp"])
        return grid.to_grid(
            readings,
            schema=self.config.schema_config,
            interval=self.interval,
            max_gap=grid.resolve_max_gap(data.max_gap_seconds, self.interval),
            aggregation=data.aggregation,
        )

    def _whole_program(self) -> Program:
        if self._program is None:
            self._program = self._compiled(self.features)
        return self._program

    def _compiled(self, features: list[Feature]) -> Program:
        return Program(features, self.config.schema_config, self.constants, self._regimes, self.interval)

    def _matrix(self, program: Program, frame: pd.DataFrame, rows: Bools | None, order: Order = "F") -> Float32s:
        threads = threads_for(self.config.training_config.threads)
        schema = self.config.schema_config
        return compute(program, frame, schema, self.look_back, rows=rows, order=order, threads=threads)


def _known_labels(frame: pd.DataFrame) -> NDArray[np.int8] | None:
    """The labels of a grid frame, (n_rows,), -1 where unknown; None where it has no labels."""
    return frame["label"].fillna(-1).to_numpy(dtype=np.int8) if "label" in frame.columns else None


if __name__ == "features":  # both names must give the same class
    sys.modules[__name__] = importlib.import_module("ml.features")
