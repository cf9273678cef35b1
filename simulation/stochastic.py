"""Random and first-order processes in time, for all assets at once: arrays are (n_steps, n_assets), time first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def ornstein_uhlenbeck(
    rng: np.random.Generator, shape: tuple[int, int], *, std: float, time_constant: float, interval: float
) -> Floats:
    """Stationary mean-reverting noise, sampled exactly: x[k] = a x[k-1] + sqrt(1 - a²) std e[k], a = exp(-dt/tau).

    Parameters
    ----------
    shape
        (n_steps, n_assets) of the result; assets are independent.
    std
        Standard deviation at every instant, the first included.
    time_constant, interval
        tau and dt in seconds.
    """
    decay = float(np.exp(-interval / time_constant))
    innovations = rng.normal(0.0, std, shape)
    innovations[1:] *= np.sqrt(1.0 - decay**2)
    return np.asarray(lfilter([1.0], [1.0, -decay], innovations, axis=0), dtype=np.float64)


def first_order_lag(target: Floats, *, time_constant: float, interval: float) -> Floats:
    """Response of ``tau dy/dt = target - y`` with the target held over each interval; y starts at its target."""
    decay = float(np.exp(-interval / time_constant))
    start = decay * target[:1]
    response, _ = lfilter([1.0 - decay], [1.0, -decay], target, axis=0, zi=start)
    return np.asarray(response, dtype=np.float64)


def episodes(
    rng: np.random.Generator, shape: tuple[int, int], *, per_day: float, mean_seconds: float, interval: float
) -> Mask:
    """True during episodes that start as a Poisson process and last exponentially long, at least one step.

    Parameters
    ----------
    shape
        (n_steps, n_assets) of the result; assets are independent.
    per_day
        Starts per asset and day.
    mean_seconds, interval
        Mean duration and sampling interval in seconds.
    """
    starts = rng.random(shape) < per_day * interval / 86_400
    steps = np.ceil(rng.exponential(mean_seconds / interval, shape)).astype(np.int64)
    now = np.arange(shape[0])[:, None]
    ends = np.maximum.accumulate(np.where(starts, now + np.maximum(steps, 1), 0), axis=0)
    return np.asarray(ends > now)


def hold(values: Floats, frozen: Mask) -> Floats:
    """`values` with every frozen entry replaced by the last one of its asset that is not frozen.

    Entries frozen from the first step on keep the first value.
    """
    steps = np.arange(len(values))[:, None]
    source = np.maximum.accumulate(np.where(frozen, 0, steps), axis=0)
    return np.take_along_axis(values, source, axis=0)
