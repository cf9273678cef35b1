from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from simulation.disturbances import DisturbanceRates, disturb_sensors, lost_rows, poll_times, repeat_rows

INTERVAL = 900.0
RATES = DisturbanceRates()
SHAPE = (5000, 6)


def _readings() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=SHAPE) for name in ("vibration", "load_setpoint", "total_volume")}


def test_sensors_drop_out_one_by_one_and_the_input_stays() -> None:
    readings = _readings()
    before = {name: values.copy() for name, values in readings.items()}
    disturbed = disturb_sensors(np.random.default_rng(1), readings, INTERVAL, replace(RATES, stuck_per_sensor_day=0))
    for name, values in before.items():
        np.testing.assert_array_equal(readings[name], values)
        present = ~np.isnan(disturbed[name])
        np.testing.assert_array_equal(disturbed[name][present], values[present])
    lost = np.isnan(disturbed["vibration"])
    assert 0 < lost.mean() < 0.01
    assert (lost != np.isnan(disturbed["total_volume"])).any()
    assert not np.isnan(disturbed["load_setpoint"]).any()


def test_a_stuck_sensor_repeats_its_last_value() -> None:
    readings = _readings()
    rates = replace(RATES, dropouts_per_sensor_day=0, stuck_per_sensor_day=0.05)
    disturbed = disturb_sensors(np.random.default_rng(1), readings, INTERVAL, rates)
    changed = disturbed["vibration"] != readings["vibration"]
    assert changed.any()
    repeats = disturbed["vibration"][1:] == disturbed["vibration"][:-1]
    assert repeats[changed[1:]].all()
    np.testing.assert_array_equal(disturbed["total_volume"], readings["total_volume"])


def test_gaps_of_one_pump_and_of_the_whole_station() -> None:
    own = lost_rows(np.random.default_rng(1), SHAPE, INTERVAL, replace(RATES, station_gaps_per_day=0))
    shared = lost_rows(
        np.random.default_rng(2), SHAPE, INTERVAL, replace(RATES, asset_gaps_per_day=0, station_gaps_per_day=0.2)
    )
    assert own.any()
    assert not own.all(axis=1).any()
    assert shared.any()
    np.testing.assert_array_equal(shared.any(axis=1), shared.all(axis=1))


@pytest.mark.parametrize("interval", [1.0, 10.0, 600.0, 900.0])
def test_a_reading_belongs_to_the_instant_that_follows_it(interval: float) -> None:
    instants = np.arange(1, 2001) * interval
    times = poll_times(np.random.default_rng(0), instants, 12, RATES)
    lead = instants[:, None] - times
    assert lead.min() >= 0
    assert lead.max() < interval
    assert np.diff(times, axis=0).std() > 0


def test_repeated_rows_are_neighbours_and_equal() -> None:
    rows = pd.DataFrame({"value": np.arange(20_000)})
    repeated = repeat_rows(np.random.default_rng(0), rows, RATES)
    assert 5 <= len(repeated) - len(rows) <= 50
    pd.testing.assert_frame_equal(repeated.drop_duplicates(ignore_index=True), rows)
    assert repeated["value"].is_monotonic_increasing
