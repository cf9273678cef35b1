from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.ingest.prepare import prepare
from tests.unit.ingest.histories import config, raw_history


def summary_of(frame: pd.DataFrame, folder: Path, **sections: dict[str, object]) -> dict[str, object]:
    frame.to_csv(folder / "history.csv", index=False)
    return prepare(config(folder / "history.csv", **sections)).summary


def test_figures_of_a_known_history(tmp_path: Path) -> None:
    frame = raw_history()
    summary = summary_of(frame, tmp_path)
    assert summary["rowsRead"] == summary["rowsInRange"] == len(frame) == 520
    assert (summary["assets"], summary["segments"], summary["gridRows"]) == (2, 4, 520)
    assert summary["gaps"] == {"count": 2, "totalSeconds": 2 * 41 * 60, "longestSeconds": 41 * 60}
    assert (summary["firstTime"], summary["lastTime"]) == ("2024-01-01T00:00:00Z", "2024-01-01T04:59:00Z")
    assert summary["failureEvents"]["total"] == 4
    assert summary["failureEvents"]["perAsset"] == {"P-1": 2, "P-2": 2}
    assert summary["failureEvents"]["events"][0] == {
        "asset": "P-1",
        "onset": "2024-01-01T01:20:00Z",
        "lastFailedRow": "2024-01-01T01:22:00Z",
    }
    # each event has ten rows before it; the last ten rows of each segment have no future to see
    assert summary["positiveRows"] == 40
    assert summary["rowsByStatus"] == {
        "labelled": 520 - 10 - 40,
        "censored": 40,
        "in_failure": 10,
        "recovery": 0,
        "unknown": 0,
    }
    assert summary["positiveRate"] == pytest.approx(40 / 470)
    assert summary["usableHours"] == pytest.approx(470 / 60)


def test_sensor_figures_equal_pandas(tmp_path: Path) -> None:
    frame = raw_history()
    found = summary_of(frame, tmp_path, dataConfig={"maxGapSeconds": 60})["sensors"]["temperature"]
    grid = frame["temperature"].astype("float32").astype("float64")
    carried = grid.groupby([frame["machine"], frame.index // 100 % 3]).ffill(limit=1)
    assert found["min"] == grid.min()
    assert found["max"] == grid.max()
    assert found["mean"] == pytest.approx(carried.mean(), rel=1e-3)
    assert found["missingShare"] == pytest.approx(carried.isna().mean(), abs=0.01)
    assert (found["constant"], found["stuck"], found["kind"]) == (False, False, "continuous")


def test_summary_is_plain_json_even_for_empty_sensors(tmp_path: Path) -> None:
    summary = summary_of(raw_history().assign(temperature=np.nan), tmp_path)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["sensors"]["temperature"]["mean"] is None
    assert summary["sensors"]["temperature"]["missingShare"] == 1
    assert "temperature never has a value." in summary["verdict"]


def long_history(rows: int = 2000) -> pd.DataFrame:
    frame = raw_history(rows)
    return frame[frame["machine"] == "P-1"].reset_index(drop=True)


def test_a_stuck_sensor_is_found_and_a_coarse_one_is_not_accused(tmp_path: Path) -> None:
    frame = long_history()
    frame["temperature"] = np.random.default_rng(0).normal(size=len(frame))
    frame.loc[500:600, "temperature"] = 81.5
    summary = summary_of(frame, tmp_path)
    assert summary["sensors"]["temperature"]["stuck"]
    assert summary["sensors"]["temperature"]["longestUnchangedSeconds"] == 100 * 60
    assert any(line.startswith("temperature did not change for 100 minutes") for line in summary["verdict"])
    frame["temperature"] = np.arange(len(frame)) // 100
    assert not summary_of(frame, tmp_path)["sensors"]["temperature"]["stuck"]
    frame["temperature"] = np.random.default_rng(0).normal(size=len(frame))
    frame.loc[500:540, "temperature"] = 81.5  # forty minutes are below an hour
    assert not summary_of(frame, tmp_path)["sensors"]["temperature"]["stuck"]


def test_constant_sensors_and_set_points_are_not_stuck(tmp_path: Path) -> None:
    frame = long_history().assign(temperature=5.0)
    summary = summary_of(frame, tmp_path)
    assert summary["sensors"]["temperature"]["constant"]
    assert not summary["sensors"]["temperature"]["stuck"]
    assert "temperature never changes (always 5), so it tells nothing." in summary["verdict"]
    frame["temperature"] = np.random.default_rng(0).normal(size=len(frame))
    frame.loc[500:600, "temperature"] = 81.5
    as_set_point = summary_of(frame, tmp_path, schemaConfig={"operatingColumns": ["temperature"]})
    assert not as_set_point["sensors"]["temperature"]["stuck"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"failure_indicator": 0}, "There is no failure in the data: failure_indicator never says so."),
        ({"failure_indicator": None}, "failure_indicator is unknown in 100 % of the rows; write 0"),
        ({"failure_indicator": 1}, "2 assets had already failed when the data begins"),
        ({}, "4 failure events on 2 assets. That is few"),
        ({}, "The data pauses 2 times for more than 5 minutes, 82 minutes in all; the longest pause is 41 minutes."),
        ({}, "7.69 % of the rows cannot be labelled, because the data does not show the 10 minutes after them."),
    ],
)
def test_the_verdict_says_it_in_plain_sentences(tmp_path: Path, change: dict[str, object], words: str) -> None:
    verdict = summary_of(raw_history().assign(**change), tmp_path)["verdict"]
    assert any(line.startswith(words) for line in verdict), verdict
    assert verdict[0].startswith("2 assets from 2024-01-01T00:00:00Z")


def test_a_horizon_that_covers_most_of_the_time_is_mentioned(tmp_path: Path) -> None:
    verdict = summary_of(raw_history(), tmp_path, dataConfig={"predictionHorizonSeconds": 7200})["verdict"]
    assert any("the horizon of 2 hours may be too long" in line for line in verdict)
