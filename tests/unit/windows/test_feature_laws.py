"""Laws of `FeatureEngineer` over random organisations and histories, checked by hypothesis.

Each history has gaps, missing blocks, constant stretches and magnitudes from 1e-6 to 1e9; each engineer has its own
windows, lags, families and, sometimes, regimes and selection.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.features import FeatureEngineer
from tests.unit.windows.test_features_reference import (
    PAIRS,
    SCHEMA,
    WORDS,
    assert_same_cells,
    make_config,
    make_frame,
    reference_matrix,
)

INTERVAL = 60


CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "windows": st.sets(st.sampled_from([2, 3, 4, 7, 16, 20, 25, 32, 48, 75]), min_size=1, max_size=3),
        "lags": st.sets(st.sampled_from([60, 120, 300, 1800]), min_size=1, max_size=2),
        "operating": st.booleans(),
        "pairs": st.booleans(),
        "words": st.booleans(),
        "selection": st.booleans(),
        "scale": st.sampled_from([1e-6, 1e-3, 1.0, 1e4, 1e9]),
        "nan_share": st.sampled_from([0.0, 0.05, 0.4]),
        "gaps": st.sampled_from([0.0, 0.01, 0.2]),
    }
)


def made(case):
    """A fitted engineer, its frame and its random numbers."""
    random = np.random.default_rng(case["seed"])
    schema = {"rollingWindows": sorted(case["windows"]), "lagSeconds": sorted(case["lags"])}
    schema |= {"operatingColumns": ["load"] if case["operating"] else []}
    config = make_config(
        schema=schema
        | {"setPointPairs": PAIRS if case["pairs"] else []}
        | {"categoricalColumns": WORDS if case["words"] else {}}
    )
    if case["selection"]:
        options = config.feature_config.model_copy(
            update={"selection": config.feature_config.selection.model_copy(update={"method": "f_test", "k": 40})}
        )
        config = config.model_copy(update={"feature_config": options})
    frame = make_frame(rows=260, seed=case["seed"] % 1000, scale=case["scale"], nan_share=case["nan_share"])
    frame["segment"] = np.cumsum(random.random(len(frame)) < case["gaps"])
    label = (random.random(len(frame)) < 0.3).astype(np.int8)
    return FeatureEngineer(config).fit(frame, label, rows=random.random(len(frame)) < 0.7), frame, random


thorough = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CASES)
def test_every_cell_equals_the_naive_reference(case):
    engineer, frame, random = made(case)
    part = frame.iloc[: random.integers(80, 140)]
    assert_same_cells(engineer.matrix(part), reference_matrix(engineer, part), engineer.get_feature_names_out())


@thorough
@given(case=CASES, rows=st.integers(1, 300))
def test_chunks_give_the_bits_of_one_piece(case, rows):
    engineer, frame, _ = made(case)
    whole = engineer.matrix(frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml.windows.chunks._ROWS", rows)
        patch.setattr("ml.windows.chunks._WINDOWS", 0)
        assert engineer.matrix(frame).tobytes() == whole.tobytes()


@thorough
@given(case=CASES, share=st.floats(0, 1))
def test_the_future_changes_nothing(case, share):
    engineer, frame, random = made(case)
    row = int(share * (len(frame) - 1))
    before = np.ascontiguousarray(engineer.matrix(frame)[: row + 1])
    changed = frame.copy()
    for name in engineer.channels:
        values = frame[name].to_numpy(copy=True)
        values[row + 1 :] = random.normal(0, 1e6, len(frame) - row - 1)
        changed[name] = values
    assert np.ascontiguousarray(engineer.matrix(changed)[: row + 1]).tobytes() == before.tobytes()


@thorough
@given(case=CASES, share=st.floats(0, 1))
def test_the_newest_row_alone_has_the_bits_of_the_batch(case, share):
    engineer, frame, _ = made(case)
    row = int(share * (len(frame) - 1))
    batch = np.ascontiguousarray(engineer.matrix(frame)[row])
    assert engineer.latest(*window_of(engineer, frame, row)).tobytes() == batch.tobytes()


@thorough
@given(CASES)
def test_an_engineer_rebuilt_from_json_gives_the_same_bits(case):
    engineer, frame, _ = made(case)
    rebuilt = FeatureEngineer.from_dict(json.loads(json.dumps(engineer.to_dict())))
    assert rebuilt.get_feature_names_out() == engineer.get_feature_names_out()
    assert rebuilt.matrix(frame).tobytes() == engineer.matrix(frame).tobytes()


def window_of(engineer, frame, row):
    """The window that ends with a row, NaN before its segment, and the row's epoch seconds."""
    first = max(0, row - engineer.look_back + 1)
    values = frame[list(engineer.channels)].to_numpy(np.float64)[first : row + 1].copy()
    segment = frame["segment"].to_numpy()
    values[segment[first : row + 1] != segment[row]] = np.nan
    window = np.full((engineer.look_back, len(engineer.channels)), np.nan)
    window[engineer.look_back - len(values) :] = values
    return window, int(frame["timestamp"].iloc[row].timestamp())


class TestLatestRefuses:
    def test_a_window_of_another_length(self):
        engineer = FeatureEngineer(make_config()).fit(make_frame())
        wanted = engineer.look_back
        window = np.zeros((wanted - 1, len(engineer.channels)))
        with pytest.raises(DataError, match=rf"shape \({wanted - 1}, 11\); allowed is \({wanted}, 11\)"):
            engineer.latest(window, 0)

    def test_a_missing_timestamp_where_time_is_a_feature(self):
        engineer = FeatureEngineer(make_config()).fit(make_frame())
        with pytest.raises(DataError, match="timestamp"):
            engineer.latest(np.zeros((engineer.look_back, len(engineer.channels))))

    def test_an_engineer_that_was_not_fitted(self):
        engineer = FeatureEngineer(make_config())
        with pytest.raises(DataError, match="not fitted"):
            engineer.latest(np.zeros((engineer.look_back, len(engineer.channels))), 0)


def derived(**options):
    """Windows and lags, in samples, of an organisation that names none."""
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {
                key: value for key, value in SCHEMA.items() if key not in ("rollingWindows", "lagSeconds")
            },
            "dataConfig": {"samplingIntervalSeconds": INTERVAL, **options},
        }
    )
    names = FeatureEngineer(config).get_feature_names_out()
    windows = sorted({int(name.rpartition("=")[2]) for name in names if name.startswith("temp__mean__w=")})
    lags = sorted({int(name.split("__")[2][:-1]) for name in names if name.startswith("temp__lag__")})
    return windows, lags


def test_windows_and_lags_follow_from_interval_and_horizon():
    assert derived(predictionHorizonSeconds=30 * INTERVAL) == ([5, 10, 20, 40, 80], [60, 300, 1200])
    short, _ = derived(predictionHorizonSeconds=2 * INTERVAL)
    long, _ = derived(predictionHorizonSeconds=10_000 * INTERVAL)
    assert (short[0], short[-1]) == (5, 40)
    assert (long[0], long[-1]) == (5, 512)
