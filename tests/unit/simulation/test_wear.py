from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulation.wear import Lives, WearLaw, damage_increments, simulate_lives

INTERVAL = 900.0
LAW = WearLaw()


@pytest.fixture(scope="module")
def lives() -> Lives:
    load = np.random.default_rng(0).uniform(45, 97, (90 * 96, 5))
    return simulate_lives(np.random.default_rng(1), load, INTERVAL, LAW)


def _starts_of(mask: np.ndarray) -> np.ndarray:
    before = np.vstack([np.zeros_like(mask[:1]), mask[:-1]])
    return mask & ~before


def test_there_is_something_to_test(lives: Lives) -> None:
    assert _starts_of(lives.failed).sum() >= 15
    assert lives.service.any()


def test_wear_never_falls_within_a_life(lives: Lives) -> None:
    same_life = np.diff(lives.life, axis=0) == 0
    assert (np.diff(lives.wear, axis=0)[same_life] >= 0).all()


def test_a_pump_has_failed_exactly_when_wear_has_reached_the_limit(lives: Lives) -> None:
    np.testing.assert_array_equal(lives.failed, lives.wear >= lives.limit)


def test_a_life_ends_with_a_repair_that_leaves_little_wear(lives: Lives) -> None:
    new = np.diff(lives.life, axis=0) > 0
    assert lives.repairing[:-1][new].all()
    assert not lives.failed[1:][new].any()
    assert lives.wear[1:][new].max() < LAW.wear(np.array(LAW.residual_damage + 0.05))
    assert lives.wear[1:][new].min() > 0


def test_each_failure_waits_for_the_crew_before_it_is_repaired(lives: Lives) -> None:
    assert not lives.repairing[_starts_of(lives.failed)].any()
    assert not (lives.repairing & ~lives.failed).any()


def test_planned_stops_interrupt_wear_and_do_not_undo_it(lives: Lives) -> None:
    inside = lives.service[1:] & lives.service[:-1]
    assert (np.diff(lives.wear, axis=0)[inside] == 0).all()
    assert not (lives.service & lives.failed).any()


def test_a_failed_pump_does_not_wear(lives: Lives) -> None:
    inside = lives.failed[1:] & lives.failed[:-1]
    assert (np.diff(lives.wear, axis=0)[inside] == 0).all()


def test_damage_grows_with_the_cube_of_the_load() -> None:
    law = replace(LAW, shocks_per_day=0.0)
    low, high = (
        damage_increments(np.random.default_rng(0), np.full((200_000, 1), load), INTERVAL, law).mean()
        for load in (40.0, 80.0)
    )
    assert high / low == pytest.approx(2**3, rel=0.05)


def test_nominal_load_wears_a_pump_out_in_its_nominal_life() -> None:
    law = replace(LAW, shocks_per_day=0.0)
    load = np.full((400_000, 1), law.reference_load)
    mean = damage_increments(np.random.default_rng(0), load, INTERVAL, law).mean()
    assert INTERVAL / mean / 86_400 == pytest.approx(law.mean_life_days, rel=0.02)


def test_wear_runs_from_nothing_to_one_and_accelerates() -> None:
    wear = LAW.wear(np.array([0.0, 0.5, 1.0]))
    assert wear[[0, 2]] == pytest.approx([0.0, 1.0])
    assert wear[1] < 0.5


def test_the_limit_changes_nothing_before_the_first_failure() -> None:
    load = np.random.default_rng(0).uniform(45, 97, (40 * 96, 3))
    soon, late = (
        simulate_lives(np.random.default_rng(1), load, INTERVAL, replace(LAW, limit=limit)) for limit in (0.7, 1.0)
    )
    for asset in range(3):
        alike = slice(0, int(np.argmax(soon.failed[:, asset])))
        assert alike.stop > 0
        for name in ("wear", "bearing_share", "vibration_gain", "running", "service"):
            np.testing.assert_array_equal(getattr(soon, name)[alike, asset], getattr(late, name)[alike, asset])
