from types import SimpleNamespace

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig
from ml.evaluation.report import split_picture as module
from ml.evaluation.report.split_picture import split_pictures
from ml.evaluation.rows import EvaluatedData
from ml.learning.folds.splits import Parts

HOUR = 3600


def judged(parts=True):
    """Two assets of 200 hours with a failure every 50; the last quarter is the test part, rows before it purged."""
    hour = np.tile(np.arange(200), 2)
    label = np.where(hour % 50 >= 45, 1, 0).astype(np.int8)
    frame = pd.DataFrame(
        {
            "asset_id": np.repeat(["a", "b"], 200),
            "timestamp": pd.to_datetime("2025-01-01", utc=True) + pd.to_timedelta(hour, unit="h"),
            "label": label,
            "event": -1,
        }
    )
    train, validation, test = hour < 100, (hour >= 100) & (hour < 145), hour >= 150
    made = Parts(train, validation, test, 10, {}) if parts else None
    return EvaluatedData(frame, test, "a file", "0" * 64, 5 * HOUR, made, {})


def drawn(monkeypatch, folds, rows=None):
    """The parts that each picture is asked to show."""
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {"continuousColumns": ["a"]},
            "tuningConfig": {"cvFolds": folds},
        }
    )
    trained = SimpleNamespace(
        config=config,
        metadata=SimpleNamespace(horizon_seconds=5 * HOUR),
        engineer=SimpleNamespace(look_back=3, interval=HOUR),
    )
    asked = []
    monkeypatch.setattr(module, "split_picture", lambda frame, parts, interval: asked.append(parts) or b"png")
    return split_pictures(config, trained, rows or judged()), asked


def test_parts_and_purged_rows_are_drawn_and_every_row_once(monkeypatch):
    pictures, asked = drawn(monkeypatch, folds=2)

    assert set(pictures) == {"split", "folds"}
    assert {name: int(rows.sum()) for name, rows in asked[0].items()} == {
        "training": 200, "validation": 90, "test": 100, "purged": 10,
    }  # fmt: skip
    assert (np.sum(list(asked[0].values()), axis=0) == 1).all()


def test_folds_hold_out_each_row_of_training_and_validation_once(monkeypatch):
    _, asked = drawn(monkeypatch, folds=2)

    assert set(asked[1]) == {"fold 1", "fold 2"}
    parts = judged().parts
    assert np.array_equal(np.sum(list(asked[1].values()), axis=0), (parts.train | parts.validation).astype(int))


def test_too_few_failures_for_the_folds_leave_their_picture_out(monkeypatch):
    assert set(drawn(monkeypatch, folds=20)[0]) == {"split"}


def test_a_file_of_other_rows_has_no_split(monkeypatch):
    assert drawn(monkeypatch, folds=2, rows=judged(parts=False)) == ({}, [])
