"""Hypothesis strategies for grid frames with gaps, several failures and several assets."""

from __future__ import annotations

import pandas as pd
from hypothesis import strategies as st

from tests.unit.learning.grid_frames import grid_frame

INTERVAL = 60


@st.composite
def labelled_frames(draw: st.DrawFn) -> tuple[pd.DataFrame, int]:
    """A frame and its horizon in seconds."""
    horizon = draw(st.integers(0, 8)) * INTERVAL
    assets, failures = {}, {}
    for number in range(draw(st.integers(1, 4))):
        name = f"a{number}"
        pieces = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(5, 40)), min_size=1, max_size=4))
        steps: list[int] = []
        now = 0
        for gap, length in pieces:
            now += gap
            steps += range(now, now + length)
            now += length
        assets[name] = steps
        firsts = sorted(draw(st.sets(st.integers(0, now), max_size=4)))
        lengths = [draw(st.integers(0, 3)) for _ in firsts]
        failures[name] = [
            (first, min(first + length, following - 2))
            for first, length, following in zip(firsts, lengths, [*firsts, now + 2][1:], strict=True)
            if first <= following - 2
        ]
    return grid_frame(assets, failures=failures, horizon=horizon, interval=INTERVAL), horizon
