"""From the raw window to the readings that features are made of, as `ml.windows.channels` and `.regimes` make them.

Inside the graph time comes first: tensors are float32 (rows, N, channels), oldest row first, NaN where missing. Sums
over time then run from the oldest sample to the newest, column by column, exactly as the kernels of `ml.windows` add;
a sum in another order could have other bits. onnxruntime's optimiser likes to move a transposition behind what follows
it, but not into the branches of `window_rolling`, where all sums are that depend on their order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

import numpy as np

from ml.export.builder import DOUBLE, FLOAT, GraphBuilder
from ml.export.window.tensors import Tensor, concat, where
from ml.features import FeatureEngineer
from ml.options.schema import SchemaConfig
from ml.windows.channels import Constants
from ml.windows.regimes import Regimes

WINDOW, TIMESTAMP = "window", "timestamp"


@dataclass(frozen=True)
class View:
    """Readings of all channels over the window.

    Attributes
    ----------
    values
        Float32 (rows, N, n_channels).
    channels
        Names of the columns.
    rows
        Samples that the window holds.
    """

    values: Tensor
    channels: tuple[str, ...]
    rows: int

    def over_time(self, channels: Sequence[str], window: int | None = None) -> Tensor:
        """Readings of some channels, float32 (rows, N, n), or over the last `window` rows only."""
        start = 0 if window is None else self.rows - window
        values = self.values.slice(start, self.rows, axis=0) if start else self.values
        if tuple(channels) == self.channels:
            return values
        # Stretches of neighbours, as a Gather would copy number by number.
        place = np.array([self.channels.index(name) for name in channels])
        runs = np.split(place, np.flatnonzero(np.diff(place) != 1) + 1)
        return concat([values.slice(int(run[0]), int(run[-1]) + 1, axis=2) for run in runs], axis=2)

    @property
    def empty(self) -> Tensor:
        """1 for a row without a reading of any channel, else 0: float64 (rows, N)."""
        return self.values.is_nan().cast(DOUBLE).min(axis=2)

    def first_there(self, channels: Sequence[str], steps: int) -> Tensor:
        """Readings of some channels in the first row that is not empty, from that many samples ago on: float64 (N, n).

        NaN if all of these rows are empty.
        """
        oldest = self.rows - 1 - steps
        row = self.empty.slice(oldest, self.rows, axis=0).first_smallest(axis=0) + np.array(oldest)
        return pick(self.values.transpose(1, 0, 2).take_each(row).cast(DOUBLE), self.channels, channels, axis=1)

    def at(self, channels: Sequence[str], steps: int = 0) -> Tensor:
        """Readings of some channels that many samples ago, float64 (N, n)."""
        row = self.values.take(np.array(self.rows - 1 - steps), axis=0).cast(DOUBLE)
        return pick(row, self.channels, channels, axis=1)


@dataclass(frozen=True)
class Readings:
    """What the rules make features of; compare `ml.windows.channels.Block`.

    Attributes
    ----------
    physical, normal
        Readings in their own units, and z-scored within the operating regime (the physical ones without regimes).
    regime
        Number of the regime, (N,), NaN where unknown; None without regimes.
    seconds
        Epoch seconds of the last row, int64 (N,).
    """

    physical: View
    normal: View
    regime: Tensor | None
    seconds: Tensor
    interval: int
    constants: Mapping[str, Constants]


def add_readings(graph: GraphBuilder, engineer: FeatureEngineer) -> Readings:
    """Read the inputs ``window`` and ``timestamp`` as the features of `engineer` need them."""
    physical = _with_differences(_physical(Tensor(graph, WINDOW), engineer), engineer.config.schema_config)
    normal, regime = physical, None
    regimes = engineer.regimes
    if regimes is not None:
        member = _member(physical, regimes)
        normal, regime = _normalised(physical, regimes, member), _number(physical, regimes, member)
    return Readings(physical, normal, regime, Tensor(graph, TIMESTAMP), engineer.interval, engineer.constants)


def pick(values: Tensor, present: Sequence[Hashable], wanted: Sequence[Hashable], axis: int) -> Tensor:
    """The wanted entries of a tensor whose `axis` has the `present` ones."""
    if tuple(present) == tuple(wanted):
        return values
    return values.take(np.array([present.index(name) for name in wanted], dtype=np.int64), axis)


def _physical(window: Tensor, engineer: FeatureEngineer) -> View:
    """Readings as float32 values, without infinities; counters as increases, which take the window's first row."""
    counters = engineer.config.schema_config.counter_columns
    sensors = window if counters else window.cast(FLOAT).finite()
    raw = View(sensors.transpose(1, 0, 2), engineer.channels, engineer.look_back)
    if not counters:
        return raw
    parts = []
    for is_counter, names in groupby(raw.channels, lambda name: name in counters):
        run = raw.over_time(tuple(names))
        newer = run.slice(1, raw.rows, axis=0)
        if is_counter:
            increase = newer - run.slice(0, raw.rows - 1, axis=0)
            parts.append(where(increase.below(0.0), np.nan, increase))
        else:
            parts.append(newer)
    return View(concat(parts, axis=2).cast(FLOAT).finite(), raw.channels, raw.rows - 1)


def _with_differences(sensors: View, schema: SchemaConfig) -> View:
    """The sensors, then what present values lie above their set values; subtracted in float32, as the engineer does."""
    pairs = schema.differences
    if not pairs:
        return sensors
    sides = (sensors.over_time([getattr(pair, side) for pair in pairs.values()]) for side in ("value", "set_point"))
    apart = (next(sides) - next(sides)).finite()
    return View(concat([sensors.values, apart], axis=2), (*sensors.channels, *pairs), sensors.rows)


def _member(physical: View, regimes: Regimes) -> Tensor:
    """Number of the nearest regime of each row, int64 (rows, N): the first on ties, the count where unknown."""
    squares = []
    for column, name, scaling in zip(regimes.centroids.T, regimes.columns, regimes.scaling, strict=True):
        difference = (physical.over_time([name]).cast(DOUBLE) - scaling.mean) / scaling.scale - column
        squares.append(difference * difference)
    distance = reduce(Tensor.__add__, squares)
    comparable = where(distance.below(np.inf), distance, np.inf)
    known = comparable.min(axis=2).below(np.inf)
    return where(known, comparable.first_smallest(axis=2), np.array(regimes.count))


def _normalised(physical: View, regimes: Regimes, member: Tensor) -> View:
    """Every sensor z-scored within its row's regime; the others through a mean of 0 and a scale of 1, unchanged."""
    unchanged = (Constants(0.0, 1.0),) * (regimes.count + 1)
    constants = [regimes.constants.get(name, unchanged) for name in physical.channels]
    mean, scale = (
        Tensor(physical.values.graph, physical.values.graph.shared_constant(table)).take(member, axis=0)
        for table in (
            np.array([[each.mean for each in row] for row in constants]).T,
            np.array([[each.scale for each in row] for row in constants]).T,
        )
    )
    return View(((physical.values.cast(DOUBLE) - mean) / scale).cast(FLOAT).finite(), physical.channels, physical.rows)


def _number(physical: View, regimes: Regimes, member: Tensor) -> Tensor:
    numbers = np.array([*range(regimes.count), np.nan])
    table = Tensor(member.graph, member.graph.shared_constant(numbers))
    return table.take(member.take(np.array(physical.rows - 1), axis=0), axis=0)
