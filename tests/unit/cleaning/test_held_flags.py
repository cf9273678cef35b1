"""Flags that are written down only when they change."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ml.cleaning.held_flags import held

CELLS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.5, 1.0, np.nan])), max_size=30)


@given(CELLS, st.lists(st.integers(0, 30), max_size=4))
def test_each_cell_has_the_last_value_of_its_asset_however_the_rows_are_divided(
    cells: list[tuple[str, float]], cuts: list[int]
) -> None:
    cells = sorted(cells, key=lambda cell: cell[0])
    table = pd.DataFrame({"asset_id": [name for name, _ in cells], "target": [value for _, value in cells]})
    expected, last = [], {}
    for name, value in cells:
        last[name] = last.get(name, np.nan) if np.isnan(value) else value
        expected.append(last[name])
    edges = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    batches = [table.iloc[begin:end] for begin, end in pairwise(edges)]
    found = [value for batch in held(batches, ["target", "absent"]) for value in batch["target"]]
    np.testing.assert_array_equal(found, expected)
