"""Readings in any order, in runs of any size, come back as one collector over all of them gives them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml.cleaning.columns import plan_columns
from ml.cleaning.counts import Counts
from ml.cleaning.table import from_table
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.grid.regular import resolve_interval
from ml.ingest import sorted_readings as sorting
from ml.ingest.sorted_readings import SortedReadings
from tests.unit.predict.irregular import config, readings

# Steps back in time from one run to the next are not seen, and an instant with three values may be counted twice.
DEPENDS_ON_RUNS = {"out_of_order", "newest_first", "clock_steps", "conflict_example", "contested", "conflicts"}


def sorted_readings(table: pd.DataFrame, folder: Path | None, batch_rows: int) -> SortedReadings:
    settings = config()
    plan = plan_columns(settings.schema_config, None, list(table.columns), "the table", target_required=False)
    result = SortedReadings(plan, settings.schema_config, "UTC", TimeRange(), folder=folder)
    for start in range(0, len(table), batch_rows):
        part = table[plan.source_columns].iloc[start : start + batch_rows]
        for batch in pa.Table.from_pandas(part, preserve_index=False).to_batches():
            result.add(batch)
    result.finish()
    return result


@pytest.mark.parametrize("run_rows", [1, 37, 200, 10**6])
@pytest.mark.parametrize("order", ["as_is", "by_time", "shuffled"])
@pytest.mark.parametrize("on_disk", [True, False])
def test_runs_of_any_size_merge_into_the_same_readings(run_rows, order, on_disk, tmp_path, monkeypatch):
    table = readings(5, n_assets=12)
    if order == "by_time":
        table = table.sort_values("timestamp", kind="stable", ignore_index=True)
    elif order == "shuffled":
        table = table.sample(frac=1.0, random_state=1, ignore_index=True)
    table["machine"] = table["machine"].map(lambda name: f"{int(name[1:]) * 7 % 12}-pump")  # first seen in no order
    table["failure_indicator"] = np.random.default_rng(2).choice(["0", "1", "maybe", ""], len(table))
    if run_rows == 1:
        table = table.iloc[:60]
    monkeypatch.setattr(sorting, "_RUN_CELLS", 6 * run_rows)
    monkeypatch.setattr(sorting, "_BATCH_ROWS", 100)
    monkeypatch.setattr(sorting, "_SMALLEST_BLOCK", 8)
    monkeypatch.setattr(sorting, "_BLOCK_CELLS", 8)
    result = sorted_readings(table, tmp_path if on_disk else None, batch_rows=max(1, run_rows // 2))
    batches = list(result.batches())
    expected = from_table(table, config())
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), expected.frame)
    for each in fields(Counts):
        if each.name not in DEPENDS_ON_RUNS:
            assert getattr(result.counts, each.name) == getattr(expected.counts, each.name), each.name
    assert result.assets == table["machine"].nunique()
    assert result.interval() == resolve_interval(expected.frame["asset_id"], expected.frame["timestamp"])
    assert len(pd.concat(list(result.batches()))) == len(expected.frame)
    assert result.counts.instants == len(expected.frame)
    files = len(list(tmp_path.iterdir()))
    assert files > 1 if on_disk and len(table) > 4 * max(100, run_rows) else files == 0


def test_of_readings_at_one_instant_the_last_that_came_stays_whatever_run_it_is_in(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "_RUN_CELLS", 0)
    monkeypatch.setattr(sorting, "_BATCH_ROWS", 2)
    time = pd.to_datetime([1_700_000_000 + at for at in (60, 120, 60, 180, 60)], unit="s", utc=True)
    table = pd.DataFrame(
        {"machine": "M", "timestamp": time, "temp": np.arange(5.0), "vib": 0.0, "total": 0.0, "pump": 0}
    )
    table["failure_indicator"] = [1, 0, 0, 0, 0]
    result = sorted_readings(table, tmp_path, batch_rows=2)
    merged = pd.concat(list(result.batches()))
    assert merged["temp"].tolist() == [4.0, 1.0, 3.0]
    assert merged["target"].tolist() == [1.0, 0.0, 0.0]  # a failure is not taken back
    assert (result.counts.duplicates, result.counts.contested, result.counts.instants) == (2, 1, 3)
    assert result.counts.conflict_example == "M at 2023-11-14T22:14:20Z"


def test_what_cannot_be_used_is_dropped_and_counted(tmp_path):
    table = readings(5).astype({"timestamp": "str"})
    table.loc[[0, 3], "timestamp"] = "yesterday"
    table.loc[5, "machine"] = None
    result = sorted_readings(table, tmp_path, batch_rows=50)
    assert (result.counts.unreadable_times, result.counts.without_asset) == (2, 1)
    assert sum(len(batch) for batch in result.batches()) <= len(table) - 3


def test_times_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="can be read as a time"):
        sorted_readings(readings(5).assign(timestamp="yesterday"), tmp_path, batch_rows=50)


def test_no_readings_give_no_batches(tmp_path):
    result = sorted_readings(readings(5).iloc[:0], tmp_path, batch_rows=50)
    assert (list(result.batches()), result.rows, list(tmp_path.iterdir())) == ([], 0, [])
