"""The grid of readings in batches is the grid of all readings at once, bit by bit, and so are its features."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.cleaning.table import from_table
from ml.features import FeatureEngineer
from ml.grid.regular import to_grid
from ml.grid.streamed import StreamedGrid
from tests.unit.ingest.test_grid import SCHEMA, random_readings
from tests.unit.predict.irregular import INTERVAL, MAX_GAP, config, readings


def streamed(
    clean: pd.DataFrame, engineer: FeatureEngineer, bounds: list[int], piece_rows: int = 10_000
) -> tuple[pd.DataFrame, np.ndarray]:
    """The new rows of all pieces, and their features."""
    chosen = engineer.config
    grid = StreamedGrid(
        chosen.schema_config,
        interval=INTERVAL,
        max_gap=MAX_GAP,
        aggregation=chosen.data_config.aggregation,
        look_back=engineer.look_back,
        piece_rows=piece_rows,
    )
    batches = [clean.iloc[start:stop] for start, stop in pairwise(bounds) if stop > start]
    rows, features = [], []
    for piece in grid.pieces(batches):
        assert piece.history <= engineer.look_back
        wanted = np.arange(len(piece.frame)) >= piece.history
        rows.append(piece.frame[wanted])
        features.append(engineer.matrix(piece.frame, rows=wanted))
    return pd.concat(rows, ignore_index=True), np.concatenate(features)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    assets=st.integers(1, 4),
    edges=st.lists(st.integers(0, 120), max_size=8),
    aggregation=st.sampled_from(["last", "mean"]),
    size=st.sampled_from([(10, 50), (7, 7), (60, 100), (1, 20), (30, 1000)]),
    piece_rows=st.sampled_from([40, 10_000]),
    look_back=st.sampled_from([0, 1, 9]),
    own_gaps=st.dictionaries(st.sampled_from(["pump0", "pump1", "pump3"]), st.sampled_from([100, 400])),
)
def test_any_division_into_batches_gives_the_same_rows(
    seed: int,
    assets: int,
    edges: list[int],
    aggregation: Literal["last", "mean"],
    size: tuple[int, int],
    piece_rows: int,
    look_back: int,
    own_gaps: dict[str, int],
) -> None:
    interval, max_gap = size
    clean = random_readings(np.random.default_rng(seed), assets=assets, n=30)
    whole = to_grid(
        clean, schema=SCHEMA, interval=interval, max_gap=max_gap, aggregation=aggregation, own_gaps=own_gaps
    )
    grid = StreamedGrid(
        SCHEMA,
        interval=interval,
        max_gap=max_gap,
        aggregation=aggregation,
        look_back=look_back,
        piece_rows=piece_rows,
        own_gaps=own_gaps,
    )
    bounds = sorted({0, len(clean), *(edge % (len(clean) + 1) for edge in edges)})
    given_out = 0
    for piece in grid.pieces(clean.iloc[start:stop] for start, stop in pairwise(bounds)):
        assert piece.history <= look_back
        expected = whole.iloc[given_out - piece.history : given_out - piece.history + len(piece.frame)]
        pd.testing.assert_frame_equal(piece.frame, expected.reset_index(drop=True), check_exact=True)
        given_out += len(piece.frame) - piece.history
    assert given_out == len(whole)


@pytest.mark.parametrize("aggregation", ["last", "mean"])
@pytest.mark.parametrize("seed", range(12))
def test_any_division_into_batches_gives_the_same_rows_and_features(seed, aggregation):
    chosen = config(aggregation)
    clean = from_table(readings(seed), chosen).frame
    whole = to_grid(
        clean,
        schema=chosen.schema_config,
        interval=INTERVAL,
        max_gap=MAX_GAP,
        aggregation=chosen.data_config.aggregation,
    )
    engineer = FeatureEngineer(chosen).fit(whole)
    random = np.random.default_rng(seed)
    cuts = np.sort(random.integers(0, len(clean) + 1, int(random.integers(0, 40)))).tolist()
    rows, features = streamed(clean, engineer, [0, *cuts, len(clean)], 50 if seed % 2 else 10_000)
    pd.testing.assert_frame_equal(rows, whole)
    np.testing.assert_array_equal(features.view(np.uint32), engineer.matrix(whole).view(np.uint32))


def test_one_reading_at_a_time():
    chosen = config()
    clean = from_table(readings(3, n_rows=60, n_assets=4), chosen).frame
    whole = to_grid(clean, schema=chosen.schema_config, interval=INTERVAL, max_gap=MAX_GAP)
    engineer = FeatureEngineer(chosen).fit(whole)
    rows, features = streamed(clean, engineer, list(range(len(clean) + 1)))
    pd.testing.assert_frame_equal(rows, whole)
    np.testing.assert_array_equal(features, engineer.matrix(whole))


def test_sparse_readings_do_not_make_a_large_piece():
    chosen = config()
    times = pd.date_range("2024-01-01", periods=500, freq="h", tz="UTC")
    sparse = pd.DataFrame({"machine": "M", "timestamp": times, "temp": 1.0, "vib": 2.0, "total": 3.0, "pump": 0.0})
    grid = StreamedGrid(
        chosen.schema_config, interval=1, max_gap=3600, aggregation="last", look_back=5, piece_rows=1000
    )
    sizes = [len(piece.frame) for piece in grid.pieces([from_table(sparse, chosen).frame])]
    assert sum(sizes) >= 499 * 3600
    assert max(sizes) <= 1000 + 3601 + 5


def test_no_readings_give_no_rows() -> None:
    grid = StreamedGrid(SCHEMA, interval=10, max_gap=50, aggregation="last", piece_rows=100)
    assert list(grid.pieces([])) == []
