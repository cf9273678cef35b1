"""Rows of one instant, against a loop over their cells; and the same whether they come at once or in runs."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.cleaning.instants import merge_rows
from ml.cleaning.parsing import NOT_UNDERSTOOD

cells = st.sampled_from([math.nan, 0.0, 1.0, 2.0])
flags = st.sampled_from([math.nan, 0.0, 1.0, NOT_UNDERSTOOD])
instants = st.lists(st.lists(st.tuples(cells, flags), min_size=1, max_size=4), min_size=1, max_size=20)


def naive(rows: list[tuple[float, float]]) -> tuple[float, float, bool, bool]:
    values = [value for value, _ in rows if not math.isnan(value)]
    states = [state for _, state in rows if not math.isnan(state)]
    state = next((rank for rank in (1.0, NOT_UNDERSTOOD, 0.0) if rank in states), math.nan)
    return values[-1] if values else math.nan, state, len(set(values)) > 1, len(set(states)) > 1


@settings(max_examples=200, deadline=None)
@given(instants)
def test_equals_a_loop_over_the_cells(groups: list[list[tuple[float, float]]]) -> None:
    flat = np.array([row for group in groups for row in group], dtype=np.float32)
    starts = np.array([position == 0 for group in groups for position in range(len(group))])
    found = merge_rows({"x": flat[:, 0], "target": flat[:, 1]}, starts, ("target",))
    expected = [naive(group) for group in groups]
    np.testing.assert_array_equal(found.columns["x"], np.float32([each[0] for each in expected]))
    np.testing.assert_array_equal(found.columns["target"], np.float32([each[1] for each in expected]))
    assert found.contested.tolist() == [each[2] for each in expected]
    counts = {"x": sum(each[2] for each in expected), "target": sum(each[3] for each in expected)}
    assert found.conflicts == {name: count for name, count in counts.items() if count}
    assert (np.append(np.flatnonzero(starts)[1:], len(starts)) - 1 == found.last).all()
