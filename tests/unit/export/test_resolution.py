"""Readings as instruments give them: 0.1 resolution on thresholds, and a totaliser near 2.5e8 that moves by threes.

The model learns from every second step of each instrument, so the steps between are where it draws its lines.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from ml.config import OrganizationConfig
from ml.errors import ParityError
from ml.export.graph.model import build_model
from ml.export.parity import check_leaves, check_parity
from ml.export.session import Scorer, open_model
from ml.export.window.graph import build_feature_probe, build_window_model
from ml.export.window.parity import check_windows
from ml.features import FeatureEngineer
from tests.unit.export.test_parity import nearest_float32_thresholds
from tests.unit.export.trained_models import Trained, of_booster, of_forest

ROWS = 3000
CONFIG = OrganizationConfig.from_dict(
    {
        "organizationId": "plant",
        "schemaConfig": {
            "continuousColumns": ["temperature", "pressure", "volume"],
            "counterColumns": ["volume"],
            "rollingWindows": [2, 5],
            "lagSeconds": [60],
        },
        "dataConfig": {"samplingIntervalSeconds": 60},
        "featureConfig": {"families": {"interactions": False, "anomaly": False}},
    }
)


def grid(steps: int, seed: int) -> pd.DataFrame:
    """Readings that move by `steps` smallest steps of their instrument."""
    random = np.random.default_rng(seed)
    moves = random.integers(0, 1 + 4 // steps, ROWS) * steps
    return pd.DataFrame(
        {
            "asset_id": "pump",
            "timestamp": pd.date_range("2024-01-01", periods=ROWS, freq="min", tz="UTC").as_unit("us"),
            "segment": np.int32(0),
            "temperature": (random.integers(200 // steps, 230 // steps, ROWS) * steps / 10).astype(np.float32),
            "pressure": (random.integers(0, 20 // steps, ROWS) * steps / 10 + 1e6).astype(np.float32),
            "volume": 2.5e8 + 3.0 * np.cumsum(moves),
        }
    )


@pytest.fixture(scope="module")
def learned() -> tuple[FeatureEngineer, np.ndarray, np.ndarray]:
    """An engineer, and features and labels of readings that move by two steps at a time."""
    frame = grid(steps=2, seed=0)
    engineer = FeatureEngineer(CONFIG).fit(frame)
    increase = frame["volume"].diff().fillna(0)
    noise = np.random.default_rng(0).random(ROWS) < 0.1
    label = ((frame["temperature"] * 10).round() % 6 < 3).to_numpy() ^ (increase > 6).to_numpy() ^ noise
    return engineer, np.ascontiguousarray(engineer.matrix(frame)), label.astype(int)


def boosted(rows: np.ndarray, label: np.ndarray) -> Trained:
    settings = {"objective": "binary", "num_leaves": 31, "min_data_in_leaf": 5, "num_threads": 1, "verbosity": -1}
    return of_booster(lightgbm.train(settings, lightgbm.Dataset(rows, label), 60), rows)


def forest(rows: np.ndarray, label: np.ndarray) -> Trained:
    return of_forest(RandomForestClassifier(40, random_state=0, n_jobs=1).fit(rows, label), rows)


@pytest.mark.parametrize("fit", [boosted, forest])
def test_readings_on_thresholds_have_the_same_bits_from_the_sensor_on(learned, fit):
    engineer, rows, label = learned
    model = fit(rows, label)
    frame = grid(steps=1, seed=1)
    features = np.ascontiguousarray(engineer.matrix(frame))

    nearest = model.ensemble.threshold.astype(np.float32)
    on_threshold = np.array(
        [np.isin(features[:, j], nearest[model.ensemble.feature == j]) for j in range(rows.shape[1])]
    )
    assert on_threshold.any(axis=0).mean() > 0.9

    content = build_model(model.ensemble, n_features=rows.shape[1], scaling=None, threshold=0.5, metadata={})
    assert check_parity(model.predict, Scorer(content), features, threshold=0.5).differing_bits == 0
    assert check_leaves(model.apply, model.ensemble, features).differing == 0
    figures = check_windows(
        engineer,
        frame,
        np.arange(len(frame)),
        probe=open_model(build_feature_probe(engineer)),
        model=open_model(build_window_model(engineer, model.ensemble, threshold=0.5, metadata={})),
        scorer=Scorer(content),
    )
    assert (figures.rows, figures.differing_cells, figures.differing_bits, figures.differing_labels) == (ROWS, 0, 0, 0)


@pytest.mark.parametrize("fit", [boosted, forest])
def test_thresholds_rounded_as_usual_converters_do_fail_on_these_readings(learned, fit):
    engineer, rows, label = learned
    model = fit(rows, label)
    features = np.ascontiguousarray(engineer.matrix(grid(steps=1, seed=1)))
    with pytest.raises(ParityError, match="another leaf"):
        check_leaves(model.apply, nearest_float32_thresholds(model.ensemble), features)


def test_a_totaliser_is_differenced_before_it_is_rounded(learned):
    """As a float32 it would stand still or jump by 16; and here most steps are 3, 6, 9 and 12."""
    engineer, _, _ = learned
    frame = grid(steps=1, seed=1)
    column = engineer.get_feature_names_out().index("volume__value")
    increase = engineer.matrix(frame)[1:, column]
    assert sorted(set(increase.tolist())) == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert np.diff(frame["volume"].to_numpy(np.float32)).astype(int).tolist() != increase.astype(int).tolist()
