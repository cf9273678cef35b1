"""Failures detected, where the labels of the test data were made elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.evaluation.events import evaluated_events, measured_events
from ml.evaluation.rows import EvaluatedData

HOUR = 3600
LABEL = np.array([0, 0, 1, 1, 0, 0, 1, 1, 1, 0], dtype=np.int8)


def events(target: int, event: list[int]) -> dict[str, Any]:
    frame = pd.DataFrame(
        {
            "asset_id": "asset",
            "timestamp": pd.date_range("2024-01-01", periods=10, freq="h", tz="UTC"),
            "label": LABEL,
            "target": np.int8(target),
            "event": np.array(event, dtype=np.int32),
        }
    )
    config: Any = OrganizationConfig.from_dict(
        {"organizationId": "plant", "schemaConfig": {"continuousColumns": ["a"]}}
    )
    trained: Any = SimpleNamespace(
        metadata=SimpleNamespace(horizon_seconds=2 * HOUR), engineer=SimpleNamespace(interval=HOUR)
    )
    rows = EvaluatedData(frame, np.ones(10, dtype=np.bool_), "a file", "0" * 64, 2 * HOUR, None, {})
    probability = LABEL.astype(np.float32)
    return measured_events(config, rows, probability, evaluated_events(config, trained, rows, probability, 0.5))


@pytest.mark.parametrize(
    ("target", "event"),
    [(-1, [-1, -1, 0, 0, -1, -1, 1, 1, 1, -1]), (0, [-1] * 10)],
    ids=["no target, events are the runs of the label", "a target without a failure"],
)
def test_a_perfect_model_detects_every_run_of_given_labels(target: int, event: list[int]) -> None:
    found = events(target, event)
    assert (found["failures"], found["detected"], found["falseAlarms"]) == (2, 2, 0)
