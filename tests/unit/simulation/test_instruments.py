from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.instruments import Instrument, limit_alarm, with_hysteresis
from tests.reference.plant_series import alarm_states

TRUTH = np.full((4000, 50), 40.0)


def test_readings_have_the_noise_and_the_resolution_of_the_instrument() -> None:
    readings = Instrument(noise=0.4, resolution=0.1).measure(np.random.default_rng(0), TRUTH, 900.0)
    assert readings.std() == pytest.approx(0.4, rel=0.03)
    np.testing.assert_array_equal(readings, np.round(readings, 1))


def test_drift_does_not_average_out_within_hours() -> None:
    readings = Instrument(noise=0.0, resolution=1e-6, drift=0.02).measure(np.random.default_rng(0), TRUTH, 900.0)
    six_hours = readings[:24].mean(axis=0)
    assert six_hours.std() > 0.8 * 0.02 * 40


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=40))
def test_hysteresis_equals_the_relay(readings: list[float]) -> None:
    states = with_hysteresis(np.array(readings)[:, None], 6.0, 4.0)
    assert states[:, 0].tolist() == alarm_states(readings, 6.0, 4.0)


def test_either_reading_raises_the_alarm() -> None:
    vibration = np.array([[1.0], [9.0], [1.0], [1.0]])
    temperature = np.array([[40.0], [40.0], [40.0], [90.0]])
    assert limit_alarm(vibration, temperature)[:, 0].tolist() == [False, True, False, True]
