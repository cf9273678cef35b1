"""Which modes of failure are told apart, what their rows are, and what models of them find."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.learning.engine import Engine
from ml.learning.modes.models import ModeModels, joint
from ml.learning.modes.plan import ModePlan
from ml.modes import split_modes

HOUR = 3600
HORIZON = 3


def config(least: int = 2) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "o",
            "schemaConfig": {"assetColumn": "m", "continuousColumns": ["x"]},
            "dataConfig": {"predictionHorizonSeconds": HORIZON * HOUR, "samplingIntervalSeconds": HOUR},
            "trainingConfig": {"minFailuresPerMode": least},
        }
    )


def grid(*failures: str) -> pd.DataFrame:
    """One asset with a failure of each text of modes, ten hours apart."""
    n = 10 * len(failures) + 5
    event = np.full(n, -1)
    modes = np.full(n, "", dtype=object)
    label = np.zeros(n, dtype=np.int8)
    for number, text in enumerate(failures):
        onset = 10 * number + 8
        event[onset], modes[onset], label[onset] = number, text, -1
        label[onset - HORIZON : onset] = 1
    return pd.DataFrame(
        {
            "asset_id": "a",
            "timestamp": pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC"),
            "target": (event >= 0).astype(np.int8),
            "event": event,
            "label": label,
            "modes": modes,
        }
    )


def plan(*failures: str, least: int = 2) -> ModePlan:
    frame = grid(*failures)
    return ModePlan.of(config(least), frame, (frame["label"] >= 0).to_numpy())


def codes(found: ModePlan) -> list[str]:
    return [finding.code for finding in found.findings()]


@pytest.mark.parametrize(
    ("failures", "names", "pooled", "told"),
    [
        (("a", "a", "b", "b"), ("a", "b"), (), []),
        (("a", "b", "a|b"), ("a", "b"), (), []),
        (("a", "a", "b", "c"), ("a", "other"), ("b", "c"), ["MODES_POOLED"]),
        (("a", "a", "b", "b", "c"), ("a", "b"), (), ["MODES_LEFT_OUT"]),
        (("a", "a", "b"), (), (), ["MODES_NOT_TOLD_APART"]),
        (("a", "a", "b|c"), (), (), ["MODES_NOT_TOLD_APART"]),  # one failure, whichever of the two
        (("a", "a", "a"), (), (), ["MODES_NOT_TOLD_APART"]),
        (("a", "a", "other", "other", "b"), ("a", "other"), ("b",), ["MODES_POOLED"]),
        (("a", "b", "c"), (), (), ["MODES_NOT_TOLD_APART"]),
        (("", ""), (), (), []),
    ],
)
def test_rare_modes_are_one_mode_and_that_is_told(failures, names, pooled, told):
    found = plan(*failures)
    assert (found.names, found.pooled, codes(found)) == (names, pooled, told)


def test_failures_that_no_row_tells_of_do_not_count():
    frame = grid("a", "a", "b", "b")
    rows = (frame["label"] >= 0).to_numpy() & (np.arange(len(frame)) < 35)
    assert ModePlan.of(config(), frame, rows).failures == {"a": 2, "b": 1}


def test_data_without_modes_has_none():
    frame = grid("a", "b").drop(columns="modes")
    found = ModePlan.of(config(), frame, np.ones(len(frame), dtype=bool))
    assert (found.names, found.findings()) == ((), [])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "a|b", "b|c", "a|b|c"]), min_size=4, max_size=12))
def test_a_row_has_the_modes_of_the_failure_that_it_precedes(failures):
    frame = grid(*failures)
    found = plan(*failures)
    labels = found.labels(frame, HORIZON * HOUR)
    assert labels.shape == (len(frame), len(found.names))
    for row in range(len(frame)):
        ahead = [frame["modes"][at] for at in range(row + 1, min(row + HORIZON + 1, len(frame))) if frame["modes"][at]]
        own = set(found.named(split_modes(ahead[0]))) if ahead and frame["label"][row] == 1 else set()
        assert {name for name, has in zip(found.names, labels[row], strict=True) if has} == own


@pytest.mark.parametrize("recorded", [True, False])
def test_models_are_fitted_on_failures_whose_mode_is_known(recorded):
    frame = grid(*(["a", "b", "a|b", "c", ""] * 6))
    rng = np.random.default_rng(0)
    rows = (frame["label"] >= 0).to_numpy()
    found = ModePlan.of(config(5), frame, rows)
    assert found.names == ("a", "b", "c")
    has_a = found.labels(frame, HORIZON * HOUR)[:, 0]
    frame = frame.assign(x=np.where(has_a, 5.0, 0.0) + rng.normal(size=len(frame)), segment=0)
    if not recorded:
        frame = frame.assign(modes="")
    engineer = FeatureEngineer(config(5), HOUR).fit(frame, frame["label"].to_numpy(), rows=rows)
    engine = Engine(config(5), frame)
    models = ModeModels.fit(found, engine, engineer, rows)
    assert models is not None
    given = models.of_rows(engine, engineer, rows)
    assert given.shape == (rows.sum(), 3)
    if recorded:
        positive = (frame["label"] == 1).to_numpy()[rows]
        known = positive & (found.labels(frame, HORIZON * HOUR)[rows].any(axis=1))
        assert given[known & has_a[rows], 0].min() > 0.5 > given[known & ~has_a[rows], 0].max()
    else:
        assert (given < 1e-6).all()


def test_the_probability_of_a_mode_is_a_float32_product():
    product = joint(np.array([0.1], dtype=np.float32), np.array([[0.3, 0.7]], dtype=np.float32))
    assert product.dtype == np.float32
    np.testing.assert_array_equal(product[0, 0], np.float32(np.float64(np.float32(0.1)) * np.float64(np.float32(0.3))))
