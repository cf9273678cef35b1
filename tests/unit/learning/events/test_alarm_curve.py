from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import TooFewFailuresError
from ml.learning.events.alarm_curve import alarm_curve
from ml.learning.events.failures import epoch_seconds, onsets
from tests.reference import events as reference
from tests.unit.learning.grid_frames import regular_plant
from tests.unit.learning.strategies import INTERVAL, labelled_frames


@given(labelled_frames(), st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 1000]), st.sampled_from([0, 150, 3600]))
@settings(max_examples=int(os.environ.get("EAGLE_HISTORIES", "150")), deadline=None, derandomize=True)
def test_every_threshold_counts_as_the_loops_do(case, seed, levels, cooldown):  # type: ignore[no-untyped-def]
    frame, horizon = case
    scored = frame[frame["label"] >= 0]
    if not (scored["label"] == 1).any():
        return
    probability = np.random.default_rng(seed).integers(0, levels, len(scored)) / (levels - 1)
    options = {"horizon": horizon, "cooldown": cooldown, "interval": INTERVAL}
    curve = alarm_curve(scored, probability, history=frame, **options)
    rows = list(
        zip(scored["asset_id"], epoch_seconds(scored["timestamp"]).tolist(), scored["label"], probability, strict=True)
    )
    failures = onsets(frame)
    known = list(zip(failures["asset_id"], failures["timestamp"].tolist(), strict=True))
    assert curve.thresholds.tolist() == sorted(set(np.float32(probability).tolist()))
    for at in np.linspace(0, len(curve.thresholds) - 1, 8).astype(int):
        threshold = float(curve.thresholds[at])
        naive = reference.event_metrics(rows, known, threshold=threshold, prices=(0, 0, 0), **options)
        alarm = np.float32(probability) >= np.float32(threshold)
        assert (curve.failures, curve.asset_days) == (naive["failures"], len(rows) * INTERVAL / 86_400)
        assert curve.alarms[at] == naive["alarms"]
        assert curve.false_alarms[at] == naive["falseAlarms"]
        assert curve.detected[at] == naive["detected"]
        assert curve.alarm_rows[at] == alarm.sum()
        assert curve.healthy_time_in_alarm[at] == (naive["healthyTimeInAlarm"] or 0)
        assert curve.hit_rows[at] == (alarm & (scored["label"] == 1)).sum()


def test_rows_without_a_failure_are_refused() -> None:
    frame = regular_plant(1, 50, 20, horizon=300)
    healthy = frame[frame["label"] == 0]
    with pytest.raises(TooFewFailuresError):
        alarm_curve(healthy, np.zeros(len(healthy)), horizon=300, cooldown=0, interval=INTERVAL, history=frame)
