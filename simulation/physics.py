"""What a worn centrifugal pump does: explicit equations, true values, no sensor errors.

A station of small booster pumps on variable-speed drives. Symbols, all arrays (n_steps, n_assets):

- s: speed as a share of rated speed; 0 while the pump stands still
- h: hydraulic wear (impeller, wear rings, seals), b: bearing wear; 0 new, about 1 at failure

The affinity laws (flow ~ s, head ~ s², power ~ s³; Karassik, "Pump Handbook", ch. 2) hold for the new pump; wear takes
flow, head and efficiency away and adds friction. No equation knows the wear limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.stochastic import Floats, Mask, first_order_lag
from simulation.surroundings import Surroundings

RATED_RPM = 2900.0
RATED_FLOW_LPM = 75.0
"""Litres per minute."""
RATED_HEAD_M = 62.0
RATED_EFFICIENCY = 0.56
MOTOR_EFFICIENCY = 0.85
STANDBY_W = 14.0
"""Drive electronics and standstill heating."""
FRICTION_W = 70.0
"""Bearing and seal friction of the new pump at rated speed."""
MAX_SPEED = 1.12

WATER_DENSITY = 998.0  # kg/m³
GRAVITY = 9.81  # m/s²
PASCAL_PER_BAR = 1e5

THERMAL_RESISTANCE = 0.115
"""Kelvin per watt of loss, bearing housing to air."""
THERMAL_TIME_CONSTANT = 5400.0
"""Seconds until a step in losses has done 63 % of its warming."""

RESONANCE_SPEED = 0.81
RESONANCE_WIDTH = 0.05
RESONANCE_GAIN = 0.45
NEIGHBOUR_VIBRATION = 0.12
"""mm/s RMS that the neighbours send through the base frame."""

COUNTER_MODULUS = 2**28
"""The totaliser is a 28-bit pulse counter, one litre per pulse: 268,435,455 is followed by 0."""


@dataclass(frozen=True)
class Individuality:
    """What tells one pump of the same type from the next, each (n_assets,), about 1."""

    hydraulics: Floats
    cooling: Floats
    balance: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, n_assets: int) -> Individuality:
        """Manufacturing and installation tolerances."""
        return cls(
            hydraulics=rng.normal(1.0, 0.008, n_assets),
            cooling=rng.lognormal(0.0, 0.04, n_assets),
            balance=rng.lognormal(0.0, 0.08, n_assets),
        )


@dataclass(frozen=True)
class Wear:
    """State of the machine, each (n_steps, n_assets)."""

    running: Mask
    hydraulic: Floats
    bearing: Floats


@dataclass(frozen=True)
class Behaviour:
    """True physical values, each (n_steps, n_assets), in the units named."""

    speed_rpm: Floats
    flow_lpm: Floats
    pressure_bar: Floats
    power_w: Floats
    current_a: Floats
    temperature_celsius: Floats
    vibration_mm_s: Floats


def behave(around: Surroundings, wear: Wear, pump: Individuality, interval: float) -> Behaviour:
    """All of the equations below, in order of cause and effect."""
    s = speed_ratio(around.load_percent, wear.hydraulic) * wear.running
    flow = flow_lpm(s, wear.hydraulic) * pump.hydraulics
    head = head_m(s, wear.hydraulic) * pump.hydraulics
    friction = friction_w(s, wear.bearing)
    power = power_w(flow, head, friction, wear.hydraulic)
    warm = around.ambient_celsius + temperature_rise(power, friction) * pump.cooling
    return Behaviour(
        speed_rpm=RATED_RPM * s,
        flow_lpm=flow,
        pressure_bar=pressure_bar(head, around.suction_bar),
        power_w=power,
        current_a=current_a(power, around.mains_volt, s),
        temperature_celsius=first_order_lag(warm, time_constant=THERMAL_TIME_CONSTANT, interval=interval),
        vibration_mm_s=vibration_mm_s(s, wear.bearing, wear.running, pump.balance),
    )


def speed_ratio(load_percent: Floats, h: Floats) -> Floats:
    """Speed for a flow set point. The controller makes up for part of the flow lost to wear, up to `MAX_SPEED`."""
    return np.minimum(load_percent / 100 * (1 + 0.07 * h), MAX_SPEED)


def flow_lpm(s: Floats, h: Floats) -> Floats:
    """Flow ~ s; internal leakage takes 14 % of it at h = 1."""
    return RATED_FLOW_LPM * s * (1 - 0.14 * h)


def head_m(s: Floats, h: Floats) -> Floats:
    """Head ~ s²; 12 % lost at h = 1."""
    return RATED_HEAD_M * s**2 * (1 - 0.12 * h)


def pressure_bar(head: Floats, suction_bar: Floats) -> Floats:
    """Discharge pressure p = p_suction + rho g H."""
    return suction_bar + WATER_DENSITY * GRAVITY * head / PASCAL_PER_BAR


def friction_w(s: Floats, b: Floats) -> Floats:
    """Friction ~ s; it grows by 150 % of its new value with the square of bearing wear."""
    return FRICTION_W * s * (1 + 1.5 * b**2)


def power_w(flow: Floats, head: Floats, friction: Floats, h: Floats) -> Floats:
    """Electrical power: (rho g Q H / efficiency + friction) / motor efficiency + standby; efficiency falls with h."""
    hydraulic = WATER_DENSITY * GRAVITY * (flow / 60_000) * head
    return (hydraulic / (RATED_EFFICIENCY * (1 - 0.17 * h)) + friction) / MOTOR_EFFICIENCY + STANDBY_W


def current_a(power: Floats, mains_volt: Floats, s: Floats) -> Floats:
    """Line current I = P / (sqrt(3) U cos phi); the power factor rises with speed."""
    power_factor = 0.62 + 0.22 * np.minimum(s, 1.0)
    return np.asarray(power / (3**0.5 * mains_volt * power_factor))


def temperature_rise(power: Floats, friction: Floats) -> Floats:
    """Steady rise of the bearing housing above air, in kelvin: friction and motor losses through a resistance."""
    return THERMAL_RESISTANCE * (friction + (1 - MOTOR_EFFICIENCY) * power)


def vibration_mm_s(s: Floats, b: Floats, running: Mask, balance: Floats) -> Floats:
    """Velocity in mm/s RMS: unbalance ~ s², a resonance of the frame, and a bearing that rattles with b squared."""
    resonance = 1 + RESONANCE_GAIN * np.exp(-0.5 * ((s - RESONANCE_SPEED) / RESONANCE_WIDTH) ** 2)
    own = (0.45 + 1.05 * s**2) * resonance * (1 + 1.3 * b**2) * balance
    return NEIGHBOUR_VIBRATION + running * own


def totaliser(flow: Floats, interval: float, start: Floats, replaced: Mask) -> Floats:
    """Litres counted by a pulse counter of `COUNTER_MODULUS`, whole numbers in float64, (n_steps, n_assets).

    Parameters
    ----------
    flow
        True flow in litres per minute, constant over the interval that ends at the step.
    start
        Count before the first step, (n_assets,).
    replaced
        Steps at which a new meter is mounted: it has counted nothing yet.
    """
    litres = start + np.cumsum(flow * interval / 60, axis=0)
    steps = np.arange(len(flow))[:, None]
    last = np.maximum.accumulate(np.where(replaced, steps, -1), axis=0)
    before = np.where(last >= 0, np.take_along_axis(litres, np.maximum(last, 0), axis=0), 0.0)
    return np.asarray(np.floor(litres - before) % COUNTER_MODULUS)
