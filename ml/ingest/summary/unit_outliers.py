"""Values that look as if they were in another unit than the rest of their sensor, and values that stand for no value.

A sensor that was replaced, or one message of a logger, may report °F among °C or kPa among bar. Such values lie far
outside the usual range, and one and the same conversion brings them back into it. Far is five times the interquartile
range beyond the quartiles; back is within 1.5 times it, Tukey's fences (Exploratory Data Analysis, 1977). Failures and
standstills make far values, too, so another unit is named only where all of this holds:

- the sensor measures what the unit is a unit of, by its role, its unit or a word of its name;
- nearly all far values fit the one conversion;
- for a factor: the usual values differ among themselves by less than its square root, else a spike divided by
  a thousand would always land among them.

What stands for "no value" (-9999, 65535, 1e30) comes again and again as exactly the same number, far from all others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Float64s
from ml.options.schema import SchemaConfig

FAR = 5.0
USUAL = 1.5
# So many evenly spaced readings at least, if there are as many; the error of their quartiles is far below the fences.
SAMPLE_ROWS = 25_000
_SMALLEST_SAMPLE = 100  # quartiles of fewer values say little

_MOSTLY = 0.9  # share of the far values that one conversion must bring back
_FEWEST = 3  # values; one or two may be anything


@dataclass(frozen=True)
class Conversion:
    """From a unit that a value may be in to that of the other values."""

    quantity: str | None  # what both are units of; None for any
    factor: float
    offset: float = 0.0  # ``value * factor + offset`` is the value in the unit of the others

    def __call__(self, values: Float64s) -> Float64s:
        """Converted values."""
        return values * self.factor + self.offset


# A tenth or a hundredth of the usual value is what a machine at rest shows, so those are not in the list.
CONVERSIONS: dict[str, Conversion] = {
    "1,000 times too large": Conversion(None, 1 / 1000),
    "1,000 times too small": Conversion(None, 1000),
    "100 times too large": Conversion(None, 1 / 100),
    "in °F instead of °C": Conversion("temperature", 1 / 1.8, -32 / 1.8),
    "in °C instead of °F": Conversion("temperature", 1.8, 32),
    "in kelvin instead of °C": Conversion("temperature", 1, -273.15),
    "in °C instead of kelvin": Conversion("temperature", 1, 273.15),
    "in psi instead of bar": Conversion("pressure", 1 / 14.5038),
    "in bar instead of psi": Conversion("pressure", 14.5038),
    "in kPa instead of bar": Conversion("pressure", 1 / 100),
    "in mm instead of inches": Conversion("length", 1 / 25.4),
    "in inches instead of mm": Conversion("length", 25.4),
}

_UNITS = {
    "temperature": {"°c", "c", "degc", "°f", "f", "degf", "k", "kelvin", "celsius", "fahrenheit"},
    "pressure": {"bar", "mbar", "psi", "kpa", "mpa", "pa", "hpa", "barg", "psig"},
    "length": {"mm", "in", "inch", "inches", '"'},
}
_ROLES = {"temperature": "temperature", "ambient": "temperature", "pressure": "pressure"}
_NAMES = {"temp": "temperature", "temperature": "temperature", "temperatur": "temperature", "pressure": "pressure"}


def quantity_of(name: str, schema: SchemaConfig) -> str | None:
    """What a sensor measures, as far as units of it are known: its role tells, else its unit, else its name.

    >>> quantity_of("Gen_Bear_Temp_Avg", SchemaConfig())
    'temperature'
    >>> quantity_of("smart_9_raw", SchemaConfig())
    """
    if name in schema.column_roles:
        return _ROLES.get(schema.column_roles[name])
    if name in schema.column_units:
        unit = schema.column_units[name].lower()
        return next((quantity for quantity, units in _UNITS.items() if unit in units), None)
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return next((_NAMES[word] for word in words if word in _NAMES), None)


@dataclass(frozen=True)
class Fences:
    """The quartiles of a sensor."""

    low: float
    high: float

    @classmethod
    def of(cls, sample: Float64s) -> Fences | None:
        """The fences of a sample without NaN; None of fewer than a hundred values, or if half of them are equal."""
        if len(sample) < _SMALLEST_SAMPLE:
            return None
        low, high = (float(quartile) for quartile in np.quantile(sample, (0.25, 0.75)))
        return None if low == high else cls(low, high)

    def far(self, values: Float64s) -> Float64s:
        """Those values that lie far outside; NaN does not."""
        reach = FAR * (self.high - self.low)
        return values[(values < self.low - reach) | (values > self.high + reach)]

    def usual(self, values: Float64s) -> int:
        """How many values lie within Tukey's fences."""
        reach = (0.5 + USUAL) * (self.high - self.low)
        return int(np.count_nonzero(np.abs(values - (self.low + self.high) / 2) <= reach))

    def tells_apart(self, conversion: Conversion) -> bool:
        """Whether a value that the conversion brings back can be told from any other far value."""
        if conversion.offset:
            return True
        reach = USUAL * (self.high - self.low)
        ends = sorted((abs(self.low - reach), abs(self.high + reach)))
        same_sign = (self.low - reach > 0) == (self.high + reach > 0)
        return same_sign and ends[1] < ends[0] * max(conversion.factor, 1 / conversion.factor) ** 0.5


