from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from ml.arrays import spread
from ml.evaluation.drift import baseline
from ml.evaluation.drift.baseline import binned_distance, exact_distance, learn_baseline, reading_of, stability_index
from ml.evaluation.drift.evaluated import feature_drift, sensor_drift
from ml.evaluation.report.page.drift import MOST_SHOWN, drift_summary
from ml.options.schema import SchemaConfig

RANDOM = np.random.default_rng(5)
OLD = RANDOM.normal(size=3000).astype(np.float32)
SAME = RANDOM.normal(size=2000).astype(np.float32)
MOVED = SAME + np.float32(0.8)


@pytest.mark.parametrize("new", [SAME, MOVED, np.round(MOVED), np.zeros(7, np.float32)])
@pytest.mark.parametrize("old", [OLD, np.round(OLD), np.zeros(3, np.float32)])
def test_the_exact_distance_is_that_of_scipy(old, new) -> None:
    with_gaps = np.append(new, np.float32([np.nan, np.nan]))

    assert exact_distance(old, with_gaps) == pytest.approx(ks_2samp(old, new, method="asymp").statistic, abs=1e-12)


@pytest.mark.parametrize("new", [SAME, MOVED, -MOVED])
def test_the_binned_distance_is_a_close_lower_bound(new) -> None:
    exact, binned = exact_distance(OLD, new), binned_distance(learn_baseline(OLD), new)

    assert exact - 0.1 < binned <= exact


def test_a_column_without_values_has_no_distance() -> None:
    nothing = np.full(3, np.nan, np.float32)

    assert exact_distance(OLD, nothing) is None
    assert exact_distance(nothing, OLD) is None
    assert binned_distance(learn_baseline(nothing), OLD) is None
    assert binned_distance(learn_baseline(OLD), nothing) is None


def test_the_index_is_read_by_its_published_limits() -> None:
    assert [reading_of(index) for index in (0, 0.0999, 0.1, 0.25, 0.2501)] == [
        "stable", "stable", "moderate", "moderate", "strong",
    ]  # fmt: skip


def test_features_are_named_by_column_and_the_strongest_comes_first() -> None:
    training, judged = np.column_stack([OLD[:2000], OLD[1000:]]), np.column_stack([SAME, MOVED])

    moved, same = feature_drift(["same", "moved"], training, judged)

    assert (moved.name, moved.reading, same.name, same.reading) == ("moved", "strong", "same", "stable")
    assert moved.psi == stability_index(learn_baseline(OLD[1000:]), MOVED)
    assert moved.ks == exact_distance(OLD[1000:], MOVED)
    assert moved.to_json() == {
        "name": "moved", "kind": "feature", "psi": moved.psi, "ks": moved.ks, "reading": "strong",
    }  # fmt: skip


def test_sensors_are_judged_over_the_chosen_rows_only() -> None:
    schema = SchemaConfig(continuous_columns=("speed", "unknown"))
    frame = pd.DataFrame({"segment": 0, "speed": np.append(OLD, MOVED), "unknown": 1.0})
    baselines = {"speed": learn_baseline(OLD)}

    (stable,) = sensor_drift(baselines, frame, schema, np.arange(5000) < 3000)
    (strong,) = sensor_drift(baselines, frame, schema, np.arange(5000) >= 3000)

    assert (stable.psi, stable.ks) == (0, 0)
    assert strong.reading == "strong"


def test_rows_are_thinned_evenly_from_the_first_to_the_last() -> None:
    rows = np.arange(1000) >= 200

    kept = np.flatnonzero(spread(rows, 81))

    assert (len(kept), kept[0], kept[-1]) == (81, 200, 999)
    assert set(np.diff(kept)) <= {9, 10}
    assert spread(rows, 800) is rows


def test_the_page_tells_how_many_drifted_and_shows_the_strongest() -> None:
    names = [f"f{column}" for column in range(12)]
    judged = np.column_stack([SAME] * 11 + [MOVED])

    summary = drift_summary(feature_drift(names, np.column_stack([OLD] * 12), judged))

    assert summary.sentence == "1 of 12 features drifted strongly."
    ((name, content),) = summary.tables
    assert name == "Features"
    assert len(content.rows) == MOST_SHOWN
    assert content.rows[0][0] == "f11"
    assert content.rows[0][3] == "strong drift"
    assert drift_summary([]) is None


def test_the_examples_in_the_documentation_run() -> None:
    result = doctest.testmod(baseline, extraglobs={"np": np})

    assert (result.failed, result.attempted >= 4) == (0, True)
