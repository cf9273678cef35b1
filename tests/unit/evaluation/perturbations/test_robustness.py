import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.evaluation.metrics import row_metrics
from ml.evaluation.perturbations.kinds import SensorProfile, perturb
from ml.evaluation.perturbations.robustness import robustness_curves
from ml.evaluation.perturbations.subset import robustness_subset

LOOK_BACK = 4
STD = {"temperature": 5.0, "self": 2.0, "constant": 0.0}
THRESHOLD = 0.5


def config(**validation):
    return OrganizationConfig.from_dict(
        {
            "organizationId": "org",
            "schemaConfig": {
                "continuousColumns": ["temperature", "self", "constant", "volume"],
                "booleanColumns": ["running"],
                "counterColumns": ["volume"],
            },
            "validationConfig": validation,
        }
    )


SENSORS = config().schema_config.sensor_columns


def plant(**validation):
    return SensorProfile(config(**validation), STD, importance={"volume": 0.1, "temperature": 0.7, "self": 0.2})


@pytest.fixture
def frame():
    random = np.random.default_rng(2)
    size = 600
    segment = np.repeat(np.arange(6, dtype=np.int32), 100)
    label = (np.arange(size) % 100 >= 80).astype(np.int8)
    label[np.arange(size) % 100 >= 98] = -1
    return pd.DataFrame(
        {
            "asset_id": [f"asset {s // 2}" for s in segment],
            "timestamp": pd.date_range("2025-01-01", periods=size, freq="h", tz="UTC").as_unit("us"),
            "segment": segment,
            "temperature": (20 + 8 * (label == 1) + random.normal(0, 2, size)).astype(np.float32),
            "self": random.normal(0, 2, size).astype(np.float32),
            "constant": np.ones(size, np.float32),
            "volume": 2.5e8 + np.cumsum(random.random(size)),
            "running": np.ones(size, np.float32),
            "label": label,
        }
    )


class RollingEngineer:
    """Mean temperature of the last `LOOK_BACK` rows of the segment."""

    look_back = LOOK_BACK

    def __init__(self):
        self.frames = []

    def transform(self, frame):
        self.frames.append(frame)
        rolling = frame.groupby("segment")["temperature"].rolling(LOOK_BACK, min_periods=1).mean()
        return rolling.droplevel(0).astype(np.float32).to_frame("feature")


def score(features):
    return np.clip((np.nan_to_num(features[:, 0], nan=20) - 20) / 8, 0, 1).astype(np.float32)


def curves(frame, engineer=None, seed=7, **validation):
    return robustness_curves(frame, engineer or RollingEngineer(), score, THRESHOLD, plant(**validation), seed)


def test_the_input_frame_is_left_alone(frame):
    before = frame.copy(deep=True)

    curves(frame)

    pd.testing.assert_frame_equal(frame, before)


def test_level_zero_is_the_untouched_metric_and_comes_first_for_each_kind(frame):
    points = curves(
        frame, noiseLevels=[0.1, 1.0], missingRates=[0.3], stuckShares=[0.5], lostShares=[], jitterSteps=[1, 2]
    )

    assert [(point.kind, point.level) for point in points] == [
        ("noise", 0), ("noise", 0.1), ("noise", 1.0), ("missing", 0), ("missing", 0.3), ("stuck", 0), ("stuck", 0.5),
        ("lost", 0), ("jitter", 0), ("jitter", 1), ("jitter", 2),
    ]  # fmt: skip
    labelled = (frame["label"] >= 0).to_numpy()
    features = RollingEngineer().transform(frame)[labelled].to_numpy()
    expected = row_metrics(frame["label"][labelled], score(features), THRESHOLD)
    for point in points:
        if point.level == 0:
            assert (point.average_precision, point.auc, point.f1) == (
                expected.average_precision, expected.auc, expected.f1,
            )  # fmt: skip


def test_a_vanishing_level_changes_nothing_and_a_large_one_hurts(frame):
    untouched, tiny, large = curves(frame, noiseLevels=[1e-12, 5.0], missingRates=[])[:3]

    assert tiny.average_precision == untouched.average_precision
    assert large.average_precision < untouched.average_precision - 0.1


def test_a_seed_gives_the_same_points_twice_and_another_seed_others(frame):
    assert curves(frame) == curves(frame)
    assert curves(frame) != curves(frame, seed=8)


def test_noise_has_the_asked_size_and_leaves_counters_booleans_and_constants_alone(frame):
    many = pd.concat([frame] * 20, ignore_index=True)

    noisy = perturb(many, "noise", 0.5, plant(), seed=3)

    for name in ("temperature", "self"):
        assert (noisy[name] - many[name]).std() == pytest.approx(0.5 * STD[name], rel=0.05)
        assert noisy[name].dtype == np.float32
    for name in ("constant", "volume", "running", "label"):
        pd.testing.assert_series_equal(noisy[name], many[name])


def test_missing_readings_have_the_asked_share_in_every_sensor_and_grow_with_the_rate(frame):
    many = pd.concat([frame] * 20, ignore_index=True)

    few, more = (perturb(many, "missing", rate, plant(), seed=3) for rate in (0.1, 0.3))

    for name in SENSORS:
        assert few[name].isna().mean() == pytest.approx(0.1, abs=0.01)
        assert more[name].isna()[few[name].isna()].all()
        assert few[name].dtype == many[name].dtype
        kept = few[name].notna()
        pd.testing.assert_series_equal(few[name][kept], many[name][kept])
    assert not (few["temperature"].isna() == few["self"].isna()).all()


