"""Series: the sensors of consecutive grid rows as the samples that features are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.arrays import Bools, Float32s, Int64s
from ml.errors import MissingColumnError
from ml.options.schema import SchemaConfig
from ml.windows.kernels import readings


@dataclass(frozen=True)
class Constants:
    """What training found normal for one channel: mean and standard deviation (ddof = 1), in the channel's unit."""

    mean: float
    std: float

    @property
    def scale(self) -> float:
        """`std`, or 1 for a channel that never changed in training (its z-score is then its plain deviation)."""
        return self.std if self.std > 0 else 1.0


@dataclass(frozen=True)
class Series:
    """Which row of `Block.values` holds what.

    Attributes
    ----------
    physical
        Channel -> row of its readings in their own unit; counters as increase per sample.
    normal
        Channel -> row of its readings z-scored within the operating regime; the physical ones without regimes.
    regime
        Row of the regime's number; None without regimes.
    """

    physical: Mapping[str, int]
    normal: Mapping[str, int]
    regime: int | None

    @classmethod
    def of(cls, channels: Sequence[str], normalised: Sequence[str] | None) -> Series:
        """The layout for some channels; `normalised` are those z-scored within regimes, None without regimes."""
        physical = {name: row for row, name in enumerate(channels)}
        if normalised is None:
            return cls(physical, physical, None)
        own = {name: len(physical) + row for row, name in enumerate(normalised)}
        return cls(physical, physical | own, len(physical) + len(own))

    @property
    def count(self) -> int:
        """How many rows `Block.values` has."""
        return len(set(self.physical.values()) | set(self.normal.values())) + (self.regime is not None)


@dataclass(frozen=True)
class Block:
    """Consecutive grid rows, ready for the operations.

    Attributes
    ----------
    values
        float32 (n_series, n_rows), NaN where missing.
    start
        int64 (n_rows,): index of the first row of each row's segment.
    seconds
        int64 (n_rows,): epoch seconds, UTC.
    first
        Rows before it are history only; features are made of the others.
    """

    values: Float32s
    start: Int64s
    seconds: Int64s
    first: int

    @property
    def rows(self) -> int:
        """Rows that features are made of."""
        return self.start.size - self.first


def segment_starts(segment: NDArray[Any]) -> Int64s:
    """Index of the first row of each row's segment; shape (n_rows,)."""
    changed = np.ones(segment.size, dtype=np.bool_)
    np.not_equal(segment[1:], segment[:-1], out=changed[1:])
    first = np.flatnonzero(changed)
    return np.repeat(first, np.diff(np.append(first, segment.size)))


def stored_columns(frame: pd.DataFrame, schema: SchemaConfig) -> list[NDArray[Any]]:
    """The columns of a window as a grid frame stores them, in order, without a copy where they are numbers.

    A time since events that the frame lacks is missing. Raises MissingColumnError if the frame lacks a sensor.
    """
    return [_stored_column(frame, name, schema) for name in schema.window_columns]


def _stored_column(frame: pd.DataFrame, name: str, schema: SchemaConfig) -> NDArray[Any]:
    if name not in frame.columns:
        if name in (schema.event_inputs or ()):
            return np.full(len(frame), np.nan, dtype=np.float32)
        raise MissingColumnError(
            f'the data has no column "{name}"; it has {", ".join(map(str, frame.columns[:30]))}',
            field=f"schemaConfig ({name})",
        )
    values = frame[name].to_numpy()
    wanted = np.float64 if name in schema.counter_columns or values.dtype != np.float32 else np.float32
    return np.ascontiguousarray(values, dtype=wanted)


def read_sample(name: str, stored: NDArray[Any], schema: SchemaConfig, start: Int64s, out: Float32s) -> None:
    """Write the physical samples (n_rows,) of one stored column to `out`."""
    if name in schema.counter_columns:
        readings.increases(stored, start, out)
    else:
        readings.finite(stored, out)


def subtract(value: Float32s, set_point: Float32s, out: Float32s) -> None:
    """Write the samples (n_rows,) of a difference to `out`: NaN where either is, or where it is infinite in float32."""
    with np.errstate(over="ignore"):
        np.subtract(value, set_point, out=out)
    out[np.isinf(out)] = np.nan


def physical_samples(
    frame: pd.DataFrame, schema: SchemaConfig, rows: Bools, names: Sequence[str] | None = None
) -> Iterator[tuple[str, Float32s]]:
    """The name and the physical samples of some rows of each channel of a grid frame, one channel after the other.

    Raises MissingColumnError if the frame lacks a sensor.

    Parameters
    ----------
    names
        The channels; `frame` needs no others, but both columns of a difference. Default: all sensors.
    """
    start = segment_starts(frame["segment"].to_numpy())
    samples = np.empty(len(frame), dtype=np.float32)
    differences = schema.differences
    for name in schema.sensor_columns if names is None else names:
        pair = differences.get(name)
        column = name if pair is None else pair.value
        read_sample(column, _stored_column(frame, column, schema), schema, start, samples)
        if pair is not None:
            wanted = np.empty_like(samples)
            read_sample(pair.set_point, _stored_column(frame, pair.set_point, schema), schema, start, wanted)
            subtract(samples, wanted, samples)
        yield name, samples[rows]
