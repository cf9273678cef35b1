"""Values that look as if they were in another unit than the rest of their sensor.

A sensor that was replaced, or one message of a logger, may report °F among °C or kPa among bar. Such values lie far
outside the usual range, and one and the same conversion brings them back into it. Far is five times the interquartile
range beyond the quartiles; back is within 1.5 times it, Tukey's fences (Exploratory Data Analysis, 1977).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FAR = 5.0
USUAL = 1.5
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
class UnitOutliers:
    """How many values fit another unit, and which; None if there are none."""

    count: int
    would_be: str | None


def find_unit_outliers(values: Floats) -> UnitOutliers:
    """Count the values that lie far out and that one conversion brings back, by the rule of the module.

    Parameters
    ----------
    values
        Readings of one sensor without NaN. With fewer than a hundred, or when half of them are equal, nothing is found.
    """
    none = UnitOutliers(0, None)
    if len(values) < _SMALLEST_SAMPLE:
        return none
    low, high = np.quantile(values, (0.25, 0.75))
    spread = high - low
    far = values[(values < low - FAR * spread) | (values > high + FAR * spread)]
    if spread == 0 or len(far) == 0:
        return none
    found = {
        name: int(np.count_nonzero(np.abs(convert(far) - (low + high) / 2) <= (0.5 + USUAL) * spread))
        for name, convert in CONVERSIONS.items()
    }
    best = max(found, key=lambda name: found[name])
    return UnitOutliers(found[best], best) if found[best] else none
