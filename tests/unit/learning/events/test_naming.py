"""Whether failures are called by their right name, against loops over rows and failures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.learning.events.detection import Events, find_events
from ml.learning.events.naming import confusion_matrix, naming_metrics

HOUR = 3600
NAMES = ("fan", "heater", "oil")
ROWS = 40


@st.composite
def cases(draw):
    """Rows of two assets in any order, with failures, probabilities and modes; a horizon of three hours or none."""
    horizon = draw(st.sampled_from([3 * HOUR, 0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    asset, hour = np.repeat(["a", "b"], ROWS), np.tile(np.arange(ROWS), 2)
    failed = rng.random(2 * ROWS) < 0.1
    onsets = [(asset[at], hour[at] * HOUR) for at in np.flatnonzero(failed)]
    if horizon:
        label = np.array(
            [
                -1
                if failed[at]
                else int(any(name == asset[at] and 0 < when - hour[at] * HOUR <= horizon for name, when in onsets))
                for at in range(2 * ROWS)
            ]
        )
    else:
        label = (failed | (rng.random(2 * ROWS) < 0.1)).astype(int)
    order = rng.permutation(2 * ROWS)
    probability = rng.choice([0.2, 0.6, 0.7, 0.9], 2 * ROWS).astype(np.float32)
    modes = rng.choice([0.1, 0.5, 0.9], (2 * ROWS, 3)).astype(np.float32)
    table = pd.DataFrame({"asset": asset, "seconds": hour * HOUR, "label": label, "p": probability}).iloc[order]
    return horizon, table.reset_index(drop=True), pd.DataFrame(onsets, columns=["asset_id", "timestamp"]), modes


def events_of(horizon: int, table: pd.DataFrame, onsets: pd.DataFrame) -> Events:
    columns = (table[name].to_numpy() for name in ("asset", "seconds", "label", "p"))
    return find_events(*columns, onsets, threshold=0.5, horizon=horizon, cooldown=HOUR, interval=HOUR)


def by_loops(events: Events, own, table: pd.DataFrame, modes) -> dict[str, int]:
    """Counts over all failures, and ``right`` by mode at the highest row."""
    counts = dict.fromkeys(("failures", "detected", "first", "highest", "some"), 0)
    failures = events.failures
    for at, names in enumerate(own):
        if not names:
            continue
        counts["failures"] += 1
        asset, onset, notice = events.assets[failures.asset[at]], failures.seconds[at], failures.notice[at]
        if np.isnan(notice):
            continue
        counts["detected"] += 1
        rows = table[table["asset"] == asset].sort_values("seconds")
        if events.horizon:
            rows = rows[(rows["seconds"] >= onset - notice) & (rows["seconds"] < onset)]
        else:
            rows = rows[rows["seconds"] >= onset]
            rows = rows[(rows["label"] != 1).cumsum() == 0]
            rows = rows[rows["seconds"] >= onset + notice]
        rows = rows[(rows["p"] >= 0.5) & (rows["label"] == 1)]
        right = [NAMES[int(np.argmax(modes[row]))] in names for row in rows.index]
        counts["first"] += right[0]
        counts["highest"] += right[int(np.argmax(rows["p"].to_numpy()))]
        counts["some"] += any(right)
    return counts


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=st.integers(0, 2**20))
def test_names_are_counted_as_by_loops(case, seed):
    horizon, table, onsets, modes = case
    events = events_of(horizon, table, onsets)
    rng = np.random.default_rng(seed)
    own = [[name for name in NAMES if rng.random() < 0.4] for _ in events.failures.seconds]
    found = naming_metrics(events, own, table["p"].to_numpy(), modes, NAMES)
    expected = by_loops(events, own, table, modes)
    assert (found["failures"], found["detected"]) == (expected["failures"], expected["detected"])
    assert found["missed"] == expected["failures"] - expected["detected"]
    assert found["wrongly"] == expected["detected"] - expected["some"]
    for way, key in (("first", "namedAtFirstRow"), ("highest", "namedAtHighestRow"), ("some", "namedAtSomeRow")):
        share = expected[way] / expected["detected"] if expected["detected"] else None
        assert found[key] == pytest.approx(share)

    rows, columns, counts = confusion_matrix(found["confusion"])
    assert (rows, columns) == (list(NAMES), [*NAMES, "missed"])
    each = found["perMode"]
    assert counts.sum(axis=1).tolist() == [each[name]["failures"] for name in NAMES]
    assert np.diag(counts).tolist() == [each[name]["atHighestRow"] for name in NAMES]
    assert counts[:, -1].tolist() == [each[name]["missed"] for name in NAMES]
    assert sum(each[name]["failures"] for name in NAMES) == sum(map(len, own))


def test_without_a_failure_nothing_is_named():
    table = pd.DataFrame({"asset": ["a"], "seconds": [0], "label": [0], "p": np.array([0.9], dtype=np.float32)})
    events = events_of(3 * HOUR, table, pd.DataFrame({"asset_id": [], "timestamp": []}))
    found = naming_metrics(events, [], table["p"].to_numpy(), np.full((1, 3), 0.5, dtype=np.float32), NAMES)
    assert (found["failures"], found["namedAtFirstRow"]) == (0, None)
