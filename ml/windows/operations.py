"""Operations: what one feature is, as a formula over the last `look_back` samples of its channels.

Each class declares its formula, unit and NaN rule once; the documentation table is made from them. An operation
never looks ahead, and treats rows before the segment's start as if they were NaN.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ml.windows import kernels
from ml.windows.channels import Block, Float32s

View = Literal["physical", "normal"]
_SECONDS_PER_MINUTE = 60
_MINUTES_PER_DAY = 1440
_UNIX_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


class Operation(ABC):
    """One feature's formula."""

    formula: ClassVar[str]
    unit: ClassVar[str]
    first_valid: ClassVar[str] = "1st row"
    missing: ClassVar[str] = "NaN where the reading is NaN"

    @property
    def look_back(self) -> int:
        """Samples the formula reads, the row's own included."""
        return 1

    @property
    def batch(self) -> Hashable:
        """Features of one batch are computed together because they share work."""
        return self

    @abstractmethod
    def compute(self, block: Block) -> Float32s:
        """The feature of every row of `block`; float32 of shape (n_rows,)."""

    @classmethod
    def compute_batch(cls, operations: Sequence[Operation], block: Block) -> list[Float32s]:
        """The features of one batch, one array per operation."""
        return [operation.compute(block) for operation in operations]


def _float64(values: Float32s) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return values.astype(np.float64)


