"""Channels: the sensors of a stretch of grid rows, as every operation sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import MissingColumnError
from ml.options.schema import SchemaConfig

Float32s = NDArray[np.float32]


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
class Block:
    """Consecutive grid rows, ready for the operations; every array has shape (n_rows,).

    Attributes
    ----------
    physical
        Channel -> float32 reading in its own unit; counters as increase per sample.
    normal
        Channel -> float32 reading z-scored within the operating regime; the physical one where there is no regime.
    regime
        float32 regime number, NaN where unknown; None without operating columns.
    start
        int64 index of the first row of each row's segment.
    seconds
        int64 epoch seconds, UTC.
    """

    physical: Mapping[str, Float32s]
    normal: Mapping[str, Float32s]
    regime: Float32s | None
    start: NDArray[np.int64]
    seconds: NDArray[np.int64]
    interval: int
    constants: Mapping[str, Constants]


def segment_starts(segment: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the first row of each row's segment; shape (n_rows,)."""
    first = np.flatnonzero(np.diff(segment, prepend=segment[:1] - 1))
    return np.repeat(first, np.diff(np.append(first, segment.size)))


def counter_increase(total: NDArray[np.float64], start: NDArray[np.int64]) -> Float32s:
    """Increase of a totaliser since the previous sample, float32 of shape (n_rows,).

    Subtracted in float64, because a float32 total near 2.5e8 moves in steps of 16. A decrease is a reset: how much
    was counted before it is unknown, so the increase is NaN; so is that of a segment's first sample.
    """
    increase = np.empty(total.size, dtype=np.float64)
    increase[:1] = np.nan
    np.subtract(total[1:], total[:-1], out=increase[1:])
    increase[start == np.arange(total.size)] = np.nan
    increase[increase < 0] = np.nan
    return finite(increase)


def finite(values: NDArray[np.floating]) -> Float32s:
    """`values` as float32; not finite becomes NaN, and -0 becomes 0 so that equal readings have equal bits."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32) + np.float32(0.0)
    narrow[~np.isfinite(narrow)] = np.nan
    return narrow


def read_channels(frame: pd.DataFrame, schema: SchemaConfig, start: NDArray[np.int64]) -> dict[str, Float32s]:
    """The physical channels of a grid frame, in the schema's order.

    Raises
    ------
    MissingColumnError
        If the frame lacks a sensor.
    """
    channels: dict[str, Float32s] = {}
    for name in schema.sensor_columns:
        if name not in frame.columns:
            raise MissingColumnError(
                f'the data has no column "{name}"; it has {", ".join(map(str, frame.columns[:30]))}',
                field=f"schemaConfig ({name})",
            )
        values = frame[name].to_numpy(dtype=np.float64 if name in schema.counter_columns else None)
        channels[name] = counter_increase(values, start) if name in schema.counter_columns else finite(values)
    return channels
