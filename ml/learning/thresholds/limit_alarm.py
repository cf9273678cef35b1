"""The alarm that a plant could set without any model: one sensor, one direction, one limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s

LIMITS = 512  # quantiles of a sensor that are tried as its limit
_QUANTILE_ROWS = 100_000  # rows that the quantiles are taken from


@dataclass(frozen=True)
class LimitAlarm:
    """An alarm on every row whose reading of `sensor` reaches `limit`, from below or from above."""

    sensor: str
    above: bool
    """Whether high readings alarm."""
    limit: float
    f1: float
    """Over the rows on which it was found."""

    def score(self, readings: npt.NDArray[Any]) -> Float64s:
        """A number that rises towards the alarm, float64 (n_rows,); NaN where there is no reading."""
        values = np.asarray(readings, dtype=np.float64)
        return values if self.above else -values

    def alarms(self, readings: npt.NDArray[Any]) -> Bools:
        """Rows in alarm, (n_rows,); a missing reading is none."""
        return np.asarray(self.score(readings) >= (self.limit if self.above else -self.limit), dtype=np.bool_)


def best_limit_alarm(
    frame: pd.DataFrame, sensors: Sequence[str], label: npt.NDArray[Any], rows: Bools
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
        for alarm in _best_of_sensor(sensor, frame[sensor].to_numpy()[rows], positive):
            if best is None or alarm.f1 > best.f1:
                best = alarm
    return best


def _best_of_sensor(sensor: str, readings: npt.NDArray[Any], positive: Bools) -> list[LimitAlarm]:
    """The best limit for high readings and the best for low ones; none without a finite reading."""
    known = np.isfinite(readings)
    values = readings[known]
    if not len(values):
        return []
    sample = values[:: -(-len(values) // _QUANTILE_ROWS)]
    limits = np.unique(np.quantile(sample, np.linspace(0, 1, LIMITS), method="nearest"))
    below = np.searchsorted(limits, values, side="left")
    on_limit = limits[np.minimum(below, len(limits) - 1)] == values
    hit, positives = positive[known], int(np.count_nonzero(positive))
    high, high_f1 = _best(below + on_limit, hit, positives, len(limits))
    low, low_f1 = _best(len(limits) - below, hit, positives, len(limits))
    return [
        LimitAlarm(sensor, True, float(limits[high]), high_f1),
        LimitAlarm(sensor, False, float(limits[::-1][low]), low_f1),
    ]


def _best(reached: Int64s, hit: Bools, positives: int, n_limits: int) -> tuple[int, float]:
    """The limit with the highest F1, and that F1, from how many limits each value reaches, the easiest first."""
    alarms, hits = _at_least(reached, n_limits), _at_least(reached[hit], n_limits)
    f1 = 2 * hits / np.maximum(alarms + positives, 1)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return best, float(f1[best])


def _at_least(reached: Int64s, n_limits: int) -> Int64s:
    """For each limit, how many values reach it, from the number of limits that each value reaches."""
    counts = np.bincount(reached, minlength=n_limits + 1)
    return np.cumsum(counts[::-1])[::-1][1:]
