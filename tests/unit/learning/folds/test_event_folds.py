from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import TooFewFailuresError
from ml.learning.events.failures import epoch_seconds, failure_numbers
from ml.learning.folds.splits import EventFolds
from tests.reference.splits import sees_held_out
from tests.unit.learning.grid_frames import grid_frame, regular_plant
from tests.unit.learning.strategies import INTERVAL, labelled_frames


def everything(frame: pd.DataFrame) -> np.ndarray:
    return np.ones(len(frame), dtype=bool)


@given(labelled_frames(), st.integers(2, 3), st.integers(1, 10), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_no_training_row_sees_a_held_out_row(
    case: tuple[pd.DataFrame, int], n_splits: int, look_back: int, whole_assets: bool, random: object
) -> None:
    frame, horizon = case
    mask = np.array([random.random() < 0.9 for _ in range(len(frame))])
    folds = EventFolds(n_splits, horizon, look_back, INTERVAL, seed=3, whole_assets=whole_assets)
    times, assets = epoch_seconds(frame["timestamp"]).tolist(), frame["asset_id"].tolist()
    try:
        for train, held_out in folds.split(frame, mask):
            window = look_back * INTERVAL
            assert not sees_held_out(times, assets, train.tolist(), held_out.tolist(), window, horizon)
            assert mask[train].all()
            assert mask[held_out].all()
    except TooFewFailuresError:
        return


@given(labelled_frames(), st.integers(2, 3), st.data())
@settings(max_examples=250, deadline=None, derandomize=True)
def test_no_failure_is_on_both_sides_of_a_fold(
    case: tuple[pd.DataFrame, int], n_splits: int, data: st.DataObject
) -> None:
    frame, horizon = case
    if data.draw(st.booleans()):  # labels made elsewhere: runs of positive rows around and between events
        runs = data.draw(st.lists(st.tuples(st.integers(0, len(frame)), st.integers(1, 40)), max_size=3))
        for first, length in runs:
            frame.loc[first : first + length, "label"] = 1
    failures = failure_numbers(frame, horizon)
    try:
        for train, held_out in EventFolds(n_splits, horizon, 1, INTERVAL, seed=3).split(frame, everything(frame)):
            assert not (set(failures[train]) & set(failures[held_out])) - {-1}
    except TooFewFailuresError:
        return


def test_a_run_of_positive_rows_around_an_event_is_not_trained_on_while_held_out() -> None:
    frame = grid_frame({"a": list(range(120))}, failures={"a": [(58, 60), (100, 101)]}, horizon=0)
    frame.loc[30:89, "label"] = 1
    run = np.flatnonzero((failure_numbers(frame, 0) >= 0) & (frame["event"] < 0))
    shares = []
    for train, held_out in EventFolds(2, 0, 1, INTERVAL, seed=0).split(frame, everything(frame)):
        shares.append(len(set(run) & set(held_out)))
        assert not shares[-1] or not set(run) & set(train)
    assert 0 < max(shares) < len(run)


def test_folds_hold_every_labelled_row_once_and_whole_failures() -> None:
    frame = regular_plant(3, 600, 60, horizon=300)
    failures = failure_numbers(frame, 300)
    folds = list(EventFolds(3, 300, 5, INTERVAL, seed=1).split(frame, everything(frame)))
    held_out = np.concatenate([rows for _, rows in folds])
    assert sorted(held_out) == np.flatnonzero(frame["label"] >= 0).tolist()
    of_fold = [set(failures[rows]) - {-1} for _, rows in folds]
    assert sum(len(events) for events in of_fold) == len(set.union(*of_fold))
    assert max(map(len, of_fold)) - min(map(len, of_fold)) <= 1


def test_one_asset_is_cut_between_failures_in_the_middle_of_the_healthy_time() -> None:
    frame = regular_plant(1, 300, 100, horizon=600)
    label = frame["label"].to_numpy()
    positive = np.flatnonzero(label == 1)
    gaps = [(a, b) for a, b in pairwise(positive) if b - a > 1]
    labelled = np.flatnonzero(label >= 0)
    starts = sorted(
        int(rows.min()) for _, rows in EventFolds(3, 600, 5, INTERVAL, seed=0).split(frame, everything(frame))
    )
    assert starts[0] == labelled[0]
    for start, (before, after) in zip(starts[1:], gaps, strict=True):
        healthy = labelled[(labelled > before) & (labelled < after)]
        position = int(np.searchsorted(healthy, start))
        assert abs(position - (len(healthy) - position)) <= 1


def test_training_rows_far_from_the_block_are_kept() -> None:
    frame = regular_plant(1, 600, 50, horizon=300)
    label = (frame["label"] >= 0).to_numpy()
    for train, held_out in EventFolds(3, 300, 5, INTERVAL, seed=0).split(frame, everything(frame)):
        lost = label.sum() - len(train) - len(held_out)
        assert 0 < lost <= 2 * (5 + 2 * 5 + 2)


def test_whole_assets_are_never_cut_and_nothing_is_purged() -> None:
    frame = regular_plant(6, 200, 50, horizon=300)
    assets = frame["asset_id"].to_numpy()
    folds = EventFolds(3, 300, 50, INTERVAL, seed=0, whole_assets=True)
    for train, held_out in folds.split(frame, everything(frame)):
        assert not set(assets[train]) & set(assets[held_out])
        assert len(train) + len(held_out) == (frame["label"] >= 0).sum()


def test_the_seed_decides() -> None:
    frame = regular_plant(8, 200, 50, horizon=300)

    def held_out(seed: int) -> list[list[int]]:
        folds = EventFolds(3, 300, 5, INTERVAL, seed=seed)
        return [rows.tolist() for _, rows in folds.split(frame, everything(frame))]

    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)


def test_fewer_failures_than_folds_are_refused() -> None:
    frame = regular_plant(1, 200, 100, horizon=300)
    with pytest.raises(TooFewFailuresError, match="2 failure events, too few for 3 folds") as caught:
        next(EventFolds(3, 300, 5, INTERVAL, seed=0).split(frame, everything(frame)))
    assert caught.value.field == "tuningConfig.cvFolds"


def test_a_window_that_purges_everything_is_refused() -> None:
    frame = regular_plant(1, 300, 50, horizon=300)
    with pytest.raises(TooFewFailuresError, match="both classes after purging"):
        list(EventFolds(2, 300, 10_000, INTERVAL, seed=0).split(frame, everything(frame)))
