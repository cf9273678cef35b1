from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import NoRowsError, TooFewFailuresError
from ml.learning.events.failures import epoch_seconds, failure_numbers
from ml.learning.folds.splits import Parts, split_parts
from ml.options.data import DataConfig
from tests.reference.splits import sees_held_out
from tests.unit.learning.grid_frames import grid_frame, regular_plant, with_given_labels
from tests.unit.learning.strategies import INTERVAL, labelled_frames


def split(frame: pd.DataFrame, *, look_back: int = 5, seed: int = 7, **options: object) -> Parts:
    return split_parts(frame, DataConfig.model_validate(options), look_back=look_back, interval=INTERVAL, seed=seed)


@given(labelled_frames(), st.integers(1, 10), st.integers(0, 5), st.sampled_from(["time", "asset"]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_earlier_row_sees_a_later_part(
    case: tuple[pd.DataFrame, int], look_back: int, seed: int, split_by: str
) -> None:
    frame, horizon = case
    options = {"prediction_horizon_seconds": horizon, "min_failure_events": 0, "split_by": split_by}
    try:
        parts = split(frame, look_back=look_back, seed=seed, **options)
    except (TooFewFailuresError, NoRowsError):
        return
    times, assets = epoch_seconds(frame["timestamp"]).tolist(), frame["asset_id"].tolist()
    order = [np.flatnonzero(mask).tolist() for mask in (parts.train, parts.validation, parts.test)]
    for earlier, later in ((0, 1), (0, 2), (1, 2)):
        window = look_back * INTERVAL
        assert not sees_held_out(times, assets, order[earlier], order[later], window, horizon)
    labelled = (frame["label"] >= 0).to_numpy()
    together = parts.train.astype(int) + parts.validation + parts.test
    assert together.max() <= 1
    assert not together[~labelled].any()
    assert parts.purged == labelled.sum() - together.sum()


@given(labelled_frames(), st.booleans())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_failure_is_in_two_parts(case: tuple[pd.DataFrame, int], in_failure_positive: bool) -> None:
    frame, horizon = case
    if in_failure_positive:
        frame.loc[frame["event"] >= 0, "label"] = 1
    try:
        parts = split(frame, prediction_horizon_seconds=horizon, min_failure_events=0)
    except (TooFewFailuresError, NoRowsError):
        return
    failures = failure_numbers(frame, horizon)
    of_part = [set(failures[mask]) - {-1} for mask in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, of_part)) == len(set.union(*of_part))


def test_a_failure_on_both_sides_of_a_cut_stays_with_the_part_it_began_in() -> None:
    failures = {"a": [(20, 22), (55, 65), (70, 72), (75, 84), (90, 92)]}
    frame = grid_frame({"a": list(range(100))}, failures=failures, horizon=0)
    parts = split(frame, prediction_horizon_seconds=0, min_failure_events=1)
    event = frame["event"].to_numpy()
    of_part = [set(event[mask]) - {-1} for mask in (parts.train, parts.validation, parts.test)]
    assert of_part == [{0, 1}, {2, 3}, {4}]
    assert np.flatnonzero(parts.validation).min() == 66
    assert np.flatnonzero(parts.test).min() == 85
    assert parts.purged == 6 + 5


def test_time_parts_follow_each_other_with_the_configured_shares() -> None:
    frame = regular_plant(4, 1000, 50, horizon=300)
    parts = split(frame, prediction_horizon_seconds=300)
    assert frame["timestamp"][parts.train].max() + pd.Timedelta("300s") < frame["timestamp"][parts.validation].min()
    assert frame["timestamp"][parts.validation].max() + pd.Timedelta("300s") < frame["timestamp"][parts.test].min()
    labelled = (frame["label"] >= 0).sum()
    assert parts.test.sum() / labelled == pytest.approx(0.2, abs=0.01)
    assert parts.validation.sum() / labelled == pytest.approx(0.2, abs=0.02)


def test_detection_purges_nothing() -> None:
    frame = regular_plant(2, 400, 20, horizon=0, length=1)
    parts = split(frame, prediction_horizon_seconds=0)
    assert parts.purged == 0
    assert (parts.train | parts.validation | parts.test).all()


def test_without_a_test_share_the_test_part_is_empty() -> None:
    frame = regular_plant(2, 400, 30, horizon=300)
    for split_by in ("time", "asset"):
        parts = split(frame, prediction_horizon_seconds=300, test_split=0, validation_split=0.3, split_by=split_by)
        assert not parts.test.any()
        assert parts.describe()["test"]["rows"] == 0


def test_asset_parts_hold_whole_assets_with_balanced_failures() -> None:
    frame = regular_plant(10, 300, 60, horizon=300)
    parts = split(frame, prediction_horizon_seconds=300, split_by="asset")
    assets = [set(frame["asset_id"][mask]) for mask in (parts.train, parts.validation, parts.test)]
    assert [len(part) for part in assets] == [6, 2, 2]
    assert len(set.union(*assets)) == 10
    assert parts.purged == 0


def test_held_out_assets_reach_the_minimum_of_failures_where_the_data_allows() -> None:
    frame = regular_plant(10, 100, 90, horizon=300)
    parts = split(frame, prediction_horizon_seconds=300, split_by="asset")
    assert [parts.describe()[name]["events"] for name in ("train", "validation", "test")] == [4, 3, 3]


def test_asset_order_depends_on_the_seed_only() -> None:
    frame = regular_plant(12, 120, 40, horizon=300)
    options = {"prediction_horizon_seconds": 300, "split_by": "asset"}
    assert (split(frame, seed=1, **options).test == split(frame, seed=1, **options).test).all()
    assert (split(frame, seed=1, **options).test != split(frame, seed=2, **options).test).any()


def test_too_few_assets_are_refused_with_a_way_out() -> None:
    frame = regular_plant(2, 300, 30, horizon=300)
    with pytest.raises(TooFewFailuresError, match=r"at least 3 assets.*has 2") as caught:
        split(frame, prediction_horizon_seconds=300, split_by="asset")
    assert "time" in (caught.value.hint or "")


def test_a_part_with_too_few_failures_is_named_and_can_be_overridden() -> None:
    steps = list(range(400))
    failures = {"a": [(step, step + 1) for step in (20, 60, 100, 140, 180, 260, 280, 300, 360)]}
    frame = grid_frame({"a": steps}, failures=failures, horizon=300)
    with pytest.raises(TooFewFailuresError, match="the test part has 1 failure event, and at least 3") as caught:
        split(frame, prediction_horizon_seconds=300)
    assert "dataConfig.minFailureEvents" in (caught.value.hint or "")
    assert caught.value.field == "dataConfig.minFailureEvents"
    assert split(frame, prediction_horizon_seconds=300, min_failure_events=1).test.any()


def test_machines_that_fail_once_each_are_to_be_split_by_asset() -> None:
    names = [f"m{number}" for number in range(12)]
    frame = grid_frame(
        {name: list(range(100)) for name in names}, failures={name: [(99, 99)] for name in names}, horizon=300
    )
    with pytest.raises(TooFewFailuresError) as refused:
        split(frame, prediction_horizon_seconds=300)
    assert (refused.value.hint or "").startswith('set dataConfig.splitBy to "asset", as 12 assets fail; or ')
    assert split(frame, prediction_horizon_seconds=300, split_by="asset").train.any()
    few = frame[frame["asset_id"] < "m5"].reset_index(drop=True)
    with pytest.raises(TooFewFailuresError) as refused:
        split(few, prediction_horizon_seconds=300)
    assert "splitBy" not in (refused.value.hint or "")


def test_both_classes_are_needed_whatever_the_minimum() -> None:
    frame = grid_frame({"a": list(range(200))}, failures={"a": [(20, 21)]}, horizon=300)
    with pytest.raises(TooFewFailuresError, match="the validation part has no positive rows"):
        split(frame, prediction_horizon_seconds=300, min_failure_events=0)


def test_no_label_at_all_is_said() -> None:
    frame = with_given_labels({"a": [-1, -1, -1]})
    with pytest.raises(NoRowsError, match="no row has a known label"):
        split(frame)


def test_the_description_counts_what_the_masks_hold() -> None:
    frame = regular_plant(3, 500, 40, horizon=300)
    parts = split(frame, prediction_horizon_seconds=300)
    description = json.loads(json.dumps(parts.describe()))
    failures = failure_numbers(frame, 300)
    for name, mask in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
        part = description[name]
        assert part["rows"] == mask.sum()
        assert part["positives"] == (frame["label"][mask] == 1).sum()
        assert part["events"] == len(set(failures[mask]) - {-1})
        assert part["assets"] == 3
        assert pd.Timestamp(part["firstTime"]) == frame["timestamp"][mask].min()
        assert pd.Timestamp(part["lastTime"]) == frame["timestamp"][mask].max()
    assert description["purgedRows"] == parts.purged > 0
