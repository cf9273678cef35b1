"""The features of the serving profile against a naive server that is fed row by row, and the laws that follow."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.export.session import open_model
from ml.export.window.graph import build_feature_probe
from ml.export.window.parity import window_batch
from ml.features import FeatureEngineer
from tests.reference.served import Server, model_input

INTERVAL = 60
CONTINUOUS, BOOLEAN = ["temp", "flow", "oil"], ["pump", "valve"]


def make_config(lags=(60, 120), windows=(300,), interval=INTERVAL, **features):
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {
                "continuousColumns": CONTINUOUS,
                "booleanColumns": BOOLEAN,
                "lagSeconds": None if lags is None else list(lags),
                "rollingWindows": None if windows is None else list(windows),
            },
            "dataConfig": {"samplingIntervalSeconds": interval},
            "featureConfig": {"servingProfile": "backend"} | features,
        }
    )


def make_frame(rows=200, seed=0, missing=0.0, interval=INTERVAL, scale=1.0):
    """Segments of a grid, of which every row has a reading."""
    random = np.random.default_rng(seed)
    times = pd.date_range("2025-03-01", periods=rows, freq=f"{interval}s", tz="UTC").astype("datetime64[us, UTC]")
    frame = pd.DataFrame({"asset_id": "a", "timestamp": times})
    frame["segment"] = np.sort(random.integers(0, 4, rows)).astype(np.int32)
    for name in CONTINUOUS:
        frame[name] = (random.normal(20, 5, rows) * scale).astype(np.float32)
    frame.loc[10:40, "oil"] = np.float32(7.3)  # a constant stretch: std is 0
    for name in BOOLEAN:
        frame[name] = np.repeat(random.integers(0, 2, rows // 4 + 1), 4)[:rows].astype(np.float32)
    for name in [*CONTINUOUS[1:], *BOOLEAN]:
        frame.loc[random.random(rows) < missing, name] = np.float32(np.nan)
    if missing:
        frame.loc[60:120, "oil"] = np.float32(np.nan)  # longer than some windows
    return frame


def served(frame, names, lags, windows):
    """What a server feeds the model for each row; it starts with an empty history where a segment starts."""
    result, segment = [], None
    for row in frame.itertuples():
        if row.segment != segment:
            server, segment = Server(CONTINUOUS, BOOLEAN, lags, windows), row.segment
        cells = {name: float(getattr(row, name)) for name in [*CONTINUOUS, *BOOLEAN]}
        known = {name: None if math.isnan(cell) else cell for name, cell in cells.items()}
        result.append(model_input(server.push(row.timestamp.timestamp(), known), names))
    return np.array(result, dtype=np.float32)


def assert_same_bits(actual, expected, names):
    wrong = np.argwhere((actual + np.float32(0)).view(np.uint32) != (expected + np.float32(0)).view(np.uint32))
    where = [(names[column], int(row), actual[row, column], expected[row, column]) for row, column in wrong]
    assert not where, f"{len(where)} cells differ, first: {where[:5]}"


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
@pytest.mark.parametrize(
    ("lags", "windows"),
    [
        ((60, 120), (300,)),  # the server's defaults
        ((), (1, 59, 60, 61)),  # windows of one and two rows
        ((10, 29, 30, 31, 90, 89, 7200), (600, 3000, 9000)),  # nearest, of two as near the older; beyond the history
    ],
)
def test_every_cell_has_the_bits_of_a_server_fed_row_by_row(lags, windows, missing, scale):
    frame = make_frame(missing=missing, scale=scale)
    engineer = FeatureEngineer(make_config(lags, windows)).fit(frame)
    names = engineer.get_feature_names_out()
    matrix = engineer.matrix(frame)
    assert not np.isnan(matrix).any()
    assert_same_bits(matrix, served(frame, names, lags, windows), names)


@pytest.mark.parametrize("interval", [1, 7, 60, 300])
def test_defaults_are_the_servers_own_on_any_grid(interval):
    frame = make_frame(rows=60, interval=interval)
    engineer = FeatureEngineer(make_config(None, None, interval)).fit(frame)
    names = engineer.get_feature_names_out()
    assert names[:3] == ["temp", "temp_lag_60s", "temp_lag_120s"]
    assert "pump_rolling_300s_rate" in names
    assert "temp_rolling_300s_rate" not in names
    assert_same_bits(engineer.matrix(frame), served(frame, names, (60, 120), (300,)), names)


def test_columns_are_the_servers_names_and_each_once():
    engineer = FeatureEngineer(make_config((60,), (300,)))
    wanted = {name for column in [*CONTINUOUS, *BOOLEAN] for name in (column, f"{column}_lag_60s")}
    wanted |= {f"{c}_rolling_300s_{s}" for c in CONTINUOUS for s in ("mean", "std", "min", "max", "range")}
    wanted |= {f"{c}_rolling_300s_{s}" for c in BOOLEAN for s in ("rate", "count")}
    names = engineer.get_feature_names_out()
    assert (len(names), set(names)) == (len(wanted), wanted)


def test_a_window_of_a_day_counts_seconds_and_a_row_alone_has_the_bits_of_the_batch():
    frame = make_frame(rows=400, interval=900, missing=0.1)
    engineer = FeatureEngineer(make_config((60, 86_400), (86_400, 172_800), 900)).fit(frame)
    assert engineer.look_back == 172_800 // 900 + 1
    matrix = engineer.matrix(frame)
    window, _ = window_batch(frame, engineer, np.arange(len(frame)))
    assert np.array([engineer.latest(each) for each in window]).tobytes() == np.ascontiguousarray(matrix).tobytes()


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("together", [1, None])
@pytest.mark.parametrize("windows", [(30, 60), (300, 6000)])
def test_the_window_graph_gives_the_same_bits(missing, together, windows):
    frame = make_frame(missing=missing, seed=2)
    engineer = FeatureEngineer(make_config((0 + 1, 60, 150, 3600), windows)).fit(frame)
    session = open_model(build_feature_probe(engineer))
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    size = together or len(frame)
    made = [
        session.run(None, {"window": window[at : at + size], "timestamp": timestamp[at : at + size]})[0]
        for at in range(0, len(frame), size)
    ]
    assert_same_bits(np.concatenate(made), engineer.matrix(frame), engineer.get_feature_names_out())


def test_empty_windows_and_empty_rows_are_zero_and_never_nan():
    frame = make_frame(rows=80)
    frame.loc[20:60, [*CONTINUOUS, *BOOLEAN]] = np.float32(np.nan)
    engineer = FeatureEngineer(make_config((60, 600), (300, 1200))).fit(frame)
    matrix = engineer.matrix(frame)
    assert not np.isnan(matrix).any()
    session = open_model(build_feature_probe(engineer))
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    made = session.run(None, {"window": window, "timestamp": timestamp})[0]
    assert_same_bits(made, matrix, engineer.get_feature_names_out())


def test_readings_whose_range_is_beyond_float32_become_zero_in_both_places():
    frame = make_frame(rows=40)
    frame.loc[::2, "temp"], frame.loc[1::2, "temp"] = np.float32(3e38), np.float32(-3e38)
    engineer = FeatureEngineer(make_config()).fit(frame)
    session = open_model(build_feature_probe(engineer))
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    made = session.run(None, {"window": window, "timestamp": timestamp})[0]
    assert_same_bits(made, engineer.matrix(frame), engineer.get_feature_names_out())


@settings(max_examples=25, deadline=None)
@given(
    lags=st.lists(st.integers(1, 5_000), max_size=3, unique=True),
    windows=st.lists(st.integers(1, 5_000), min_size=1, max_size=3, unique=True),
    interval=st.sampled_from([1, 10, 60, 97, 600]),
    seed=st.integers(0, 9),
)
def test_any_lags_windows_and_grids(lags, windows, interval, seed):
    frame = make_frame(rows=60, seed=seed, interval=interval, missing=0.15)
    engineer = FeatureEngineer(make_config(lags, windows, interval)).fit(frame)
    names = engineer.get_feature_names_out()
    assert_same_bits(engineer.matrix(frame), served(frame, names, lags, windows), names)


def test_state_is_kept_and_selection_keeps_servable_names():
    frame = make_frame()
    label = (frame["temp"] > 20).to_numpy().astype(np.int8)
    config = make_config(selection={"method": "f_test", "k": 5}, scaling="standard")
    engineer = FeatureEngineer(config).fit(frame, label)
    again = FeatureEngineer.from_dict(engineer.to_dict())
    assert len(again.features) == 5
    assert again.get_feature_names_out() == engineer.get_feature_names_out()
    assert again.matrix(frame).tobytes() == engineer.matrix(frame).tobytes()


def test_a_column_that_has_the_name_of_a_feature_is_refused():
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {"continuousColumns": ["a", "a_lag_60s"]},
            "featureConfig": {"servingProfile": "backend"},
        }
    )
    with pytest.raises(ConfigError, match=r'two features would have the name "a_lag_60s"'):
        _ = FeatureEngineer(config, 60).features


def test_a_window_of_more_samples_than_are_allowed_names_the_interval_that_would_do():
    with pytest.raises(ConfigError, match=r"86,400 s are 86,401 samples") as caught:
        _ = FeatureEngineer(make_config((), (300, 86_400), 1)).features
    assert caught.value.field == "schemaConfig.rollingWindows[1]"
    assert caught.value.hint.startswith("set dataConfig.samplingIntervalSeconds to 5 or more")
    assert FeatureEngineer(make_config((), (300, 86_400), 5)).look_back == 17_281