def _float32(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Float32s:
    """Round once, and let overflow to infinity become NaN: an infinite feature means nothing to a model."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    narrow[np.isinf(narrow)] = np.nan
    return narrow


def _quotient(
    above: np.ndarray[tuple[int, ...], np.dtype[np.float64]], below: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> Float32s:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = above / below
    ratio[below == 0] = np.nan
    return _float32(ratio)


@dataclass(frozen=True)
class Value(Operation):
    """The reading itself."""

    channel: str
    formula: ClassVar[str] = "x[t]"
    unit: ClassVar[str] = "of the sensor (standard deviations within the regime, where regimes are used)"

    def compute(self, block: Block) -> Float32s:
        return block.normal[self.channel]


@dataclass(frozen=True)
class Lag(Operation):
    """The reading some samples ago."""

    channel: str
    steps: int
    view: View = "normal"
    formula: ClassVar[str] = "x[t - k]"
    unit: ClassVar[str] = "of the sensor"
    first_valid: ClassVar[str] = "row k + 1"
    missing: ClassVar[str] = "NaN where that reading is NaN or lies before the segment"

    @property
    def look_back(self) -> int:
        return self.steps + 1

    def compute(self, block: Block) -> Float32s:
        x = (block.physical if self.view == "physical" else block.normal)[self.channel]
        out = np.empty_like(x)
        kernels.lag(x, block.start, self.steps, out)
        return out


@dataclass(frozen=True)
class Rolling(Operation):
    """A statistic of the last `window` samples."""

    channel: str
    statistic: Literal["mean", "std", "min", "max", "median", "slope"]
    window: int
    formula: ClassVar[str] = (
        "mean, std (ddof = 1), min, max, median of x[t - w + 1 .. t]; "
        "slope: least-squares line over time, (n Σtx - Σt Σx) / (n Σt² - (Σt)²) / interval"
    )
    unit: ClassVar[str] = "of the sensor; slope: per second"
    first_valid: ClassVar[str] = "1st row (std and slope: 2nd)"
    missing: ClassVar[str] = "NaN are skipped; NaN only if no value is left (std, slope: fewer than two)"

    @property
    def look_back(self) -> int:
        return self.window

    @property
    def batch(self) -> Hashable:
        return Rolling, self.channel

    def compute(self, block: Block) -> Float32s:
        return self.compute_batch([self], block)[0]

    @classmethod
    def compute_batch(cls, operations: Sequence[Operation], block: Block) -> list[Float32s]:
        rolling = [operation for operation in operations if isinstance(operation, Rolling)]
        x = block.normal[rolling[0].channel]
        wanted: set[_Pair] = {(operation.statistic, operation.window) for operation in rolling}
        tables: _Tables = {
            **_moments(x, block, wanted),
            **_extremes(x, block, wanted),
            **{pair: _median(x, block, pair[1]) for pair in wanted if pair[0] == "median"},
        }
        return [tables[operation.statistic, operation.window] for operation in rolling]


_Pair = tuple[str, int]
_Tables = dict[_Pair, Float32s]


def _windows(wanted: set[_Pair], *statistics: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(sorted({window for statistic, window in wanted if statistic in statistics}), dtype=np.int64)


def _moments(x: Float32s, block: Block, wanted: set[_Pair]) -> _Tables:
    windows = _windows(wanted, "mean", "std", "slope")
    if windows.size == 0:
        return {}
    with_slope = any(statistic == "slope" for statistic, _ in wanted)
    mean, std = np.empty((2, windows.size, x.size), dtype=np.float32)
    lowest, slope = np.empty((2, windows.size, x.size) if with_slope else (2, 0, 0), dtype=np.float32)
    if with_slope:
        kernels.minima(x, block.start, windows, lowest)
    kernels.moments(x, block.start, windows, mean, std, lowest, slope)
    std[np.isinf(std)] = np.nan  # readings at both ends of float32
    tables: _Tables = {}
    for index, window in enumerate(windows.tolist()):
        tables["mean", window], tables["std", window] = mean[index], std[index]
        if with_slope:
            tables["slope", window] = _float32(_float64(slope[index]) / block.interval)
    return tables


def _extremes(x: Float32s, block: Block, wanted: set[_Pair]) -> _Tables:
    tables: _Tables = {}
    for statistic, sign in (("min", np.float32(1)), ("max", np.float32(-1))):
        windows = _windows(wanted, statistic)
        if windows.size == 0:
            continue
        out = np.empty((windows.size, x.size), dtype=np.float32)
        kernels.minima(sign * x, block.start, windows, out)
        out *= sign
        out += np.float32(0.0)  # -0 becomes 0 again
        tables |= {(statistic, window): out[index] for index, window in enumerate(windows.tolist())}
    return tables


def _median(x: Float32s, block: Block, window: int) -> Float32s:
    out = np.empty_like(x)
    kernels.median(x, block.start, window, out)
    return out


@dataclass(frozen=True)
class Rate(Operation):
    """First difference."""

    channel: str
    formula: ClassVar[str] = "(x[t] - x[t-1]) / interval"
    unit: ClassVar[str] = "of the sensor per second"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN where either reading is NaN"

    @property
    def look_back(self) -> int:
        return 2

    def compute(self, block: Block) -> Float32s:
        now = _float64(block.normal[self.channel])
        before = _float64(Lag(self.channel, 1).compute(block))
        return _float32((now - before) / block.interval)


@dataclass(frozen=True)
class Acceleration(Operation):
    """Second difference."""

    channel: str
    formula: ClassVar[str] = "(x[t] - 2 x[t-1] + x[t-2]) / interval²"
    unit: ClassVar[str] = "of the sensor per second²"
    first_valid: ClassVar[str] = "3rd row"
    missing: ClassVar[str] = "NaN where one of the three readings is NaN"

    @property
    def look_back(self) -> int:
        return 3

    def compute(self, block: Block) -> Float32s:
        now = _float64(block.normal[self.channel])
        before = _float64(Lag(self.channel, 1).compute(block))
        earlier = _float64(Lag(self.channel, 2).compute(block))
        return _float32((now - 2 * before + earlier) / block.interval**2)


@dataclass(frozen=True)
class Percent(Operation):
    """Relative change since the previous sample, of the reading in its own unit."""

    channel: str
    formula: ClassVar[str] = "100 (x[t] - x[t-1]) / |x[t-1]|"
    unit: ClassVar[str] = "percent"
    first_valid: ClassVar[str] = "2nd row"
    missing: ClassVar[str] = "NaN where either reading is NaN or the earlier one is 0"

    @property
    def look_back(self) -> int:
        return 2

    def compute(self, block: Block) -> Float32s:
        now = _float64(block.physical[self.channel])
        before = _float64(Lag(self.channel, 1, "physical").compute(block))
        return _quotient(100.0 * (now - before), np.abs(before))


@dataclass(frozen=True)
class Product(Operation):
    """Product of two readings in their own units."""

    left: str
    right: str
    formula: ClassVar[str] = "x[t] · y[t]"
    unit: ClassVar[str] = "product of the two units"
    missing: ClassVar[str] = "NaN where either reading is NaN"

    def compute(self, block: Block) -> Float32s:
        return _float32(_float64(block.physical[self.left]) * _float64(block.physical[self.right]))


@dataclass(frozen=True)
class Ratio(Operation):
    """Ratio of two readings in their own units."""

    left: str
    right: str
    formula: ClassVar[str] = "x[t] / y[t]"
    unit: ClassVar[str] = "ratio of the two units"
    missing: ClassVar[str] = "NaN where either reading is NaN or y is 0"

    def compute(self, block: Block) -> Float32s:
        return _quotient(_float64(block.physical[self.left]), _float64(block.physical[self.right]))


def cycle_table(cycle: Literal["hour", "weekday"], wave: Literal["sin", "cos"]) -> Float32s:
    """The values a cyclical time feature can take: per minute of the day (1440,), or per weekday from Monday (7,)."""
    steps = _MINUTES_PER_DAY if cycle == "hour" else 7
    angle = 2.0 * np.pi * np.arange(steps) / steps
    return (np.sin(angle) if wave == "sin" else np.cos(angle)).astype(np.float32)


@dataclass(frozen=True)
class Cycle(Operation):
    """Position in the day (to the minute) or in the week (to the day), UTC, as sine or cosine."""

    cycle: Literal["hour", "weekday"]
    wave: Literal["sin", "cos"]
    formula: ClassVar[str] = "sin or cos of 2π · minute of day / 1440, or of 2π · weekday / 7 (Monday = 0)"
    unit: ClassVar[str] = "none"
    missing: ClassVar[str] = "never NaN"

    def compute(self, block: Block) -> Float32s:
        minutes = block.seconds // _SECONDS_PER_MINUTE
        if self.cycle == "hour":
            position = minutes % _MINUTES_PER_DAY
        else:
            position = (minutes // _MINUTES_PER_DAY + _UNIX_EPOCH_WEEKDAY) % 7
        return cycle_table(self.cycle, self.wave)[position]


@dataclass(frozen=True)
class ZScore(Operation):
    """Deviation from the training mean, in training standard deviations."""

    channel: str
    formula: ClassVar[str] = "(x[t] - mean) / std, constants of the training part"
    unit: ClassVar[str] = "standard deviations"

    def compute(self, block: Block) -> Float32s:
        return _float32(self.exact(block))

    def exact(self, block: Block) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """The z-score before rounding; float64 of shape (n_rows,)."""
        constants = block.constants[self.channel]
        return (_float64(block.normal[self.channel]) - constants.mean) / constants.scale


@dataclass(frozen=True)
class Outlier(Operation):
    """1 where the reading lies further from the training mean than a number of standard deviations."""

    channel: str
    threshold: float
    formula: ClassVar[str] = "1 if |x[t] - mean| / std > threshold else 0"
    unit: ClassVar[str] = "none"

    def compute(self, block: Block) -> Float32s:
        z = np.abs(ZScore(self.channel).exact(block))
        return np.where(np.isnan(z), np.float32(np.nan), (z > self.threshold).astype(np.float32))


@dataclass(frozen=True)
class MeanDistance(Operation):
    """Distance of the reading from its recent mean, in training standard deviations."""

    channel: str
    window: int
    formula: ClassVar[str] = "(x[t] - mean of x[t - w + 1 .. t]) / std of training"
    unit: ClassVar[str] = "standard deviations"

    @property
    def look_back(self) -> int:
        return self.window

    def compute(self, block: Block) -> Float32s:
        mean = Rolling(self.channel, "mean", self.window).compute(block)
        deviation = _float64(block.normal[self.channel]) - _float64(mean)
        return _float32(deviation / block.constants[self.channel].scale)


@dataclass(frozen=True)
class Changes(Operation):
    """How often a signal changed inside the window."""

    channel: str
    window: int
    formula: ClassVar[str] = "number of i in t - w + 2 .. t with x[i] ≠ x[i-1]"
    unit: ClassVar[str] = "changes"
    missing: ClassVar[str] = "a pair with a NaN is no change; NaN if the window holds no value"

    @property
    def look_back(self) -> int:
        return self.window

    def compute(self, block: Block) -> Float32s:
        x = block.physical[self.channel]
        out = np.empty_like(x)
        kernels.changes(x, block.start, self.window, out)
        return out


@dataclass(frozen=True)
class SinceChange(Operation):
    """Time since the signal last had another value, at most the window."""

    channel: str
    window: int
    formula: ClassVar[str] = "interval · min(t - i over i > t - w with x[i] ≠ x[t]; w if none)"
    unit: ClassVar[str] = "seconds"
    missing: ClassVar[str] = "NaN where the reading is NaN; NaN before it are skipped"

    @property
    def look_back(self) -> int:
        return self.window

    def compute(self, block: Block) -> Float32s:
        x = block.physical[self.channel]
        out = np.empty_like(x)
        kernels.since_change(x, block.start, self.window, out)
        return _float32(_float64(out) * block.interval)


@dataclass(frozen=True)
class Efficiency(Operation):
    """Hydraulic power delivered per electrical power taken: pressure · flow / power (or / (voltage · current))."""

    pressure: str
    flow: str
    power: tuple[str, ...]
    formula: ClassVar[str] = "p[t] · q[t] / P[t], with P measured or u[t] · i[t]"
    unit: ClassVar[str] = "ratio of the units"
    missing: ClassVar[str] = "NaN where one of the readings is NaN or the power is 0"

    def compute(self, block: Block) -> Float32s:
        hydraulic = _float64(block.physical[self.pressure]) * _float64(block.physical[self.flow])
        electrical = _float64(block.physical[self.power[0]])
        for name in self.power[1:]:
            electrical = electrical * _float64(block.physical[name])
        return _quotient(hydraulic, electrical)


@dataclass(frozen=True)
class Stress(Operation):
    """How far a reading lies above what training found normal; 0 below it."""

    channel: str
    formula: ClassVar[str] = "max(0, (x[t] - mean) / std), constants of the training part"
    unit: ClassVar[str] = "standard deviations"

    def compute(self, block: Block) -> Float32s:
        return _float32(np.maximum(ZScore(self.channel).exact(block), 0.0))


@dataclass(frozen=True)
class Trend(Operation):
    """Recent mean less long-run mean: positive while the level rises."""

    channel: str
    short: int
    long: int
    formula: ClassVar[str] = "mean of the last w₁ samples - mean of the last w₂ samples, w₁ < w₂"
    unit: ClassVar[str] = "of the sensor"
    missing: ClassVar[str] = "NaN are skipped; NaN if the short window holds no value"

    @property
    def look_back(self) -> int:
        return self.long

    def compute(self, block: Block) -> Float32s:
        recent = _float64(Rolling(self.channel, "mean", self.short).compute(block))
        settled = _float64(Rolling(self.channel, "mean", self.long).compute(block))
        return _float32(recent - settled)


@dataclass(frozen=True)
class Health(Operation):
    """1 while the recent mean is at or below the training mean, falling towards 0 as it rises above."""

    channel: str
    window: int
    formula: ClassVar[str] = (
        "1 / (1 + max(0, (mean of the last w samples - mean) / std)), constants of the training part"
    )
    unit: ClassVar[str] = "none (0 to 1)"
    missing: ClassVar[str] = "NaN are skipped; NaN if the window holds no value"

    @property
    def look_back(self) -> int:
        return self.window

    def compute(self, block: Block) -> Float32s:
        constants = block.constants[self.channel]
        level = _float64(Rolling(self.channel, "mean", self.window).compute(block))
        return _float32(1.0 / (1.0 + np.maximum((level - constants.mean) / constants.scale, 0.0)))


@dataclass(frozen=True)
class Regime(Operation):
    """Number of the operating regime the row belongs to."""

    formula: ClassVar[str] = "index of the nearest training centroid of the standardised operating columns"
    unit: ClassVar[str] = "none"
    missing: ClassVar[str] = "NaN where an operating column is NaN"

    def compute(self, block: Block) -> Float32s:
        if block.regime is None:
            raise ValueError("a regime feature needs operating columns")
        return block.regime
