"""Nothing looks ahead: the future of the source changes no row of the past, and test rows change no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.features import FeatureEngineer
from simulation.database import write_sqlite
from simulation.station import SENSORS, SIGNALS, TARGET, Station
from tests.pipeline.backend import run_here
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json

NOW = pd.Timestamp("2025-01-13T07:30:00Z")  # an instant of the grid, in the middle of the history
LABELS = ["event", "label", "status"]
COLUMNS = [*SENSORS, *SIGNALS]

Change = Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]


def shuffled(readings: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    """Every sensor of the later rows takes its values from other later rows."""
    changed, order = readings.copy(), np.random.default_rng(0).permutation(int(later.sum()))
    changed.loc[later, COLUMNS] = readings.loc[later, COLUMNS].to_numpy()[order]
    return changed


def extreme(readings: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    """Every sensor of the later rows reads something absurd, and the signals flip."""
    changed = readings.copy()
    changed.loc[later, list(SENSORS)] = 1e9
    changed.loc[later, list(SIGNALS)] = 1 - readings.loc[later, list(SIGNALS)]
    return changed


def failing(readings: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    """The target of the later rows flips."""
    changed = readings.copy()
    changed.loc[later, TARGET] = 1 - readings.loc[later, TARGET]
    return changed


def gone(readings: pd.DataFrame, later: np.ndarray) -> pd.DataFrame:
    """The later rows have not happened yet."""
    return readings[~later]


@pytest.mark.parametrize(
    ("change", "labels_stay"),
    [(shuffled, True), (extreme, True), (failing, False), (gone, False)],
    ids=["shuffled", "extreme", "failing", "gone"],
)
def test_the_future_changes_no_row_of_the_past(
    change: Change, labels_stay: bool, station: Station, pipeline: PipelineRun, root: Path
) -> None:
    later = (station.readings["created_timestamp"] > NOW).to_numpy()
    assert 0.3 < later.mean() < 0.7
    database = root.parent / "changed.sqlite"
    write_sqlite(replace(station, readings=change(station.readings, later)), database)
    outcome = run_here("data_prep", write_json(root.parent / "config.json", plant_config(database)), root=root)
    assert outcome.exit_code == 0, outcome.document

    changed = pd.read_parquet(outcome.document["preparedDataPath"])
    original = pd.read_parquet(pipeline.artifacts / "prepared_data.parquet")
    assert not changed.equals(original)
    kept = [name for name in original.columns if labels_stay or name not in LABELS]
    # Segments are numbered over all assets: later rows of one asset shift the numbers of the next.
    kept.remove("segment")
    pd.testing.assert_frame_equal(past(changed)[kept], past(original)[kept], check_exact=True)
    same_segment = past(changed)["segment"].diff().eq(0), past(original)["segment"].diff().eq(0)
    pd.testing.assert_series_equal(*same_segment)

    engineer = FeatureEngineer.from_dict(
        json.loads((pipeline.models / "current" / "metadata.json").read_text())["engine"]
    )
    features = engineer.transform(changed), engineer.transform(original)
    before = (changed["timestamp"] <= NOW).to_numpy(), (original["timestamp"] <= NOW).to_numpy()
    bits = [table.to_numpy()[rows].view(np.uint32) for table, rows in zip(features, before, strict=True)]
    assert len(bits[0]) > 1000
    np.testing.assert_array_equal(*bits)


def test_readings_of_the_test_part_change_no_bit_of_the_model(
    station: Station, pipeline: PipelineRun, root: Path
) -> None:
    split = json.loads((pipeline.artifacts / "metrics.json").read_text())["split"]
    held_out = (station.readings["created_timestamp"] > pd.Timestamp(split["validation"]["lastTime"])).to_numpy()
    database = root.parent / "changed.sqlite"
    write_sqlite(replace(station, readings=shuffled(station.readings, held_out)), database)
    config = json.loads(pipeline.tuned_file.read_text())
    config["scadaDbConfig"]["database"] = str(database)
    outcome = run_here("train_model", write_json(root.parent / "config.json", config), root=root)
    assert outcome.exit_code == 0, outcome.document

    before = pipeline.outcomes["train_model"].document
    assert outcome.document["averagePrecision"] < before["averagePrecision"] - 0.1, "the test rows did change"
    assert outcome.document["split"] == before["split"]
    assert outcome.document["validation"] == before["validation"]
    for name in ("model.txt", "model.onnx", "window.onnx", "reasons.onnx", "scaler.pkl"):
        trained = root / "models" / ORGANIZATION / "versions" / "v1" / name
        assert trained.read_bytes() == (pipeline.models / "versions" / "v1" / name).read_bytes(), name


def past(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["timestamp"] <= NOW].reset_index(drop=True)
