"""Ways in which sensors get worse, done to raw readings: noise, gaps, stuck and lost sensors, late and early readings.

Everything is drawn once per kind and seed and only scaled by the level, so that a higher level changes the same
readings in the same direction, only more. That keeps chance out of the shape of a curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ml.arrays import Float32s
from ml.config import OrganizationConfig
from ml.windows.channels import segment_starts

Kind = Literal["noise", "missing", "stuck", "lost", "jitter"]

# Stream of the random generator that each kind draws from.
_DRAWS: dict[Kind, int] = {"noise": 0, "missing": 1, "stuck": 2, "lost": 3, "jitter": 4}


@dataclass(frozen=True)
class SensorProfile:
    """What a perturbation needs to know of an organisation's sensors.

    Attributes
    ----------
    config
        Names the sensors and those that are counters.
    sensor_std
        Standard deviation of continuous sensors on the training part. Without one (absent, NaN, 0): no noise.
    importance
        How much the model relies on each sensor, in any unit; sensors that are stuck or lost first are those with
        most. A sensor that is not named counts as 0.
    """

    config: OrganizationConfig
    sensor_std: Mapping[str, float]
    importance: Mapping[str, float]

    @property
    def sensors(self) -> Sequence[str]:
        """All sensors, in the schema's order."""
        return self.config.schema_config.sensor_columns

    def most_important(self, share: float) -> list[str]:
        """That share of the sensors, at least one, beginning with those the model relies on most.

        The worst choice rather than a random one: it needs no luck to be repeated, and flatters nobody.
        """
        ranked = sorted(self.sensors, key=lambda name: -self._weight(name))  # stable: ties by schema order
        # rounded first, because 0.1 * 30 is a little more than 3
        return ranked[: max(1, math.ceil(round(share * len(ranked), 9)))]

    def _weight(self, sensor: str) -> float:
        """The importance of a sensor, with half that of each difference that is made of it."""
        pairs = self.config.schema_config.differences.items()
        made = (name for name, pair in pairs if sensor in (pair.value, pair.set_point))
        return self.importance.get(sensor, 0.0) + sum(self.importance.get(name, 0.0) / 2 for name in made)


def levels(config: OrganizationConfig) -> Iterator[tuple[Kind, float]]:
    """Every configured kind and level, from the mildest level of a kind on, after its level 0 (untouched)."""
    section = config.validation_config
    configured: dict[Kind, Sequence[float]] = {
        "noise": section.noise_levels,
        "missing": section.missing_rates,
        "stuck": section.stuck_shares,
        "lost": section.lost_shares,
        "jitter": section.jitter_steps,
    }
    for kind, values in configured.items():
        for level in (0.0, *values):
            yield kind, float(level)


def perturb(frame: pd.DataFrame, kind: Kind, level: float, profile: SensorProfile, seed: int) -> pd.DataFrame:
    """A copy of a grid frame with perturbed sensors; labels, times and segments stay.

    ``noise``
        Normal noise of ``level`` training standard deviations on continuous sensors. Counters get none: noise on a
        running total would make it run backwards, which no totaliser does and which would read as a reset.
    ``missing``
        That share of the readings of every sensor is removed, counters and booleans included.
    ``stuck``
        That share of the sensors keeps, in each segment, the first value it had there. Missing readings stay missing.
    ``lost``
        That share of the sensors has no reading at all.
    ``jitter``
        Each reading of each sensor is stamped up to ``level`` sampling intervals too late or too early, by a rounded
        uniform draw: a row shows the reading of a nearby instant of its segment in place of its own. A counter still
        never runs backwards.
    """
    perturbed = frame.copy()
    for name, values in _PERTURBATIONS[kind](
        frame, level, profile, np.random.default_rng([seed, _DRAWS[kind]])
    ).items():
        perturbed[name] = values
    return perturbed


def _noise(
    frame: pd.DataFrame, level: float, profile: SensorProfile, random: np.random.Generator
) -> dict[str, Float32s]:
    schema = profile.config.schema_config
    perturbed = {}
    for name in schema.continuous_columns:
        std = profile.sensor_std.get(name, 0.0)
        if name in schema.counter_columns or not std > 0:
            continue
        noise = level * std * random.standard_normal(len(frame))
        perturbed[name] = (frame[name].to_numpy(dtype=np.float64) + noise).astype(np.float32)
    return perturbed


def _missing(
    frame: pd.DataFrame, level: float, profile: SensorProfile, random: np.random.Generator
) -> dict[str, pd.Series]:
    return {name: frame[name].mask(random.random(len(frame)) < level) for name in profile.sensors}


def _stuck(frame: pd.DataFrame, level: float, profile: SensorProfile, _: np.random.Generator) -> dict[str, pd.Series]:
    segment = frame["segment"]
    return {
        name: frame.groupby(segment)[name].transform("first").where(frame[name].notna())
        for name in profile.most_important(level)
    }


def _lost(frame: pd.DataFrame, level: float, profile: SensorProfile, _: np.random.Generator) -> dict[str, pd.Series]:
    return {name: frame[name].mask(np.ones(len(frame), dtype=bool)) for name in profile.most_important(level)}


def _jitter(
    frame: pd.DataFrame, level: float, profile: SensorProfile, random: np.random.Generator
) -> dict[str, pd.Series]:
    position = np.arange(len(frame))
    first = segment_starts(frame["segment"].to_numpy())
    last = len(frame) - 1 - segment_starts(frame["segment"].to_numpy()[::-1])[::-1]
    perturbed = {}
    for name in profile.sensors:
        shift = np.rint(level * random.uniform(-1, 1, len(frame))).astype(np.int64)
        source = np.clip(position + shift, first, last)
        if name in profile.config.schema_config.counter_columns:
            source = np.maximum.accumulate(source)
        perturbed[name] = frame[name].take(source).set_axis(frame.index)
    return perturbed


_Changed = Mapping[str, "pd.Series | Float32s"]
_Perturbation = Callable[[pd.DataFrame, float, SensorProfile, np.random.Generator], _Changed]
_PERTURBATIONS: dict[Kind, _Perturbation] = {
    "noise": _noise,
    "missing": _missing,
    "stuck": _stuck,
    "lost": _lost,
    "jitter": _jitter,
}
