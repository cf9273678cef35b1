from __future__ import annotations

import numpy as np
import pytest

from ml.errors import ParityError
from ml.export.graph.model import build_model
from ml.export.session import Scorer, open_model
from ml.export.trees.ensemble import from_lightgbm
from ml.export.window.graph import build_feature_probe, build_window_model
from ml.export.window.parity import check_windows, sample_rows, window_batch
from ml.features import FeatureEngineer
from tests.unit.export.trained_models import train_booster
from tests.unit.windows.test_features_reference import make_config, make_frame


@pytest.fixture(scope="module")
def frame():
    return make_frame(rows=400)


@pytest.fixture(scope="module")
def engineer(frame):
    return FeatureEngineer(make_config()).fit(frame)


@pytest.fixture(scope="module")
def ensemble(frame, engineer):
    label = (np.random.default_rng(5).random(len(frame)) < 0.3).astype(np.int8)
    return from_lightgbm(train_booster(np.ascontiguousarray(engineer.matrix(frame)), label))


def check(engineer, ensemble, frame, *, rows=1000, probe=None, window=None):
    return check_windows(
        engineer,
        frame,
        sample_rows(frame, rows),
        probe=open_model(probe or build_feature_probe(engineer)),
        model=open_model(window or build_window_model(engineer, ensemble, threshold=0.5, metadata={})),
        scorer=Scorer(
            build_model(ensemble, n_features=len(engineer.features), scaling=None, threshold=0.5, metadata={})
        ),
    )


def test_a_window_holds_the_last_rows_of_the_segment(frame, engineer):
    rows = np.array([0, 3, 150, 280, 281, 399])
    window, timestamp = window_batch(frame, engineer, rows)
    assert window.shape == (6, engineer.look_back, len(engineer.channels))
    for number, row in enumerate(rows):
        inside = frame.iloc[max(0, row - engineer.look_back + 1) : row + 1]
        inside = inside[inside["segment"] == frame["segment"][row]]
        expected = np.full(window.shape[1:], np.nan)
        expected[len(expected) - len(inside) :] = inside[list(engineer.channels)]
        np.testing.assert_array_equal(window[number], expected)
        assert timestamp[number] == frame["timestamp"][row].timestamp()


def test_equal_graphs_are_reported_with_their_figures(frame, engineer, ensemble):
    figures = check(engineer, ensemble, frame)
    assert figures.rows == len(sample_rows(frame, 1000))
    assert figures.cells == figures.rows * len(engineer.features)
    assert figures.differing_cells == figures.differing_bits == figures.differing_labels == 0


def test_batches_of_one_row_find_the_same(frame, engineer, ensemble, monkeypatch):
    monkeypatch.setattr("ml.export.window.parity._WINDOW_CELLS_AT_ONCE", 1)
    assert check(engineer, ensemble, frame, rows=64).rows == 64


def test_complete_windows_are_compared_apart_from_others(engineer, ensemble, frame):
    """They take another branch of the graph, which one missing reading in the batch would avoid."""
    filled = frame.copy()
    channels = list(engineer.channels)
    filled[channels] = filled[channels].ffill().bfill()
    batches = []

    class Recorder:
        def __init__(self, content):
            self.session = open_model(content)

        def run(self, names, inputs):
            batches.append(np.isfinite(inputs["window"]).all(axis=(1, 2)))
            return self.session.run(names, inputs)

    check_windows(
        engineer,
        filled,
        np.arange(len(filled)),
        probe=Recorder(build_feature_probe(engineer)),
        model=open_model(build_window_model(engineer, ensemble, threshold=0.5, metadata={})),
        scorer=Scorer(
            build_model(ensemble, n_features=len(engineer.features), scaling=None, threshold=0.5, metadata={})
        ),
    )
    assert sum(len(batch) for batch in batches) == len(filled)
    assert [batch.all() for batch in batches if batch.any()].count(True) >= 1
    reset = 70  # windows over the counter's reset lack its increase, and so are not complete though every reading is
    mixed = [batch for batch in batches if batch.any() and not batch.all()]
    assert sum(int(batch.sum()) for batch in mixed) == engineer.look_back - 1
    assert frame["total"].diff()[reset] < 0


def test_another_constant_is_found_out(frame, engineer, ensemble):
    state = engineer.to_dict()
    mean, std = state["constants"]["temp"]
    other = FeatureEngineer.from_dict(state | {"constants": state["constants"] | {"temp": [mean * (1 + 1e-6), std]}})
    with pytest.raises(ParityError, match="cells, the first of them of temp__"):
        check(engineer, ensemble, frame, probe=build_feature_probe(other))


def test_another_order_of_features_is_found_out_by_the_probabilities(frame, engineer, ensemble):
    state = engineer.to_dict()
    other = FeatureEngineer.from_dict(state | {"features": state["features"][::-1]})
    wrong = build_window_model(other, ensemble, threshold=0.5, metadata={})
    with pytest.raises(ParityError, match=r"[1-9].* another probability"):
        check(engineer, ensemble, frame, window=wrong)


def test_another_threshold_is_found_out_by_the_labels(frame, engineer, ensemble):
    wrong = build_window_model(engineer, ensemble, threshold=0.0, metadata={})
    with pytest.raises(ParityError, match=r"0 of .* rows have another probability, [1-9]"):
        check(engineer, ensemble, frame, window=wrong)


def test_the_sample_is_bounded_ascending_and_holds_starts_of_segments():
    frame = make_frame(rows=6000)
    rows = sample_rows(frame, 1024)
    assert len(rows) <= 1024
    assert (np.diff(rows) > 0).all()
    assert {0, 5880, 5881, 5883} <= set(rows.tolist())
    assert rows[-1] == len(frame) - 1
    assert np.histogram(rows, 4, (0, len(frame)))[0].min() > 100


def test_a_short_frame_is_compared_whole():
    assert sample_rows(make_frame(rows=130), 4096).tolist() == list(range(130))
