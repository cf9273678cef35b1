"""The grid of readings in batches is the grid of all readings at once, and so are its features."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ml.features import FeatureEngineer
from ml.predict.gridding import StreamedGrid
from ml.readings.table import from_table
from ml.windows.grid import to_grid
from tests.unit.predict.irregular import INTERVAL, MAX_GAP, config, readings


def streamed(
    clean: pd.DataFrame, engineer: FeatureEngineer, bounds: list[int], piece_rows: int = 10_000
) -> tuple[pd.DataFrame, np.ndarray]:
    """The new rows of all pieces, segments numbered through, and their features."""
    settings = engineer.config
    grid = StreamedGrid(
        settings.schema_config,
        interval=INTERVAL,
        max_gap=MAX_GAP,
        aggregation=settings.data_config.aggregation,
        look_back=engineer.look_back,
        piece_rows=piece_rows,
    )
    batches = [clean.iloc[start:stop] for start, stop in pairwise(bounds) if stop > start]
    rows, features = [], []
    for piece in grid.pieces(batches):
        assert piece.history <= engineer.look_back
        wanted = np.arange(len(piece.frame)) >= piece.history
        rows.append(piece.frame[wanted].drop(columns="segment"))
        features.append(engineer.matrix(piece.frame, rows=wanted))
    return pd.concat(rows, ignore_index=True), np.concatenate(features)


@pytest.mark.parametrize("aggregation", ["last", "mean"])
@pytest.mark.parametrize("seed", range(12))
def test_any_division_into_batches_gives_the_same_rows_and_features(seed, aggregation):
    settings = config(aggregation)
    clean = from_table(readings(seed), settings).frame
    whole = to_grid(
        clean,
        schema=settings.schema_config,
        interval=INTERVAL,
        max_gap=MAX_GAP,
        aggregation=settings.data_config.aggregation,
    )
    engineer = FeatureEngineer(settings).fit(whole)
    random = np.random.default_rng(seed)
    cuts = np.sort(random.integers(0, len(clean) + 1, int(random.integers(0, 40)))).tolist()
    rows, features = streamed(clean, engineer, [0, *cuts, len(clean)], 50 if seed % 2 else 10_000)
    pd.testing.assert_frame_equal(rows, whole.drop(columns="segment"))
    np.testing.assert_array_equal(features.view(np.uint32), engineer.matrix(whole).view(np.uint32))


def test_one_reading_at_a_time():
    settings = config()
    clean = from_table(readings(3, n_rows=60, n_assets=4), settings).frame
    whole = to_grid(clean, schema=settings.schema_config, interval=INTERVAL, max_gap=MAX_GAP)
    engineer = FeatureEngineer(settings).fit(whole)
    rows, features = streamed(clean, engineer, list(range(len(clean) + 1)))
    pd.testing.assert_frame_equal(rows, whole.drop(columns="segment"))
    np.testing.assert_array_equal(features, engineer.matrix(whole))


def test_sparse_readings_do_not_make_a_large_piece():
    settings = config()
    times = pd.date_range("2024-01-01", periods=500, freq="h", tz="UTC")
    sparse = pd.DataFrame({"machine": "M", "timestamp": times, "temp": 1.0, "vib": 2.0, "total": 3.0, "pump": 0.0})
    grid = StreamedGrid(
        settings.schema_config, interval=1, max_gap=3600, aggregation="last", look_back=5, piece_rows=1000
    )
    sizes = [len(piece.frame) for piece in grid.pieces([from_table(sparse, settings).frame])]
    assert sum(sizes) >= 499 * 3600
    assert max(sizes) <= 1000 + 3601 + 5
