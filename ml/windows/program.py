"""A program: the features of an organisation, compiled to a few kernel calls that each compute all of one kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.options.schema import SchemaConfig
from ml.windows.catalogue import Feature
from ml.windows.channels import Block, Constants, Series, read_sample, subtract
from ml.windows.kernels import readings
from ml.windows.operations import Context, Step, Target
from ml.windows.regimes import Regimes


class Program:
    """Computes features of consecutive grid rows, or of one window.

    Parameters
    ----------
    features
        In the order of the output columns.
    schema
        Which channels there are.
    constants, regimes
        What training learned.
    interval
        Seconds between samples.
    """

    def __init__(
        self, features: Sequence[Feature], schema: SchemaConfig, constants: Mapping[str, Constants],
        regimes: Regimes | None, interval: int,
    ) -> None:  # fmt: skip
        self.width = len(features)
        self._schema = schema
        self._series = Series.of(schema.channels, None if regimes is None else regimes.normalised)
        self._normalise: Callable[[Float32s], None] | None = (
            None if regimes is None else regimes.normaliser(self._series)
        )
        self._counters = np.array([name in schema.counter_columns for name in schema.window_columns], dtype=np.int64)
        row = self._series.physical
        self._differences = [
            (row[pair.value], row[pair.set_point], row[name]) for name, pair in schema.differences.items()
        ]
        self._steps = _steps(features, Context(self._series, constants, interval))

    def block(self, stored: Sequence[Float32s | Float64s], start: Int64s, seconds: Int64s, first: int) -> Block:
        """The samples of stored columns, each (n_rows,), with what was learned applied."""
        values = np.empty((self._series.count, start.size), dtype=np.float32)
        for name, column, row in zip(self._schema.window_columns, stored, values, strict=False):
            read_sample(name, column, self._schema, start, row)
        return self._completed(values, start, seconds, first)

    def window(self, window: Float64s, timestamp: int) -> Block:
        """The samples of a window (W, n_channels), of which the last row's features are wanted."""
        values = np.empty((self._series.count, window.shape[0]), dtype=np.float32)
        readings.window_samples(window, self._counters, values)
        start = np.zeros(window.shape[0], dtype=np.int64)
        seconds = np.full(window.shape[0], timestamp, dtype=np.int64)
        return self._completed(values, start, seconds, window.shape[0] - 1)

    def run(self, block: Block, target: Target) -> None:
        """Compute every feature of the block's rows."""
        for step in self._steps:
            step(block, target)

    def _completed(self, values: Float32s, start: Int64s, seconds: Int64s, first: int) -> Block:
        for value, set_point, difference in self._differences:
            subtract(values[value], values[set_point], values[difference])
        if self._normalise is not None:
            self._normalise(values)
        return Block(values, start, seconds, first)


def _steps(features: Sequence[Feature], context: Context) -> list[Step]:
    kinds = dict.fromkeys(type(feature.operation) for feature in features)
    steps = []
    for kind in kinds:
        columns = [column for column, feature in enumerate(features) if type(feature.operation) is kind]
        operations = [features[column].operation for column in columns]
        steps.append(kind.plan(operations, np.array(columns, dtype=np.int64), context))
    return steps
