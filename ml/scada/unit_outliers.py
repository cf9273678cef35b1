"""Values that look as if they were in another unit than the rest of their sensor.

A sensor that was replaced, or one message of a logger, may report °F among °C or kPa among bar. Such values lie far
outside the usual range, and one and the same conversion brings them back into it. Far is five times the interquartile
range beyond the quartiles; back is within 1.5 times it, Tukey's fences (Exploratory Data Analysis, 1977).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

FAR = 5.0
USUAL = 1.5
# So many evenly spaced readings at least, if there are as many; the error of their quartiles is far below the fences.
SAMPLE_ROWS = 25_000
_SMALLEST_SAMPLE = 100  # quartiles of fewer values say little

CONVERSIONS: dict[str, Callable[[Floats], Floats]] = {
    "1,000 times too large": lambda x: x / 1000,
    "1,000 times too small": lambda x: x * 1000,
    "100 times too large": lambda x: x / 100,
    "100 times too small": lambda x: x * 100,
    "10 times too large": lambda x: x / 10,
    "10 times too small": lambda x: x * 10,
    "in °F instead of °C": lambda x: (x - 32) / 1.8,
    "in °C instead of °F": lambda x: x * 1.8 + 32,
    "in kelvin instead of °C": lambda x: x - 273.15,
    "in °C instead of kelvin": lambda x: x + 273.15,
    "in psi instead of bar": lambda x: x / 14.5038,
    "in bar instead of psi": lambda x: x * 14.5038,
    "in mm instead of inches": lambda x: x / 25.4,
    "in inches instead of mm": lambda x: x * 25.4,
}


@dataclass(frozen=True)
class Fences:
    """The quartiles of a sensor."""

    low: float
    high: float

    @classmethod
    def of(cls, sample: Floats) -> Fences | None:
        """The fences of a sample without NaN; None of fewer than a hundred values, or if half of them are equal."""
        if len(sample) < _SMALLEST_SAMPLE:
            return None
        low, high = (float(quartile) for quartile in np.quantile(sample, (0.25, 0.75)))
        return None if low == high else cls(low, high)

    def far(self, values: Floats) -> Floats:
        """Those values that lie far outside; NaN does not."""
        reach = FAR * (self.high - self.low)
        return values[(values < self.low - reach) | (values > self.high + reach)]

    def usual(self, values: Floats) -> int:
        """How many values lie within Tukey's fences."""
        reach = (0.5 + USUAL) * (self.high - self.low)
        return int(np.count_nonzero(np.abs(values - (self.low + self.high) / 2) <= reach))


@dataclass
class UnitOutliers:
    """Values that one conversion brings back, counted block by block."""

    fences: Fences | None
    fitting: Counter[str] = field(default_factory=Counter)

    def add(self, values: Floats) -> None:
        """Look at the next values; NaN counts as nothing."""
        if self.fences is None:
            return
        far = self.fences.far(values)
        if len(far):
            for name, convert in CONVERSIONS.items():
                self.fitting[name] += self.fences.usual(convert(far))

    def to_json(self) -> dict[str, Any]:
        """How many values fit another unit, and which."""
        best = max(CONVERSIONS, key=lambda name: self.fitting[name])
        count = self.fitting[best]
        return {"unitOutliers": count, "unitOutliersAre": best if count else None}


class UsualValues:
    """Evenly spaced rows of all readings, from which quartiles are taken, however many readings there are.

    Parameters
    ----------
    sensors
        Columns in which values of another unit are looked for.
    """

    def __init__(self, sensors: Sequence[str]) -> None:
        self._sensors = list(sensors)
        self._stride = 1
        self._rows = 0
        self._kept: list[pd.DataFrame] = []

    def add(self, readings: pd.DataFrame) -> None:
        """Take the next readings."""
        # A copy: what is picked would otherwise keep all readings that it was picked from.
        self._kept.append(readings[self._sensors].iloc[-self._rows % self._stride :: self._stride].copy())
        self._rows += len(readings)
        while sum(len(rows) for rows in self._kept) > 2 * SAMPLE_ROWS:
            self._kept = [pd.concat(self._kept, ignore_index=True).iloc[::2].copy()]
            self._stride *= 2

    def fences(self) -> dict[str, Fences]:
        """What is usual, of those sensors of which that can be said."""
        sample = pd.concat(self._kept, ignore_index=True) if self._kept else pd.DataFrame(columns=self._sensors)
        found = {name: Fences.of(sample[name].dropna().to_numpy(dtype=np.float64)) for name in self._sensors}
        return {name: fences for name, fences in found.items() if fences is not None}


def find_unit_outliers(values: Floats) -> UnitOutliers:
    """The unit outliers of all values of a sensor, without NaN."""
    found = UnitOutliers(Fences.of(values))
    found.add(values)
    return found