def test_the_sensors_that_the_model_relies_on_most_are_stuck_or_lost_first():
    assert plant().most_important(0.01) == ["temperature"]
    assert plant().most_important(0.4) == ["temperature", "self"]
    assert plant().most_important(0.6) == ["temperature", "self", "volume"]
    assert plant().most_important(1.0) == ["temperature", "self", "volume", "constant", "running"]


def test_a_stuck_sensor_keeps_the_first_value_of_its_segment_and_the_others_move_on(frame):
    frame.loc[[100, 250], "temperature"] = np.nan

    stuck = perturb(frame, "stuck", 0.2, plant(), seed=3)

    for number, run in frame.groupby("segment"):
        known = run["temperature"].dropna()
        kept = stuck.loc[known.index, "temperature"]
        assert (kept == known.iloc[0]).all(), number
    assert stuck["temperature"].isna().equals(frame["temperature"].isna())
    assert stuck["temperature"].dtype == np.float32
    pd.testing.assert_frame_equal(stuck.drop(columns="temperature"), frame.drop(columns="temperature"))


def test_a_lost_sensor_has_no_reading_and_the_others_have_all(frame):
    lost = perturb(frame, "lost", 0.4, plant(), seed=3)

    assert lost[["temperature", "self"]].isna().all(axis=None)
    assert lost["temperature"].dtype == np.float32
    rest = [name for name in frame if name not in ("temperature", "self")]
    pd.testing.assert_frame_equal(lost[rest], frame[rest])


@pytest.mark.parametrize("level", [1, 3])
def test_a_jittered_reading_is_one_of_a_nearby_instant_of_its_segment(frame, level):
    frame["self"] = np.arange(len(frame), dtype=np.float32)

    jittered = perturb(frame, "jitter", level, plant(), seed=3)

    shift = jittered["self"].to_numpy() - frame["self"].to_numpy()
    assert np.array_equal(np.unique(shift), np.arange(-level, level + 1))
    source = jittered["self"].astype(int)
    assert np.array_equal(frame["segment"].to_numpy()[source], frame["segment"].to_numpy())
    assert jittered["volume"].is_monotonic_increasing
    pd.testing.assert_series_equal(jittered["label"], frame["label"])


def test_a_wider_jitter_shifts_the_same_readings_the_same_way(frame):
    frame["self"] = np.arange(len(frame), dtype=np.float32)
    inner = frame["segment"].duplicated() & frame["segment"].duplicated(keep="last")

    near, far = (perturb(frame, "jitter", level, plant(), seed=3)["self"] - frame["self"] for level in (2, 4))

    assert (near[inner] * far[inner] >= 0).all()
    assert (far[inner].abs() >= near[inner].abs()).mean() > 0.98  # fewer only where a segment ends


def test_losing_what_the_model_reads_hurts_and_losing_what_it_does_not_read_does_nothing(frame):
    points = {(point.kind, point.level): point for point in curves(frame, lostShares=[0.2], stuckShares=[0.2])}
    unread = SensorProfile(config(lostShares=[0.2]), STD, importance={"self": 1.0})
    spared = robustness_curves(frame, RollingEngineer(), score, THRESHOLD, unread, 7)

    untouched = points["lost", 0.0].average_precision
    assert points["lost", 0.2].average_precision < untouched - 0.1
    assert points["stuck", 0.2].average_precision < untouched - 0.1
    assert {point.average_precision for point in spared if point.kind == "lost"} == {untouched}


def test_only_rows_that_are_asked_for_are_scored(frame):
    scored = (frame["segment"] == 2).to_numpy()
    engineer = RollingEngineer()

    robustness_curves(frame, engineer, score, THRESHOLD, plant(), 7, scored=scored)

    assert len(engineer.frames[0]) == 98  # the rows of the segment that have a label
    assert robustness_curves(frame, engineer, score, THRESHOLD, plant(), 7, scored=~scored & scored) == []


def test_progress_is_told_to_the_end(frame):
    told = []

    robustness_curves(
        frame, RollingEngineer(), score, THRESHOLD, plant(), 7, progress=lambda *step: told.append(step[:2])
    )

    assert told == [(done, 20) for done in range(1, 21)]


def test_a_subset_keeps_the_budget_and_every_scored_window_whole(frame):
    frame["row"] = np.arange(len(frame))
    scored = (frame["label"] >= 0).to_numpy()
    features = RollingEngineer().transform(frame)["feature"].to_numpy()

    part = robustness_subset(frame, scored, look_back=LOOK_BACK, max_rows=150, seed=1)

    assert 0 < len(part.frame) <= 150
    rows = part.frame["row"].to_numpy()[part.scored]
    assert (frame["label"].to_numpy()[rows] == 1).any()
    assert (frame["label"].to_numpy()[rows] == 0).any()
    again = RollingEngineer().transform(part.frame)["feature"].to_numpy()[part.scored]
    np.testing.assert_allclose(again, features[rows], rtol=1e-6)


def test_segments_of_a_subset_are_numbered_without_joining_what_was_apart(frame):
    frame["row"] = np.arange(len(frame))

    part = robustness_subset(frame, (frame["label"] >= 0).to_numpy(), look_back=LOOK_BACK, max_rows=200, seed=1).frame

    assert part["segment"].dtype == np.int32
    assert np.array_equal(np.unique(part["segment"]), np.arange(part["segment"].nunique()))
    for _, run in part.groupby("segment"):
        assert (np.diff(run["row"]) == 1).all()
        assert frame["segment"].iloc[run["row"]].nunique() == 1


def test_a_frame_within_the_budget_is_taken_whole(frame):
    part = robustness_subset(frame, (frame["label"] >= 0).to_numpy(), look_back=LOOK_BACK, max_rows=10_000, seed=1)

    assert part.scored.sum() == (frame["label"] >= 0).sum()
