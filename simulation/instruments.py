"""What the station's instruments make of the truth: drift, noise, resolution, and a classic limit alarm.

Every reading is ``round(truth * (1 + drift) + noise)``. Drift is slow mean-reverting noise (fouling, air in the line,
calibration), so it does not average out within hours: it is what keeps wear hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.physics import Behaviour
from simulation.stochastic import Floats, Mask, hold, ornstein_uhlenbeck
from simulation.surroundings import Surroundings

ALARM_VIBRATION_ON, ALARM_VIBRATION_OFF = 3.6, 3.0
"""mm/s RMS; on above the first, off below the second."""
ALARM_TEMPERATURE_ON, ALARM_TEMPERATURE_OFF = 65.0, 60.0
"""°C."""


@dataclass(frozen=True)
class Instrument:
    """Errors of one measuring chain."""

    noise: float
    """Standard deviation of each reading, in the unit of the reading."""
    resolution: float
    """Smallest step that is transmitted."""
    drift: float = 0.0
    """Standard deviation of the slow relative error."""
    drift_hours: float = 24.0
    """Its time constant."""

    def measure(self, rng: np.random.Generator, truth: Floats, interval: float) -> Floats:
        """Readings of `truth`, (n_steps, n_assets)."""
        drift = ornstein_uhlenbeck(
            rng, truth.shape, std=self.drift, time_constant=self.drift_hours * 3600, interval=interval
        )
        reading = truth * (1 + drift) + rng.normal(0.0, self.noise, truth.shape)
        return np.round(np.round(reading / self.resolution) * self.resolution, 6)


INSTRUMENTS = {
    "temperature": Instrument(noise=0.4, resolution=0.1, drift=0.04),
    "pressure": Instrument(noise=0.03, resolution=0.01, drift=0.02),
    "flow_rate": Instrument(noise=0.5, resolution=0.1, drift=0.025),
    "vibration": Instrument(noise=0.06, resolution=0.01, drift=0.13),
    "current": Instrument(noise=0.03, resolution=0.01, drift=0.025),
    "voltage": Instrument(noise=0.5, resolution=0.1),
    "rpm": Instrument(noise=4.0, resolution=1.0),
    "power_consumption": Instrument(noise=0.012, resolution=0.001, drift=0.025),
    "ambient_temperature": Instrument(noise=0.2, resolution=0.1),
}
_MAY_BE_NEGATIVE = frozenset({"ambient_temperature", "temperature"})


def measure(
    rng: np.random.Generator, truth: Behaviour, around: Surroundings, vibration_gain: Floats, interval: float
) -> dict[str, Floats]:
    """Readings by column name, each (n_steps, n_assets): °C, bar, l/min, mm/s, A, V, 1/min, kW, °C.

    `vibration_gain` is the factor of the vibration sensor as it is mounted at each step.
    """
    quantities = {
        "temperature": truth.temperature_celsius,
        "pressure": truth.pressure_bar,
        "flow_rate": truth.flow_lpm,
        "vibration": truth.vibration_mm_s * vibration_gain,
        "current": truth.current_a,
        "voltage": around.mains_volt,
        "rpm": truth.speed_rpm,
        "power_consumption": truth.power_w / 1000,
        "ambient_temperature": around.ambient_celsius,
    }
    readings = {name: INSTRUMENTS[name].measure(rng, value, interval) for name, value in quantities.items()}
    return {name: value if name in _MAY_BE_NEGATIVE else np.maximum(value, 0.0) for name, value in readings.items()}


def limit_alarm(vibration: Floats, temperature: Floats) -> Mask:
    """Alarm of the control system: either reading above its limit, with hysteresis."""
    by_vibration = with_hysteresis(vibration, ALARM_VIBRATION_ON, ALARM_VIBRATION_OFF)
    return by_vibration | with_hysteresis(temperature, ALARM_TEMPERATURE_ON, ALARM_TEMPERATURE_OFF)


def with_hysteresis(reading: Floats, switches_on: float, switches_off: float) -> Mask:
    """True from a reading above `switches_on` until one below `switches_off`; false before the first of either."""
    between = (reading >= switches_off) & (reading <= switches_on)
    return hold(np.where(between, 0.0, reading > switches_on), between) > 0
