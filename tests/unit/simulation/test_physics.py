from __future__ import annotations

import numpy as np
import pytest

from simulation import physics
from simulation.surroundings import Surroundings
from tests.reference.plant_series import litres_counted

NEW = np.zeros((1, 1))
WORN = np.ones((1, 1))
RATED = np.ones((1, 1))


def _behave(load: float, hydraulic: float, bearing: float, *, running: bool = True) -> physics.Behaviour:
    steps = (200, 1)
    around = Surroundings(
        load_percent=np.full(steps, load),
        ambient_celsius=np.full(steps, 20.0),
        mains_volt=np.full(steps, 400.0),
        suction_bar=np.full(steps, 1.4),
    )
    wear = physics.Wear(np.full(steps, running), np.full(steps, hydraulic), np.full(steps, bearing))
    pump = physics.Individuality(hydraulics=np.ones(1), cooling=np.ones(1), balance=np.ones(1))
    return physics.behave(around, wear, pump, 900.0)


def test_affinity_laws_of_the_new_pump() -> None:
    half = RATED / 2
    assert physics.flow_lpm(half, NEW) * 2 == pytest.approx(physics.flow_lpm(RATED, NEW))
    assert physics.head_m(half, NEW) * 4 == pytest.approx(physics.head_m(RATED, NEW))
    shaft = [
        physics.power_w(physics.flow_lpm(s, NEW), physics.head_m(s, NEW), NEW, NEW) - physics.STANDBY_W
        for s in (half, RATED)
    ]
    assert shaft[0] * 8 == pytest.approx(shaft[1])


def test_rated_power_follows_from_flow_head_and_efficiency() -> None:
    behaviour = _behave(100.0, 0.0, 0.0)
    hydraulic = 998 * 9.81 * 0.075 / 60 * 62  # kg/m³ · m/s² · m³/s · m
    assert behaviour.power_w[-1, 0] == pytest.approx((hydraulic / 0.56 + 70) / 0.85 + 14)
    apparent = np.sqrt(3) * 400 * behaviour.current_a[-1, 0]
    assert behaviour.power_w[-1, 0] / apparent == pytest.approx(0.84)


@pytest.mark.parametrize("load", [45.0, 62.0, 80.0, 97.0])
def test_bearing_wear_shows_in_vibration_and_temperature_in_every_regime(load: float) -> None:
    new, worn = _behave(load, 0.0, 0.0), _behave(load, 0.0, 1.0)
    assert worn.vibration_mm_s[-1, 0] > 1.5 * new.vibration_mm_s[-1, 0]
    assert worn.temperature_celsius[-1, 0] > new.temperature_celsius[-1, 0] + 2
    assert worn.pressure_bar[-1, 0] == new.pressure_bar[-1, 0]


@pytest.mark.parametrize("load", [45.0, 62.0, 80.0, 97.0])
def test_hydraulic_wear_costs_flow_for_more_speed(load: float) -> None:
    new, worn = _behave(load, 0.0, 0.0), _behave(load, 1.0, 0.0)
    assert worn.flow_lpm[-1, 0] < new.flow_lpm[-1, 0]
    assert worn.speed_rpm[-1, 0] > new.speed_rpm[-1, 0]
    assert worn.current_a[-1, 0] > new.current_a[-1, 0]


def test_vibration_rises_faster_than_bearing_wear() -> None:
    levels = [_behave(62.0, 0.0, wear).vibration_mm_s[-1, 0] for wear in (0.0, 0.5, 1.0)]
    assert levels[2] - levels[1] > 2 * (levels[1] - levels[0])


def test_the_frame_resonates_between_the_regimes() -> None:
    levels = [_behave(load, 0.0, 0.0).vibration_mm_s[-1, 0] for load in (70.0, 81.0, 92.0)]
    assert levels[1] > max(levels[0], levels[2])


def test_a_stopped_pump_moves_nothing_and_cools_down() -> None:
    stopped = _behave(80.0, 0.6, 0.6, running=False)
    assert stopped.flow_lpm.max() == 0
    assert stopped.speed_rpm.max() == 0
    assert stopped.pressure_bar[-1, 0] == pytest.approx(1.4)
    assert stopped.power_w[-1, 0] == pytest.approx(physics.STANDBY_W)
    assert stopped.vibration_mm_s[-1, 0] == physics.NEIGHBOUR_VIBRATION
    assert stopped.temperature_celsius[-1, 0] == pytest.approx(20 + 0.115 * 0.15 * 14)


def test_the_counter_counts_every_litre_of_the_flow() -> None:
    rng = np.random.default_rng(0)
    flow, replaced = rng.uniform(0, 80, (500, 2)), rng.random((500, 2)) < 0.01
    start = np.array([2.5e8, physics.COUNTER_MODULUS - 1000.0])
    counted = physics.totaliser(flow, 900.0, start, replaced)
    for asset in range(2):
        expected = litres_counted(
            flow[:, asset].tolist(), 900.0, start[asset], replaced[:, asset].tolist(), physics.COUNTER_MODULUS
        )
        # A running sum and a recursion may round to either side of a whole litre.
        difference = (counted[:, asset] - expected + 1) % physics.COUNTER_MODULUS - 1
        assert np.abs(difference).max() <= 1
        assert (difference == 0).mean() > 0.99


def test_the_counter_passes_its_end() -> None:
    counted = physics.totaliser(np.full((3, 1), 60.0), 60.0, np.array([2.0**28 - 100]), np.zeros((3, 1), dtype=bool))
    assert counted[:, 0].tolist() == [2.0**28 - 40, 20.0, 80.0]
