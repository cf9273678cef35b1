"""Probabilities of a loaded model, from readings, from a grid and from features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.cleaning.table import from_table
from ml.errors import DataError, MissingArtifactError, MissingColumnError
from ml.export.session import open_model
from ml.export.window.parity import window_batch
from ml.grid.regular import to_grid
from ml.options.columns.kinds import Running
from ml.predict import load_model
from ml.predict.model import LoadedModel
from tests.unit.predict.irregular import INTERVAL, MAX_GAP, readings


@pytest.fixture
def model(root) -> LoadedModel:
    return load_model("plant_a", root=root)


@pytest.fixture
def grid(model) -> pd.DataFrame:
    settings = model.engineer.config
    clean = from_table(readings(4), settings).frame
    return to_grid(clean, schema=settings.schema_config, interval=INTERVAL, max_gap=MAX_GAP)


def test_readings_in_any_order_give_one_row_per_instant_without_a_target(model, grid):
    table = readings(4).groupby(["machine", "timestamp"], as_index=False).last()  # the last cells that are not empty
    assert model.engineer.config.schema_config.target_column not in table.columns
    scored = model.predict(table.sample(frac=1.0, random_state=0))
    assert scored.columns.tolist() == ["asset_id", "timestamp", "probability", "label"]
    pd.testing.assert_frame_equal(scored[["asset_id", "timestamp"]], grid[["asset_id", "timestamp"]])
    expected, label = model.predict_features(model.engineer.matrix(grid))
    np.testing.assert_array_equal(scored["probability"], expected)
    np.testing.assert_array_equal(scored["label"], label)
    np.testing.assert_array_equal(label, expected >= np.float32(model.metadata.threshold))


def test_history_is_used_but_not_scored(model, grid):
    whole = model.predict_grid(grid)
    part = model.predict_grid(grid, skip=7)
    pd.testing.assert_frame_equal(part, whole.iloc[7:].reset_index(drop=True))


def test_the_probabilities_are_those_of_the_window_graph(model, grid, paths):
    rows = np.arange(len(grid))
    window, timestamp = window_batch(grid, model.engineer, rows)
    session = open_model(paths.version("v1") / "window.onnx")
    probabilities, label, features = session.run(None, {"window": window, "timestamp": timestamp})
    scored = model.predict_grid(grid)
    np.testing.assert_array_equal(scored["probability"].to_numpy(), probabilities[:, 1])
    np.testing.assert_array_equal(scored["label"], label)
    np.testing.assert_array_equal(model.reasons(features), model.reasons(model.engineer.matrix(grid, order="C")))


def test_alerts_have_the_rows_in_alarm_and_their_reasons(model):
    table = readings(400)
    scored = model.predict(table)
    alerts = model.alerts(table)
    assert alerts, "the model does alarm somewhere"
    alarms = scored[scored["label"] == 1]
    assert min(alert.start for alert in alerts) == alarms["timestamp"].min()
    assert max(alert.probability for alert in alerts) == pytest.approx(alarms["probability"].max())
    assert all(reason.sensor in model.metadata.reasons.sensors for alert in alerts for reason in alert.reasons)
    assert any(alert.reasons for alert in alerts)
    times = model.times_to_failure(model.engineer.matrix(model.grid_of(table)))
    last = scored.index[(scored["asset_id"] == alerts[0].asset) & (scored["timestamp"] == alerts[0].end)]
    assert [tuple(row) for row in times.loc[last].to_numpy()] == [tuple(vars(alerts[0].time_to_failure).values())]


def test_a_model_without_times_says_so(root):
    model = load_model("plant_a", version="v2", root=root)
    assert model.alerts(readings(400))[0].time_to_failure is None
    with pytest.raises(MissingArtifactError, match=r"no time_to_failure\.onnx"):
        model.times_to_failure(np.empty((0, len(model.metadata.features)), dtype=np.float32))


def test_nothing_is_predicted_while_the_machine_is_off_and_other_rows_stay_as_they_are(model, grid):
    rule = Running(column="pump", equals=1)
    resting = replace(model, metadata=model.metadata.model_copy(update={"running_when": rule}))
    plain, scored = model.predict_grid(grid, skip=3), resting.predict_grid(grid, skip=3)
    off = (grid["pump"] == 0).to_numpy()[3:]
    assert 0 < off.sum() < len(off)
    assert plain["label"][off].any()
    assert scored["probability"][off].isna().all()
    assert (scored["label"][off] == 0).all()
    pd.testing.assert_frame_equal(scored[~off], plain[~off])


def test_what_cannot_be_scored_is_refused(model):
    with pytest.raises(MissingColumnError, match="vib"):
        model.predict(readings(4).drop(columns="vib"))
    with pytest.raises(DataError, match="no readings"):
        model.predict(readings(4).iloc[:0])
    with pytest.raises(DataError, match="float64"):
        model.predict_features(np.zeros((1, 3)))
