from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.ingest.failures.labels import label_grid
from tests.reference.labels import naive_labels


def grid_of(rows: list[tuple[str, int, int]], label: list[float] | None = None) -> pd.DataFrame:
    asset, second, target = zip(*rows, strict=True)
    grid = pd.DataFrame(
        {
            "asset_id": pd.Series(asset, dtype="str"),
            "timestamp": pd.to_datetime(list(second), unit="s", utc=True),
            "segment": np.int32(0),
            "x": np.float32(1),
            "target": np.where(np.array(target) < 0, np.nan, target).astype(np.float32),
        }
    )
    return grid if label is None else grid.assign(label=np.array(label, dtype=np.float32))


def series(*targets: int, asset: str = "a", start: int = 0, step: int = 10) -> list[tuple[str, int, int]]:
    return [(asset, start + step * position, target) for position, target in enumerate(targets)]


def labels(rows: list[tuple[str, int, int]], **options: object) -> list[int]:
    return label_grid(grid_of(rows), **{"interval": 10, "horizon": 20, **options})["label"].tolist()


def random_rows(rng: np.random.Generator) -> list[tuple[str, int, int]]:
    rows = []
    for asset in ("a", "b", "c"):
        state = rng.choice([0, 1, -1], p=[0.8, 0.15, 0.05], size=80).repeat(rng.integers(1, 4, 80))
        times = np.cumsum(rng.choice([10, 50, 400], p=[0.95, 0.04, 0.01], size=len(state)))
        rows += [(asset, int(time), int(target)) for time, target in zip(times, state, strict=True)]
    return rows


@pytest.mark.parametrize("horizon", [0, 10, 35, 60, 500])
@pytest.mark.parametrize(("during_failure", "recovery"), [("exclude", 0), ("positive", 0), ("exclude", 30)])
def test_equals_the_naive_labels(horizon: int, during_failure: str, recovery: int) -> None:
    rows = random_rows(np.random.default_rng(horizon))
    found = label_grid(
        grid_of(rows), interval=10, horizon=horizon, during_failure=during_failure, recovery_seconds=recovery
    )
    expected = naive_labels(rows, 10, horizon, during_failure, recovery)
    assert list(zip(found["event"], found["label"], found["status"], strict=True)) == expected
    assert ((found["label"] == -1) == (found["status"] != "labelled")).all()


def test_the_horizon_includes_its_end_and_not_its_start() -> None:
    assert labels(series(0, 0, 0, 0, 1, 1, 0, 0, 0)) == [0, 0, 1, 1, -1, -1, 0, -1, -1]


def test_rows_whose_future_is_not_seen_are_censored() -> None:
    found = label_grid(grid_of(series(0, 0, 0)), interval=10, horizon=20)
    assert found["status"].tolist() == ["labelled", "censored", "censored"]


def test_another_asset_neither_fails_nor_observes_for_this_one() -> None:
    rows = series(0, 0, 0) + series(1, 0, 0, 0, asset="b", start=30)
    assert labels(rows) == [0, -1, -1, -1, 0, -1, -1]


def test_a_pause_hides_a_failure_as_well_as_a_quiet_return() -> None:
    assert labels(series(0, 0) + series(1, start=30)) == [-1, -1, -1]
    assert labels(series(0, 0) + series(0, 0, 0, start=30)) == [-1, -1, 0, -1, -1]
    # the onset is seen, and what comes after it within the horizon is not: censored as a healthy row would be
    assert labels(series(0, 1, 0) + series(0, 0, 0, start=500), horizon=50) == [-1] * 6


def test_machines_that_pause_all_the_time_have_no_label_of_either_class() -> None:
    rows = [("slow", 3600 * hour, int(hour % 40 == 39)) for hour in range(200)]
    found = label_grid(grid_of(rows), interval=180, horizon=86_400)
    assert set(found["status"]) == {"censored", "in_failure"}


HEALTHY = series(*[0] * 7, start=-1000)  # two of its rows are observed for 50 seconds


def test_a_pause_that_begins_inside_a_failure_hides_nothing_of_it() -> None:
    stopped = HEALTHY + series(0, 0, 1) + series(0, 0, 0, start=500)
    assert labels(stopped, horizon=50)[7:] == [1, 1, -1, -1, -1, -1]
    unknown_then = HEALTHY + series(0, 0, 1, -1, 0, 0, 0)
    assert labels(unknown_then, horizon=50)[7:] == [1, 1, -1, -1, -1, -1, -1]


