"""What `engineer_features` learns from prepared data, whose labels may be unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.features import FeatureEngineer

ROWS = 600
METHODS = ("mutual_information", "f_test", "model_importance")


def configured(method: str, k: int = 1) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {"continuousColumns": ["clock", "load"], "rollingWindows": [3]},
            "dataConfig": {"samplingIntervalSeconds": 60},
            "featureConfig": {
                "families": {"lags": False, "rolling": False, "differences": False, "interactions": False}
                | {"anomaly": False, "domain": False, "boolean": False},
                "selection": {"method": method, "k": k},
            },
        }
    )


def prepared(label: np.ndarray) -> pd.DataFrame:
    """`load` tells 0 from 1, `clock` only tells the rows without a known label from the others."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"asset_id": "pump", "segment": np.zeros(ROWS, dtype=np.int64)})
    frame["timestamp"] = pd.date_range("2024-01-01", periods=ROWS, freq="min", tz="UTC").astype("datetime64[us, UTC]")
    frame["clock"] = (10.0 * (label == -1) + random.normal(0, 1, ROWS)).astype(np.float32)
    frame["load"] = (2.0 * (label == 1) + random.normal(0, 1, ROWS)).astype(np.float32)
    return frame.assign(label=label.astype(np.int8))


LABEL = np.random.default_rng(5).choice([-1, 0, 1], ROWS)


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_a_known_label_are_no_class(method: str) -> None:
    _, names = FeatureEngineer(configured(method), 60).engineer_features(prepared(LABEL))
    assert names == ["load__value"]


@pytest.mark.parametrize("method", ["none", "f_test"])
def test_it_fits_as_training_does_on_the_rows_with_a_known_label(method: str) -> None:
    frame = prepared(LABEL)
    given = FeatureEngineer(configured(method), 60)
    given.engineer_features(frame)
    fitted = FeatureEngineer(configured(method), 60).fit(frame, frame["label"].to_numpy(), rows=LABEL != -1)
    assert given.to_dict() == fitted.to_dict()


def test_missing_labels_are_unknown() -> None:
    frame = prepared(LABEL)
    with_gaps = frame.assign(label=frame["label"].where(LABEL != -1))
    engineers = [FeatureEngineer(configured("f_test"), 60) for _ in range(2)]
    for engineer, each in zip(engineers, (frame, with_gaps), strict=True):
        engineer.engineer_features(each)
    assert engineers[0].to_dict() == engineers[1].to_dict()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("label", "words"), [(0, r"found are \[0\]"), (1, r"found are \[1\]"), (-1, r"found are \[-1\]")]
)
def test_one_class_cannot_select(method: str, label: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        FeatureEngineer(configured(method), 60).engineer_features(prepared(np.full(ROWS, label)))


def test_rows_that_are_not_of_two_classes_are_refused() -> None:
    frame = prepared(LABEL)
    with pytest.raises(DataError, match=r"found are \[-1, 0, 1\]"):
        FeatureEngineer(configured("f_test"), 60).fit(frame, LABEL.astype(np.int8), rows=np.ones(ROWS, dtype=np.bool_))


def test_without_known_labels_it_still_makes_features() -> None:
    features, names = FeatureEngineer(configured("none"), 60).engineer_features(prepared(np.full(ROWS, -1)))
    assert (len(features), names) == (ROWS, ["clock__value", "load__value"])
