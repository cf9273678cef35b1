"""Sharing whole blocks of rows out over groups so that failures, then rows, are balanced."""

from __future__ import annotations

import numpy as np

from ml.arrays import Float64s, Int64s


def share_out(
    failures: Int64s,
    rows: Int64s,
    *,
    failure_targets: Float64s,
    row_targets: Float64s,
    seed: int,
) -> Int64s:
    """Assign each block to a group.

    Greedy, as in longest-processing-time scheduling (Graham 1969): blocks are shuffled, those with most failures come
    first, and each goes to the group that has got the smallest part of its target failures so far; ties are broken
    by rows, then by the larger target. Blocks without failures come last and follow the row targets. Every group
    therefore gets one block with failures before any gets a second one.

    Parameters
    ----------
    failures, rows
        Failures and rows of each block, shape (n_blocks,).
    failure_targets, row_targets
        What each group should get, shape (n_groups,), in any unit.
    seed
        Seed of the shuffle.

    Returns
    -------
    array of int64, shape (n_blocks,)
        The group of each block.
    """
    order = np.random.default_rng(seed).permutation(len(failures))
    order = order[np.argsort(-failures[order], kind="stable")]
    goal_failures = np.maximum(failure_targets, np.finfo(np.float64).tiny)
    goal_rows = np.maximum(row_targets, np.finfo(np.float64).tiny)
    got_failures, got_rows = np.zeros(len(goal_rows)), np.zeros(len(goal_rows))
    groups = np.empty(len(failures), dtype=np.int64)
    for block in order:
        fullness = got_failures / goal_failures if failures[block] else got_rows / goal_rows
        group = np.lexsort((-goal_rows, got_rows / goal_rows, fullness))[0]
        groups[block] = group
        got_failures[group] += failures[block]
        got_rows[group] += rows[block]
    return groups