@dataclass
class UnitOutliers:
    """Values that one conversion brings back, counted block by block."""

    fences: Fences | None
    quantity: str | None = None
    far: int = 0
    fitting: Counter[str] = field(default_factory=Counter)

    def add(self, values: Float64s) -> None:
        """Look at the next values; NaN counts as nothing."""
        if self.fences is None:
            return
        far = self.fences.far(values)
        if len(far):
            self.far += len(far)
            for name, conversion in CONVERSIONS.items():
                if conversion.quantity in (None, self.quantity) and self.fences.tells_apart(conversion):
                    self.fitting[name] += self.fences.usual(conversion(far))

    def to_json(self) -> dict[str, Any]:
        """How many values fit another unit, and which."""
        best = max(CONVERSIONS, key=lambda name: self.fitting[name])
        count = self.fitting[best]
        found = count >= max(_FEWEST, _MOSTLY * self.far)
        return {"unitOutliers": count if found else 0, "unitOutliersAre": best if found else None}


# Numbers that loggers, historians and file formats write for "no value", and ends of the ranges of integers.
_PLACEHOLDERS = frozenset(
    float(np.float32(value))
    for value in (
        *(sign * nines for nines in (99, 999, 999.25, 9999, 999.9, 9999.9, 99999, 999999, 9999999) for sign in (-1, 1)),
        *(255, 32767, -32768, 65535, 8388607, 16777215, 2147483647, -2147483648, 4294967295),
        *(1e20, 1e30, -1e30, 1e35, 1e37, -1e37, 1e38, -1e38, 3.4028235e38, -3.4028235e38, 9.969209968386869e36),
    )
)
_MOST_REPEATED = 4  # such values of one sensor
_REPEATS = 3
_APART = 3.0  # times the range of the other values; of a known placeholder half of it
_APART_KNOWN = 0.5


def repeated_values(sample: Float64s) -> list[dict[str, float]]:
    """Values at either end of a sample (n_values,) without NaN that are repeated and far from all others.

    Each with its ``share`` of the sample, and ``othersFrom`` and ``othersTo``, the ends of the other values.
    """
    values, counts = np.unique(sample, return_counts=True)
    found: list[tuple[float, int]] = []
    while len(values) > 2 and len(found) < _MOST_REPEATED:
        ends = (
            (values[0], counts[0], values[1] - values[0], values[-1] - values[1], slice(1, None)),
            (values[-1], counts[-1], values[-1] - values[-2], values[-2] - values[0], slice(0, -1)),
        )
        for value, count, apart, spread, rest in sorted(ends, key=lambda end: -end[2]):
            needed = _APART_KNOWN if float(value) in _PLACEHOLDERS else _APART
            if count >= _REPEATS and apart > needed * spread:
                found.append((float(value), int(count)))
                values, counts = values[rest], counts[rest]
                break
        else:
            break
    low, high = (float(values[0]), float(values[-1])) if len(values) else (0.0, 0.0)
    return [
        {"value": value, "share": count / len(sample), "othersFrom": low, "othersTo": high} for value, count in found
    ]


@dataclass(frozen=True)
class Usual:
    """What most values of a sensor are like, and which ones stand for no value."""

    fences: Fences | None = None
    repeated: tuple[dict[str, float], ...] = ()

    @classmethod
    def of(cls, sample: Float64s) -> Usual:
        """Of a sample without NaN."""
        return cls(Fences.of(sample), tuple(repeated_values(sample)))


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

    def usual(self) -> dict[str, Usual]:
        """What is usual for each sensor."""
        sample = pd.concat(self._kept, ignore_index=True) if self._kept else pd.DataFrame(columns=self._sensors)
        return {name: Usual.of(sample[name].dropna().to_numpy(dtype=np.float64)) for name in self._sensors}