def test_the_end_of_an_asset_takes_no_failure_back() -> None:
    assert labels(HEALTHY + series(0, 0, 1, 0), horizon=50)[7:] == [1, 1, -1, -1]
    assert labels(HEALTHY + series(0, 0, 0, 1), horizon=50)[7:] == [1, 1, 1, -1]


def test_no_asset_has_positive_rows_alone_because_of_its_pauses() -> None:
    assert labels(series(0, 0, 1), horizon=50) == [-1] * 3
    shifts = [row for day in range(20) for row in series(*[0] * 7, int(day % 4 == 3), start=1000 * day)]
    assert set(labels(shifts, horizon=200)) == {-1}
    assert set(labels(shifts, horizon=60)) == {-1, 0, 1}


def test_a_failure_goes_on_across_a_gap_and_ends_where_it_is_unknown() -> None:
    found = label_grid(grid_of(series(1, 1) + series(1, -1, 1, start=500)), interval=10, horizon=20)
    assert found["event"].tolist() == [0, 0, 0, -1, 1]


def test_a_series_that_begins_failed_has_an_event() -> None:
    found = label_grid(grid_of(series(1, 0, 0, 0)), interval=10, horizon=20)
    assert found["event"].tolist() == [0, -1, -1, -1]
    assert found["status"].tolist() == ["in_failure", "labelled", "censored", "censored"]


def test_unknown_target_within_the_horizon_is_no_proof_of_health() -> None:
    assert labels(series(0, 0, -1, 0, 0, 0)) == [-1, -1, -1, 0, -1, -1]


def test_recovery_ends_after_its_last_second() -> None:
    found = label_grid(grid_of(series(1, 0, 0, 0, 0, 0)), interval=10, horizon=10, recovery_seconds=20)
    assert found["status"].tolist() == ["in_failure", "recovery", "recovery", "labelled", "labelled", "censored"]


def test_detection_labels_are_the_target() -> None:
    found = label_grid(grid_of(series(0, 1, -1, 0)), interval=10, horizon=0, recovery_seconds=100)
    assert found["label"].tolist() == [0, 1, -1, 0]
    assert found["status"].tolist() == ["labelled", "labelled", "unknown", "labelled"]


def test_given_labels_are_taken_as_they_are() -> None:
    grid = grid_of(series(0, 0, 1, 0), label=[1, 1, 0, np.nan])
    found = label_grid(grid, interval=10, horizon=10, recovery_seconds=100)
    assert found["label"].tolist() == [1, 1, 0, -1]
    assert found["event"].tolist() == [-1, -1, 0, -1]
    assert found["target"].tolist() == [0, 0, 1, 0]


def test_given_labels_without_a_target_make_the_events() -> None:
    grid = grid_of(series(0, 0, 0, 0), label=[1, 1, 0, 1]).drop(columns="target")
    found = label_grid(grid, interval=10, horizon=10)
    assert found["event"].tolist() == [0, 0, -1, 1]
    assert found["target"].tolist() == [-1, -1, -1, -1]


def test_columns_and_types() -> None:
    found = label_grid(grid_of(series(0, 1)), interval=10, horizon=10)
    assert list(found.columns) == ["asset_id", "timestamp", "segment", "x", "target", "event", "label", "status"]
    assert found.dtypes[["target", "event", "label", "status"]].tolist() == ["int8", "int32", "int8", "category"]
    assert list(found["status"].cat.categories) == ["labelled", "censored", "in_failure", "recovery", "unknown"]


def test_what_comes_after_the_horizon_changes_no_label_before() -> None:
    rows = random_rows(np.random.default_rng(5))
    found = label_grid(grid_of(rows), interval=10, horizon=60)
    position = len(rows) // 6
    asset, now, _ = rows[position]
    changed = [(a, t, 1 - abs(k)) if a == asset and t > now + 60 else (a, t, k) for a, t, k in rows]
    other = label_grid(grid_of(changed), interval=10, horizon=60)
    assert found["label"].iloc[: position + 1].tolist() == other["label"].iloc[: position + 1].tolist()
    assert found["label"].tolist() != other["label"].tolist()
