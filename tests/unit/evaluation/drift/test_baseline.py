from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError
from ml.evaluation.drift.baseline import learn_baseline, stability_index
from ml.export.metadata import ChannelBaseline
from ml.options.schema import SchemaConfig
from ml.windows.channels import physical_samples

NAN = np.float32("nan")


def readings(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_every_bin_holds_a_tenth_of_the_rows_and_nothing_is_lost() -> None:
    values = np.random.default_rng(1).permutation(np.append(np.arange(1000), np.full(50, np.nan))).astype(np.float32)
    baseline = learn_baseline(values)
    assert baseline.counts == (100,) * 10
    assert baseline.missing == 50
    assert list(baseline.edges) == [99.0, 199.0, 299.0, 399.0, 499.0, 599.0, 699.0, 799.0, 899.0]


@pytest.mark.parametrize(
    ("values", "edges", "counts", "missing"),
    [
        ((0, 0, 0, 1), (0.0, 1.0), (3, 1, 0), 0),
        ((0,) * 19 + (1,), (0.0,), (19, 1), 0),
        ((NAN, NAN), (), (0,), 2),
        ((), (), (0,), 0),
    ],
)
def test_few_values_make_few_bins(values, edges, counts, missing) -> None:
    assert learn_baseline(readings(*values)) == ChannelBaseline(edges=edges, counts=counts, missing=missing)


@pytest.mark.parametrize("moved", [5.0001, 4.9999])
def test_a_sensor_that_never_moved_shows_every_move(moved: float) -> None:
    baseline = learn_baseline(readings(5, 5, 5))
    assert baseline.counts == (0, 3, 0)
    assert stability_index(baseline, readings(5, 5)) == 0
    assert stability_index(baseline, readings(5, moved)) > 0.25


def test_the_index_is_that_of_the_formula() -> None:
    baseline = ChannelBaseline(edges=(1.0, 2.0), counts=(20, 60, 10), missing=10)
    values = readings(*([0] * 3 + [2] * 4 + [3] * 2 + [NAN]))
    shares = [(0.3, 0.2), (0.4, 0.6), (0.2, 0.1), (0.1, 0.1)]
    expected = sum((new - old) * math.log(new / old) for new, old in shares)
    assert stability_index(baseline, values) == pytest.approx(expected, rel=1e-12)


def test_the_same_rows_have_no_drift_and_other_ones_have() -> None:
    rng = np.random.default_rng(3)
    training = rng.normal(size=5000).astype(np.float32)
    baseline = learn_baseline(training)
    assert stability_index(baseline, training) == 0
    assert stability_index(baseline, rng.normal(size=5000).astype(np.float32)) < 0.02
    assert stability_index(baseline, training + np.float32(1)) > 0.25
    assert stability_index(baseline, np.where(rng.random(5000) < 0.3, NAN, training)) > 0.25


def test_drift_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="at least one row"):
        stability_index(learn_baseline(readings(1, 2)), readings())


def test_a_counter_is_judged_by_its_increase_and_only_the_chosen_rows_count() -> None:
    schema = SchemaConfig(continuous_columns=("total", "speed"), counter_columns=("total",))
    frame = pd.DataFrame(
        {"segment": [0, 0, 0, 1], "total": [2.5e8, 2.5e8 + 3, 2.5e8 + 6, 0.0], "speed": readings(1, 2, 3, 9)}
    )
    rows = np.array([True, True, True, False])
    baselines = {name: learn_baseline(values) for name, values in physical_samples(frame, schema, rows)}
    assert baselines["total"].edges[-1] == 3.0
    assert (sum(baselines["total"].counts), baselines["total"].missing) == (2, 1)
    assert (sum(baselines["speed"].counts), baselines["speed"].edges[-1]) == (3, 3.0)
