"""Features that are computed when they are read: the same numbers, and the same models, as from a table in memory."""

from __future__ import annotations

import numpy as np
import pytest

from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.learning import estimators, feature_rows
from ml.learning.feature_rows import FeatureRows
from ml.options.learning import TrainingConfig
from tests.unit.windows.test_features_reference import SCHEMA, make_frame


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> FeatureRows:
    """Some rows of a frame, scaled, in batches of a few."""
    monkeypatch.setattr(feature_rows, "_BATCH_CELLS", 5_000)
    frame = make_frame(rows=900)
    wanted = np.random.default_rng(1).random(len(frame)) < 0.7
    wanted[300:420] = False
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": SCHEMA,
            "dataConfig": {"samplingIntervalSeconds": 60},
            "featureConfig": {"scaling": "standard"},
        }
    )
    return FeatureRows(FeatureEngineer(config).fit(frame, rows=wanted), frame, wanted)


def labels(count: int) -> np.ndarray:
    return (np.random.default_rng(2).random(count) < 0.3).astype(np.int8)


def test_any_part_is_that_part_of_the_table(rows: FeatureRows) -> None:
    table = np.asarray(rows)
    assert table.shape == rows.shape
    assert len(list(rows.batches())) > 10
    assert np.concatenate(list(rows.batches())).tobytes() == table.tobytes()
    for start, stop in ((0, 1), (17, 61), (len(rows) - 3, len(rows) + 5), (5, 5)):
        assert rows[start:stop].tobytes() == table[start:stop].tobytes()


def test_a_sample_is_made_of_rows_in_order_and_the_same_for_a_seed(rows: FeatureRows) -> None:
    table, sample = np.asarray(rows), rows.sample(40, seed=3)
    positions = [int(np.flatnonzero((table.view(np.uint32) == row.view(np.uint32)).all(axis=1))[0]) for row in sample]
    assert positions == sorted(set(positions))
    assert len(positions) == 40
    assert rows.sample(40, seed=3).tobytes() == sample.tobytes()
    assert rows.sample(40, seed=4).tobytes() != sample.tobytes()
    assert (rows.sample(10**9, seed=3).view(np.uint32) == table.view(np.uint32)).all()


def test_a_copy_cannot_be_avoided(rows: FeatureRows) -> None:
    with pytest.raises(ValueError, match="copy"):
        np.asarray(rows, copy=False)


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("model_type", ["lightgbm", "random_forest"])
def test_a_model_fitted_batch_by_batch_is_the_model_of_the_table(model_type: str, rows: FeatureRows) -> None:
    config = TrainingConfig.model_validate(
        {
            "model_type": model_type,
            "lgb_params": {"num_iterations": 30},
            "rf_params": {"n_estimators": 10},
            "threads": 2,
        }
    )
    table, label = np.asarray(rows), labels(len(rows))
    names = [f"f{number}" for number in range(rows.shape[1])]
    kind = estimators.get(model_type)
    by_batch = kind(config).fit(rows, label, rows, label, names=names)
    at_once = kind(config).fit(table, label, table, label, names=names)
    assert by_batch.predict(table).tobytes() == at_once.predict(table).tobytes()
    assert (by_batch.leaves(table) == at_once.leaves(table)).all()
