from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.learning.leakage import suspicious_columns
from tests.unit.learning.grid_frames import regular_plant

HORIZON_STEPS = 20


def plant() -> pd.DataFrame:
    frame = regular_plant(3, 900, 100, horizon=HORIZON_STEPS * 60)
    frame["segment"] = frame["asset_id"].factorize()[0] * 3 + frame.groupby("asset_id").cumcount() // 350
    rng = np.random.default_rng(0)
    near = (frame["label"] == 1).astype(float)
    frame["pressure"] = rng.normal(size=len(frame)) + 2 * near  # a good sensor: AUC about 0.92
    frame["drift"] = frame.groupby("asset_id").cumcount() + rng.normal(size=len(frame)) * 20
    frame["running"] = (rng.random(len(frame)) < 0.9).astype(float)
    frame["dead"] = 1.0
    frame["lost"] = np.nan
    return frame


def found(frame: pd.DataFrame, *columns: str, counters: tuple[str, ...] = ()) -> dict[str, str]:
    rows = (frame["label"] >= 0).to_numpy()
    findings = suspicious_columns(frame, rows, columns, counters=counters, horizon_steps=HORIZON_STEPS)
    assert all(0.9 < finding.figure <= 1 for finding in findings)
    return {finding.column: finding.reason for finding in findings}


def test_ordinary_sensors_are_not_named() -> None:
    assert found(plant(), "pressure", "drift", "running", "dead", "lost") == {}


@pytest.mark.parametrize("shift", [-19, -5, 0, 4, 12])
def test_a_label_moved_in_time_is_named(shift: int) -> None:
    frame = plant()
    frame["leak"] = (frame.groupby("asset_id")["label"].shift(shift, fill_value=0) == 1).astype(float)
    reason = found(frame, "pressure", "leak")["leak"]
    assert "covers the label" in reason


def test_a_label_under_noise_is_named() -> None:
    frame = plant()
    frame["leak"] = frame["label"].clip(lower=0) * -3 + np.random.default_rng(1).normal(size=len(frame)) * 0.6
    assert "separates nearly all rows" in found(frame, "leak")["leak"]


def test_row_numbers_clocks_and_positions_are_named_unless_they_are_counters() -> None:
    frame = plant()
    frame["row"] = np.arange(len(frame), dtype=np.float64)
    frame["clock"] = (frame["timestamp"].astype("datetime64[s, UTC]").astype("int64")).astype(np.float32)
    frame["position"] = frame.groupby("segment").cumcount()
    frame["left"] = -frame.groupby("segment").cumcount().astype(np.float64)
    named = found(frame, "row", "clock", "position", "left", "pressure")
    assert set(named) == {"row", "clock", "position", "left"}
    assert all("straight line of time" in reason for reason in named.values())
    assert found(frame, "row", counters=("row",)) == {}


def test_rows_outside_the_training_part_say_nothing() -> None:
    frame = plant()
    frame["leak"] = (frame["label"] == 1).astype(float)
    held_out = (frame["asset_id"] == "pump02").to_numpy()
    frame.loc[~held_out, "leak"] = 0.0
    rows = ~held_out & (frame["label"] >= 0).to_numpy()
    assert suspicious_columns(frame, rows, ["leak"], counters=(), horizon_steps=HORIZON_STEPS) == ()
