"""The alarm that a plant could set without any model: one sensor, one direction, one limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

LIMITS = 512  # quantiles of a sensor that are tried as its limit
_QUANTILE_ROWS = 100_000  # rows that the quantiles are taken from

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LimitAlarm:
    """An alarm on every row whose reading of `sensor` reaches `limit`, from below or from above."""

    sensor: str
    above: bool
    """Whether high readings alarm."""
    limit: float
    f1: float
    """Over the rows on which it was found."""

    def score(self, readings: npt.NDArray[Any]) -> FloatArray:
        """A number that rises towards the alarm, float64 (n_rows,); NaN where there is no reading."""
        values = np.asarray(readings, dtype=np.float64)
        return values if self.above else -values

    def alarms(self, readings: npt.NDArray[Any]) -> BoolArray:
        """Rows in alarm, (n_rows,); a missing reading is none."""
        return np.asarray(self.score(readings) >= (self.limit if self.above else -self.limit), dtype=np.bool_)


def best_limit_alarm(
    frame: pd.DataFrame, sensors: Sequence[str], label: npt.NDArray[Any], rows: BoolArray
) -> LimitAlarm | None:
    """The limit alarm with the highest F1 over some rows; None where no sensor has a reading.

    Every sensor is tried in both directions with 512 quantiles of its readings as limits. Of equally good alarms the
    first is taken: by the order of `sensors`, high before low, the limit that alarms least.

    Parameters
    ----------
    frame
        Grid frame of shape (n_rows, ...) with the sensors as columns.
    label
        1 or 0 where `rows` is true, (n_rows,).
    rows
        Rows to find it on, (n_rows,).
    """
    positive = label[rows] == 1
    best: LimitAlarm | None = None
    for sensor in sensors:
        readings = frame[sensor].to_numpy(dtype=np.float64)[rows]
        for above in (True, False):
            found = _best_limit(readings if above else -readings, positive)
            if found is not None and (best is None or found[1] > best.f1):
                best = LimitAlarm(sensor, above, found[0] if above else -found[0], found[1])
    return best


def _best_limit(values: FloatArray, positive: BoolArray) -> tuple[float, float] | None:
    """The limit that values reach or exceed with the highest F1, and that F1; None without a finite value."""
    known = np.isfinite(values)
    if not known.any():
        return None
    sample = values[known][:: -(-int(known.sum()) // _QUANTILE_ROWS)]
    limits = np.unique(np.quantile(sample, np.linspace(0, 1, LIMITS), method="nearest"))
    reached = np.searchsorted(limits, values[known], side="right")
    alarms = _at_least(reached, len(limits))
    hits = _at_least(reached[positive[known]], len(limits))
    f1 = 2 * hits / np.maximum(alarms + np.count_nonzero(positive), 1)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return float(limits[best]), float(f1[best])


def _at_least(reached: npt.NDArray[np.int64], n_limits: int) -> npt.NDArray[np.int64]:
    """For each limit, how many values reach it, from the number of limits that each value reaches."""
    counts = np.bincount(reached, minlength=n_limits + 1)
    return np.cumsum(counts[::-1])[::-1][1:]
