"""Real and benchmark histories through the scripts, by configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from tests.pipeline.backend import STEPS
from tests.pipeline.public_data import (
    VARIABLE,
    BenchmarkRun,
    data_folder,
    run_turbofans,
    run_valve,
)
from tests.reference.metrics import ratio_metrics

pytestmark = pytest.mark.skipif(data_folder() is None, reason=f"{VARIABLE} does not name the folder of the public data")

MINIMUM_CYCLES = 50


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[BenchmarkRun]]]:
    """All data sets, two at a time: each step uses one thread."""
    folder = data_folder()
    assert folder is not None
    work = {name: tmp_path_factory.mktemp(name) for name in ("FD002", "FD001", "valve1")}
    with ThreadPoolExecutor(2) as pool:
        # without the search, which benchmarks/public_data.py makes
        started = {name: pool.submit(run_turbofans, folder, work[name], name, None) for name in ("FD002", "FD001")}
        yield started | {"valve1": pool.submit(run_valve, folder, work["valve1"])}


@pytest.mark.parametrize(
    ("name", "rows", "at_least"),
    [("FD001", 13_096, 0.95), ("FD002", 33_991, 0.93)],
    ids=["FD001", "FD002"],
)
def test_rows_of_unseen_engines_are_ranked(
    runs: dict[str, Future[BenchmarkRun]], name: str, rows: int, at_least: float
) -> None:
    predictions = runs[name].result().predictions
    assert len(predictions) == rows
    assert average_precision_score(predictions["label"], predictions["probability"]) >= at_least


def test_the_last_cycle_of_engines_with_enough_history_is_judged(runs: dict[str, Future[BenchmarkRun]]) -> None:
    """A floor, not the goal.

    The published reference for this task is F1 = 0.96; 0.941 is what was measured here. The verdict falls on 93
    engines, of which about a quarter fail soon, so one engine more or less moves F1 by about 0.02: the reference is
    one engine away, and the floor leaves room for two. Parameters and threshold were chosen on the training engines;
    the default window lengths follow published scores on turbofan data.
    """
    run = runs["FD001"].result()
    last = last_rows(run.predictions, MINIMUM_CYCLES)
    assert len(last) == 93
    scores = ratio_metrics(last["label"].tolist(), last["probability"].tolist(), run.threshold)
    assert scores["f1"] >= 0.90


@pytest.mark.parametrize("name", ["FD001", "FD002"])
def test_no_honest_sensor_is_suspected(runs: dict[str, Future[BenchmarkRun]], name: str) -> None:
    """The cycle is a meter that rises by one per row, as a row number would: it is named, and a person decides."""
    found = runs[name].result().outcomes["train_model"].document["suspiciousColumns"]
    assert {each["column"] for each in found} == {"cycle"}


def test_all_five_steps_succeed(runs: dict[str, Future[BenchmarkRun]]) -> None:
    run = runs["valve1"].result()
    assert tuple(run.outcomes) == STEPS
    assert run.outcomes["convert_to_onnx"].document["published"] is True


def test_detection_finds_more_than_chance(runs: dict[str, Future[BenchmarkRun]]) -> None:
    predictions = runs["valve1"].result().predictions
    assert set(np.unique(predictions["label"])) == {0, 1}
    metrics = runs["valve1"].result().outcomes["validate_model"].document["metrics"]
    assert metrics["averagePrecision"] > metrics["baseRate"] + 0.2


def last_rows(predictions: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """The newest row of each asset that has at least `minimum` rows."""
    by_asset = predictions.sort_values(["asset_id", "timestamp"]).groupby("asset_id")
    return by_asset.tail(1)[(by_asset.size() >= minimum).to_numpy()]
