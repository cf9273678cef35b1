"""What is known of each row's time to failure: against a second reading of the rule, and against labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.ingest.failures.labels import label_grid
from ml.learning.events.failures import epoch_seconds
from ml.learning.times.targets import NEVER, PER_ROW, ask, horizons_of, remaining, samples_of
from tests.reference.labels import naive_labels
from tests.reference.times import naive_known

INTERVAL = 60
START = pd.Timestamp("2024-01-01", tz="UTC")


@st.composite
def histories(draw):
    """Assets with pauses, failures, unknown targets and time off: asset, step, target, off."""
    rows = []
    for asset in "ab"[: draw(st.integers(1, 2))]:
        step = 0
        for _ in range(draw(st.integers(1, 6))):
            step += draw(st.sampled_from([0, 0, 0, 1, 5]))
            kind = draw(st.sampled_from(["well", "well", "failed", "unknown", "off"]))
            for _ in range(draw(st.integers(1, 9))):
                target = {"failed": 1.0, "unknown": np.nan}.get(kind, 0.0)
                rows.append((asset, step, target, kind == "off"))
                step += 1
    return rows


def frame_of(rows, horizon, recovery=0):
    assets, steps, target, off = zip(*rows, strict=True)
    grid = pd.DataFrame(
        {
            "asset_id": assets,
            "timestamp": (START + pd.to_timedelta(np.array(steps) * INTERVAL, unit="s")).astype("datetime64[us, UTC]"),
            "target": target,
        }
    )
    return label_grid(grid, interval=INTERVAL, horizon=horizon, recovery_seconds=recovery, off=np.array(off))


@given(histories(), st.integers(1, 6), st.sampled_from([0, 120, 600]), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_it_equals_the_row_by_row_reference(rows, steps, recovery, random):
    horizon = steps * INTERVAL
    frame = frame_of(rows, horizon, recovery)
    part = np.array([random.random() < 0.9 for _ in rows]) & (frame["label"] >= 0).to_numpy()
    found = remaining(frame, part, horizon=horizon, interval=INTERVAL)
    plain = list(
        zip(
            frame["asset_id"],
            epoch_seconds(frame["timestamp"]).tolist(),
            frame["event"].tolist(),
            frame["status"].astype(str),
            strict=True,
        )
    )
    expected = [each for each in naive_known(plain, part.tolist(), INTERVAL, horizon) if each is not None]
    assert [None if each == NEVER else each for each in found.failure.tolist()] == [each for each, _ in expected]
    assert [np.inf if each == NEVER else each for each in found.known.tolist()] == [each for _, each in expected]


@given(histories(), st.integers(1, 4), st.integers(0, 12))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_answers_are_the_labels_of_the_longer_horizon_and_no_healthy_row_is_lost(rows, steps, further):
    rows = [(asset, step, target, False) for asset, step, target, _ in rows]
    horizon, longer = steps * INTERVAL, (steps + further) * INTERVAL
    frame = frame_of(rows, horizon)
    labelled = (frame["label"] >= 0).to_numpy()
    found = remaining(frame, labelled, horizon=horizon, interval=INTERVAL)
    codes = [(asset, step * INTERVAL, -1 if np.isnan(target) else int(target)) for asset, step, target, _ in rows]
    labels = [label for _, label, _ in naive_labels(codes, INTERVAL, longer)]
    for label, failure, known in zip(np.array(labels)[labelled], *found, strict=True):
        if known >= longer and label >= 0:
            assert label == (failure <= longer)
        if label == 0:
            assert known >= longer


def test_at_the_horizon_itself_every_labelled_row_is_asked_and_has_its_label():
    rows = [("a", step, float(step in (20, 21, 45)), False) for step in range(60)]
    frame = frame_of(rows, 300)
    labelled = (frame["label"] >= 0).to_numpy()
    asked = ask(remaining(frame, labelled, horizon=300, interval=INTERVAL), horizon=300, interval=INTERVAL, seed=3)
    at_horizon = asked.horizon == 300
    row, first = np.unique(asked.row[at_horizon], return_index=True)
    assert row.tolist() == list(range(labelled.sum()))
    assert asked.label[at_horizon][first].tolist() == (frame["label"][labelled] == 1).tolist()
    assert len(asked.row) <= PER_ROW * labelled.sum()
    assert (np.diff(asked.row) >= 0).all()
    assert asked.horizon.min() >= INTERVAL
    assert asked.horizon.max() <= 4 * 300
    assert (asked.horizon % INTERVAL == 0).all()


def test_a_horizon_that_would_tell_of_another_part_is_not_asked():
    frame = frame_of([("a", step, float(step >= 90), False) for step in range(100)], 300)
    train = (frame["label"] >= 0).to_numpy() & (np.arange(100) < 50)
    found = remaining(frame, train, horizon=300, interval=INTERVAL)
    assert (np.arange(50) * INTERVAL + found.known).max() == 49 * INTERVAL + 300
    whole = remaining(frame, (frame["label"] >= 0).to_numpy(), horizon=300, interval=INTERVAL)
    assert (whole.known == NEVER).all(), "the asset ends with its failure, and nothing was cut off"


def test_horizons_double_and_none_is_shorter_than_a_sample():
    assert horizons_of(172_800, 900) == (10_800, 21_600, 43_200, 86_400, 172_800, 345_600, 691_200)
    assert horizons_of(120, 60) == (60, 120, 240, 480)
    assert horizons_of(60, 60) == (60, 120, 240)
    assert samples_of(np.array([60, 120, 240]), 60).tolist() == [1.0, 2.0, 3.0]
