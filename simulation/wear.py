"""The hidden lives of the pumps: wear grows at random and with load, crosses a random limit, is repaired.

Within a life, *damage* D grows as a gamma process whose rate rises with the cube of the load, plus rare shocks (van
Noortwijk, "A survey of the application of gamma processes in maintenance", 2009). *Wear* is what damage does to the
machine, and it accelerates as cracks do: ``wear = (exp(k D) - 1) / (exp(k) - 1)``. Failure is the first instant at
which wear reaches the limit of that life.

All that a life needs is drawn from generators that nothing else uses, one per asset, and no draw depends on a limit:
with other limits a pump behaves the same until its first failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.stochastic import Floats, Mask, episodes

DAY = 86_400.0


@dataclass(frozen=True)
class WearLaw:
    """Parameters of wear, failure and repair."""

    mean_life_days: float = 19.0
    """Days that damage needs from 0 to 1 at reference load."""
    reference_load: float = 70.0
    """Set point in percent at which damage grows at its nominal rate."""
    load_exponent: float = 3.0
    """Damage rate ~ load ** exponent: the exponent of bearing life (ISO 281)."""
    grain: float = 0.0025
    """Mean size of the jumps of the gamma process; its variance is grain times its mean."""
    shocks_per_day: float = 0.05
    shock_size: float = 0.025
    """Mean extra damage of one shock (exponential)."""
    life_spread: float = 0.12
    """Standard deviation of the logarithm of a life's own damage rate."""
    acceleration: float = 3.2
    """k above."""
    limit: float = 1.0
    """Median wear at which a pump fails."""
    limit_spread: float = 0.05
    """Standard deviation of the logarithm of the limit."""
    residual_damage: float = 0.15
    """Damage that a repair leaves behind at most (uniform)."""
    bearing_share: tuple[float, float] = (0.38, 0.62)
    """Range of the part of wear that sits in the bearing; the rest sits in impeller and seals."""
    remount_spread: float = 0.04
    """Standard deviation of the logarithm of the vibration sensor's gain after it was mounted anew."""
    waiting_hours: float = 3.0
    repair_hours: float = 9.0
    """Mean time until the crew comes, and until it is done (both exponential, at least one step)."""
    services_per_day: float = 1 / 30
    service_hours: float = 3.0
    """Planned stops: they interrupt wear and do not undo it."""

    def wear(self, damage: Floats) -> Floats:
        """Wear of given damage; 0 at 0 and 1 at 1."""
        return np.asarray(np.expm1(self.acceleration * damage) / np.expm1(self.acceleration))


@dataclass(frozen=True)
class Lives:
    """Hidden truth, each (n_steps, n_assets)."""

    wear: Floats
    """Non-decreasing within a life; while failed, the wear at failure; after repair, what repair left."""
    limit: Floats
    life: NDArray[np.int64]
    """Number of the life, from 0."""
    bearing_share: Floats
    vibration_gain: Floats
    failed: Mask
    """From the first instant at which wear >= limit until the pump runs again."""
    repairing: Mask
    """That part of `failed` in which the crew is at work."""
    service: Mask
    """Planned stops."""

    @property
    def running(self) -> Mask:
        """Neither failed nor in service."""
        return ~(self.failed | self.service)


@dataclass(frozen=True)
class _Life:
    start: int
    failure: int  # n_steps if it did not fail
    repair: int
    end: int
    wear: Floats  # from start to failure, the latter included
    limit: float
    bearing_share: float
    vibration_gain: float


def simulate_lives(rng: np.random.Generator, load_percent: Floats, interval: float, law: WearLaw) -> Lives:
    """Live through all lives of all pumps under the given load set points, (n_steps, n_assets)."""
    shape = load_percent.shape
    service = episodes(
        rng, shape, per_day=law.services_per_day, mean_seconds=law.service_hours * 3600, interval=interval
    )
    increments = np.where(service, 0.0, damage_increments(rng, load_percent, interval, law))
    columns = [
        _history(list(_lives_of_asset(own, increments[:, asset], interval, law)), shape[0])
        for asset, own in enumerate(rng.spawn(shape[1]))
    ]
    fields = {name: np.stack([column[name] for column in columns], axis=1) for name in columns[0]}
    return Lives(service=service & ~fields["failed"], **fields)


def damage_increments(rng: np.random.Generator, load_percent: Floats, interval: float, law: WearLaw) -> Floats:
    """Damage per step of a pump that runs: gamma process plus shocks, (n_steps, n_assets), never negative."""
    severity = (load_percent / law.reference_load) ** law.load_exponent
    mean = severity * interval / (law.mean_life_days * DAY)
    gradual = rng.gamma(mean / law.grain, law.grain)
    shocks = rng.random(mean.shape) < law.shocks_per_day * interval / DAY
    return np.asarray(gradual + np.where(shocks, rng.exponential(law.shock_size, mean.shape), 0.0))


def _lives_of_asset(rng: np.random.Generator, increments: Floats, interval: float, law: WearLaw) -> Iterator[_Life]:
    n_steps = len(increments)
    start, damage = 0, float(rng.uniform(0.0, 0.8))  # the archive begins in the middle of the pumps' lives
    while start < n_steps:
        pace = float(rng.lognormal(0.0, law.life_spread))
        limit = law.limit * float(rng.lognormal(0.0, law.limit_spread))
        wear = law.wear(damage + np.cumsum(pace * increments[start:]))
        failure = start + int(np.searchsorted(wear, limit))
        repair = failure + _steps(rng, law.waiting_hours, interval)
        end = repair + _steps(rng, law.repair_hours, interval)
        share, gain = float(rng.uniform(*law.bearing_share)), float(rng.lognormal(0.0, law.remount_spread))
        yield _Life(start, failure, repair, end, wear[: failure - start + 1], limit, share, gain)
        start, damage = end, float(rng.uniform(0.0, law.residual_damage))


def _steps(rng: np.random.Generator, mean_hours: float, interval: float) -> int:
    return max(1, round(float(rng.exponential(mean_hours)) * 3600 / interval))


def _history(lives: list[_Life], n_steps: int) -> dict[str, NDArray[np.generic]]:
    """The lives of one asset, one after another, as columns of `Lives`."""
    spans = [min(life.end, n_steps) - life.start for life in lives]
    step = np.arange(n_steps)

    def per_step(values: list[float]) -> Floats:
        return np.repeat(np.array(values, dtype=np.float64), spans)

    wear = [np.pad(life.wear, (0, span - len(life.wear)), mode="edge") for life, span in zip(lives, spans, strict=True)]
    return {
        "wear": np.concatenate(wear),
        "limit": per_step([life.limit for life in lives]),
        "life": np.repeat(np.arange(len(lives)), spans),
        "bearing_share": per_step([life.bearing_share for life in lives]),
        "vibration_gain": per_step([life.vibration_gain for life in lives]),
        "failed": step >= per_step([life.failure for life in lives]),
        "repairing": step >= per_step([life.repair for life in lives]),
    }
