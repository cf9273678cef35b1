"""The grid made piece by piece is the grid made at once, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.windows.grid import to_grid
from ml.windows.grid_stream import stream_grid
from tests.unit.scada.test_grid import SCHEMA, random_readings


def cut(frame: pd.DataFrame, edges: list[int]) -> Iterator[pd.DataFrame]:
    bounds = sorted({0, len(frame), *(edge % (len(frame) + 1) for edge in edges)})
    for start, end in pairwise(bounds):
        yield frame.iloc[start:end].reset_index(drop=True)
    yield frame.iloc[:0]


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    edges=st.lists(st.integers(0, 60), max_size=12),
    aggregation=st.sampled_from(["last", "mean"]),
    size=st.sampled_from([(10, 50), (7, 7), (60, 100), (1, 20), (30, 1000)]),
)
def test_equals_the_grid_of_the_whole(seed: int, edges: list[int], aggregation: str, size: tuple[int, int]) -> None:
    interval, max_gap = size
    frame = random_readings(np.random.default_rng(seed), assets=1)
    options = {"schema": SCHEMA, "interval": interval, "max_gap": max_gap, "aggregation": aggregation}
    expected = to_grid(frame, **options)
    pieces = list(stream_grid(cut(frame, edges), **options))
    found = pd.concat(pieces, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_memory_is_a_piece_and_not_the_history() -> None:
    frame = random_readings(np.random.default_rng(0), assets=1, n=5000)
    pieces = list(cut(frame, list(range(0, 5000, 100))))
    sizes = [len(rows) for rows in stream_grid(pieces, schema=SCHEMA, interval=10, max_gap=50)]
    assert len(sizes) >= 50
    assert max(sizes) < 3 * sum(sizes) / len(sizes)


def test_no_readings_give_no_rows() -> None:
    empty = random_readings(np.random.default_rng(0), assets=1).iloc[:0]
    assert list(stream_grid([empty, empty], schema=SCHEMA, interval=10, max_gap=50)) == []
    with pytest.raises(StopIteration):
        next(stream_grid([], schema=SCHEMA, interval=10, max_gap=50))
