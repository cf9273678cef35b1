"""The model of the time to failure within training: rows, parts, and what it learns on a plant whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.arrays import spread
from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.features import FeatureEngineer
from ml.ingest.failures.labels import label_grid
from ml.learning.events.alarm_rows import is_alarm
from ml.learning.times.measured import JudgedTimes, measure, stored_times, story
from ml.learning.times.pooled import HorizonModel, HorizonRows, copies_for, fit
from ml.learning.training import train

INTERVAL, HORIZON = 60, 1200


def plant(n_assets=6, n_steps=500, seed=0):
    """Machines whose wear is shown with noise, and that fail when it is over; the time left follows from the wear."""
    rng, parts = np.random.default_rng(seed), []
    for number in range(n_assets):
        wear, target = np.empty(n_steps), np.zeros(n_steps)
        level = rng.uniform(0, 60)
        for step in range(n_steps):
            wear[step] = level
            if level >= 100:
                target[step : step + 3] = 1
                level = -4.0
            level += 1 + 0.3 * rng.normal()
        time = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(n_steps) * INTERVAL, unit="s")
        parts.append(
            pd.DataFrame(
                {
                    "asset_id": f"pump{number}",
                    "timestamp": time.astype("datetime64[us, UTC]"),
                    "segment": np.int32(number),
                    "wear": (wear + 4 * rng.normal(size=n_steps)).astype(np.float32),
                    "target": target,
                }
            )
        )
    return label_grid(pd.concat(parts, ignore_index=True), interval=INTERVAL, horizon=HORIZON)


def config(scheme="holdout", **training):
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "version": "v1",
            "schemaConfig": {"continuousColumns": ["wear"], "rollingWindows": [5], "lagSeconds": [60]},
            "dataConfig": {"predictionHorizonSeconds": HORIZON, "splitBy": "asset"},
            "trainingConfig": {
                "lgbParams": {"numIterations": 40, "learningRate": 0.1},
                "threads": 1,
                "timeToFailure": "on",
                **training,
            },
            "validationConfig": {"scheme": scheme},
        }
    )


@pytest.fixture(scope="module")
def frame():
    return plant()


@pytest.fixture(scope="module")
def holdout(frame):
    return train(config(), frame, INTERVAL)


@pytest.fixture(scope="module", params=["holdout", "backtest"])
def judged(request, frame, holdout):
    settings = config(request.param)
    model = holdout if request.param == "holdout" else train(settings, frame, INTERVAL)
    threshold = model.threshold if model.judged is None else model.judged.threshold
    alarm = is_alarm(model.held_out(), threshold)
    return model, JudgedTimes.of(model.times, frame, alarm, "test", settings, INTERVAL)


def test_the_interval_holds_the_truth_about_as_often_as_it_says(judged):
    model, times = judged
    assert np.array_equal(times.trained.row, np.flatnonzero(model.parts.test))
    measured = times.measured
    assert measured.first_alarms.count >= (4 if model.judged is None else 25)
    for found in (measured.rows, measured.alarm_rows):
        assert 0.65 < found.share < 0.97
        assert found.interval[0] <= found.share <= found.interval[1]
    assert measured.median_error_seconds < HORIZON / 4
    assert measured.median_width_seconds < HORIZON
    assert times.kept
    assert (times.finding is None) == (measured.first_alarms.count >= 10)
    assert times.to_json()["firstAlarms"]["count"] == measured.first_alarms.count


def test_what_was_written_gives_the_same_export(judged, tmp_path):
    model, times = judged
    times.save(tmp_path)
    described = times.exported().described(5)
    again = stored_times(tmp_path, described, model.engineer)
    X = np.random.default_rng(0).normal(size=(50, len(model.engineer.features))).astype(np.float32)
    assert again.model.at(X, again.asked).tobytes() == times.trained.model.at(X, times.trained.asked).tobytes()
    assert (again.horizons, again.measured) == (times.trained.horizons, times.measured)
    kept = pd.read_parquet(tmp_path / "time_to_failure.parquet")
    assert kept["truth"].between(0, 4 * HORIZON, inclusive="right").all()


def test_the_classifier_is_the_same_with_and_without(frame, holdout):
    model, without = holdout, train(config(timeToFailure="off"), frame, INTERVAL)
    assert without.times is None
    assert without.estimator.booster.model_to_string() == model.estimator.booster.model_to_string()
    assert without.threshold == model.threshold


def test_rows_with_horizons_are_the_same_in_pieces_and_as_a_whole(frame):
    rows = np.zeros(len(frame), dtype=np.bool_)
    rows[30:400:3] = True
    engineer = FeatureEngineer(config(), INTERVAL).fit(frame, frame["label"].to_numpy(), rows=rows)
    row = np.sort(np.random.default_rng(1).integers(0, rows.sum(), 500))
    horizon = np.random.default_rng(2).normal(size=500).astype(np.float32)
    table = HorizonRows(engineer, frame, rows, (row, horizon), 3)
    whole = np.asarray(table)
    assert whole.shape == table.shape == (500, len(engineer.features) + 3)
    base = engineer.scaling.apply(engineer.matrix(frame, rows=rows, order="C"))
    np.testing.assert_array_equal(whole[:, :-3], base[row])
    assert (whole[:, -3:] == horizon[:, None]).all()
    for part in (slice(0, 1), slice(13, 300), slice(499, 500), slice(7, 7)):
        np.testing.assert_array_equal(table[part], whole[part])
    assert table.sample(40, 0).shape == (40, table.shape[1])


def test_where_few_features_are_drawn_the_horizon_stands_several_times():
    assert [copies_for(None, width) for width in (10, 128, 269, 1000)] == [1, 5, 12, 46]
    assert [copies_for(fraction, 50) for fraction in (1.0, 0.95, 0.5, 0.1)] == [1, 1, 5, 29]


def test_without_failures_it_is_refused_or_left_out(frame):
    given = frame.drop(columns=["target", "event"]).assign(
        target=np.int8(-1), event=np.int32(-1)
    )  # labels that were made elsewhere
    with pytest.raises(ConfigError, match="no instant at which a failure begins"):
        train(config(), given, INTERVAL)
    assert train(config(timeToFailure="auto"), given, INTERVAL).times is None


def test_of_many_rows_some_are_used_and_what_they_know_rests_on_all(frame, monkeypatch):
    monkeypatch.setattr("ml.learning.times.pooled.MOST_ROWS", 300)
    rows = (frame["label"] >= 0).to_numpy()
    settings = HorizonModel.settings(config().training_config)
    engineer = FeatureEngineer(config(), INTERVAL).fit(frame, frame["label"].to_numpy(), rows=rows)
    seen = []
    monkeypatch.setattr(HorizonModel, "fit", lambda model, X, y, *rest, **names: seen.append((np.asarray(X), y)))
    fit(settings, engineer, frame, (rows, None), horizon=HORIZON)
    (X, y) = seen[0]
    assert len(X) == len(y) <= 900
    at_horizon = X[:, -1] == np.float32(1 + np.log2(HORIZON / INTERVAL))
    expected = frame["label"].to_numpy()[spread(rows, 300)]
    assert y[np.unique(at_horizon.nonzero()[0])][: len(expected)].mean() == pytest.approx(expected.mean(), abs=0.02)


def told(**columns):
    table = pd.DataFrame(columns)
    return table.assign(asset_id="a", timestamp=pd.Timestamp("2024-01-01", tz="UTC"))


def test_rows_count_only_if_their_truth_would_be_known_whatever_it_is():
    table = told(
        p10=[10.0, 10, 10, 10, np.inf, np.inf, 0],
        p50=[20.0, 20, 20, 20, np.inf, np.inf, 5],
        p90=[30.0, 30, 30, np.inf, np.inf, np.inf, 9],
        truth=[5.0, 15, 25, np.inf, np.inf, 300, 0],
        known=[30.0, 31, 29, 10, 400, 399, np.inf],
        alarm=[True, True, True, True, False, False, True],
        failure=[0, 1, 2, -1, -1, 3, 4],
    )
    found = measure(table, "test", horizon=100, seed=0)
    # The third and the sixth are not known as far as they reach; the last is inside a failure.
    assert (found.rows.count, found.rows.share) == (4, 0.75)
    assert (found.alarm_rows.count, found.alarm_rows.share) == (3, pytest.approx(2 / 3))
    assert (found.first_alarms.count, found.first_alarms.share) == (2, 0.5)
    assert found.median_error_seconds == 5.0
    assert found.median_width_seconds == 20.0


def test_few_failures_prove_nothing(frame, holdout):
    model = holdout
    quiet = np.zeros(len(model.times.row), dtype=np.bool_)
    for wish, code in (("on", "TIME_TO_FAILURE_UNRELIABLE"), ("auto", "TIME_TO_FAILURE_LEFT_OUT")):
        times = JudgedTimes.of(model.times, frame, quiet, "test", config(timeToFailure=wish), INTERVAL)
        assert (times.kept, times.finding.code) == (wish == "on", code)


def test_the_story_says_what_came(frame):
    rows = np.flatnonzero(frame["label"] >= 0)[:300]
    given = np.zeros((300, 3), dtype=np.float32)
    table = story(frame, rows, given, np.ones(300, np.bool_), horizon=HORIZON, interval=INTERVAL)
    onset = frame.index[(frame["event"] >= 0) & (frame["event"].diff() != 0)]
    for row, truth, failure in zip(rows, table["truth"], table["failure"], strict=True):
        following = onset[(onset > row) & (frame["asset_id"].loc[onset] == frame["asset_id"].loc[row])]
        assert truth == (following[0] - row) * INTERVAL
        assert onset[failure] == following[0]
