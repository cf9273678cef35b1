from __future__ import annotations

import numpy as np

from ml.learning.folds.group_allocation import share_out


def test_equal_targets_get_equal_failures_and_similar_rows() -> None:
    rng = np.random.default_rng(3)
    failures, rows = rng.integers(0, 3, 60), rng.integers(50, 150, 60)
    groups = share_out(failures, rows, failure_targets=np.ones(3), row_targets=np.ones(3), seed=1)
    got = np.bincount(groups, weights=failures)
    assert np.ptp(got) <= 1
    assert np.ptp(np.bincount(groups, weights=rows)) <= 150


def test_every_group_gets_a_failure_before_any_gets_a_second() -> None:
    shares = np.array([0.8, 0.1, 0.1])
    for seed in range(20):
        groups = share_out(
            np.array([1, 1, 1, 0]), np.full(4, 10), failure_targets=shares, row_targets=shares, seed=seed
        )
        assert sorted(groups[:3].tolist()) == [0, 1, 2]


def test_the_largest_block_goes_to_the_largest_target() -> None:
    shares = np.array([0.2, 0.6, 0.2])
    groups = share_out(np.array([1, 9, 1]), np.full(3, 10), failure_targets=shares, row_targets=shares, seed=5)
    assert groups[1] == 1


def test_the_seed_decides_between_equal_blocks() -> None:
    def draw(seed: int) -> list[int]:
        ones = np.ones(12, dtype=np.int64)
        return share_out(ones, ones, failure_targets=np.ones(3), row_targets=np.ones(3), seed=seed).tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_without_failures_rows_are_balanced() -> None:
    rows = np.array([50, 30, 20, 10, 10])
    targets = np.array([1.0, 1.0])
    groups = share_out(np.zeros(5, dtype=np.int64), rows, failure_targets=np.zeros(2), row_targets=targets, seed=0)
    assert np.ptp(np.bincount(groups, weights=rows)) <= 50
    assert set(groups) == {0, 1}
