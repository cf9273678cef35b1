"""What is prepared in small parts is what is prepared at once: the rows bit by bit, and every figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.cleaning.counts import Counts
from ml.config import OrganizationConfig
from ml.errors import DataError, StorageError
from ml.ingest import labelled_grid, sorted_readings
from ml.ingest import prepare as prepare_module
from ml.ingest.prepare import prepare, prepare_to_file
from ml.ingest.prepared import data as prepared_module
from ml.ingest.prepared.data import is_prepared, read_prepared
from ml.ingest.summary import quality
from ml.ingest.summary.sensor_figures import SensorFigures
from ml.ingest.summary.unit_outliers import Usual
from tests.unit.ingest.histories import config, raw_history, to_sqlite


def streamed(configured: OrganizationConfig, folder: Path, name: str = "prepared.parquet") -> Path:
    prepare_to_file(configured, folder / name, config_digest="d", slices=folder / "slices")
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
    return folder / name


# Runs of a few hundred readings, grids of a hundred rows, and sensors of a few hundred rows in memory.
SMALL_PARTS = (
    (sorted_readings, "_BATCH_ROWS", 300),
    (sorted_readings, "_RUN_CELLS", 0),
    (prepare_module, "_PIECE_ROWS", 100),
    (labelled_grid, "GROUP_ROWS", 200),
    (labelled_grid, "_HELD_CELLS", 600),
)


def noting(write: Any, files: list[Path]) -> Any:
    """`write_numbers`, with a note of every file."""

    def noted(file: Path, batches: Any) -> None:
        files.append(file)
        write(file, batches)

    return noted


def history() -> pd.DataFrame:
    """Epoch times, so that slices can be taken exactly; odd rows of every kind."""
    frame = raw_history(1500)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"]).astype("datetime64[s]").astype("int64")
    frame.loc[200:330, "temperature"] = 81.5
    frame.loc[340, "temperature"] = 176.0
    frame["temperature"] = frame["temperature"].astype(object)
    frame.loc[341, "temperature"] = "bad"
    frame.loc[342, "temperature"] = float("inf")
    frame.loc[343, "temperature"] = -500.0
    third = frame[frame["machine"] == "P-1"].iloc[::7].assign(machine="P-0", failure_indicator=0)
    return pd.concat([frame.drop(index=400), third, frame.loc[[400, 50]]], ignore_index=True)


@pytest.mark.parametrize("aggregation", ["last", "mean"])
@pytest.mark.parametrize("given", [{}, {"samplingIntervalSeconds": 120, "recoverySeconds": 300}])
def test_equals_what_is_prepared_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aggregation: str, given: dict[str, Any]
) -> None:
    for module, name in ((prepared_module, "ROW_GROUP_ROWS"), (quality, "BLOCK_ROWS")):
        monkeypatch.setattr(module, name, 500)
    database = to_sqlite(history(), tmp_path / "a.db")
    settings = {"aggregation": aggregation, "timezone": "UTC", **given}
    bounds = {"validRange": {"temperature": [-100, None]}}
    sections = {"dataConfig": settings, "schemaConfig": bounds, "scadaDbConfig": {"sliceSeconds": 3600}}
    configured = config(database, **sections)
    expected = prepare(configured)
    for module, name, small in SMALL_PARTS:
        monkeypatch.setattr(module, name, small)
    written: list[Path] = []
    monkeypatch.setattr(sorted_readings, "write_numbers", noting(sorted_readings.write_numbers, written))
    monkeypatch.setattr(labelled_grid, "write_numbers", noting(labelled_grid.write_numbers, written))
    found = read_prepared(streamed(configured, tmp_path), organization_id="plant_a")
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)
    assert found.summary == expected.summary
    assert (found.interval, found.max_gap, found.sensors) == (expected.interval, expected.max_gap, expected.sensors)
    assert len([file for file in written if file.name.startswith("run_")]) > 5
    assert len([file for file in written if file.name.startswith("sensors_")]) > 5
    assert expected.summary["sensors"]["temperature"]["stuckRows"] > 60
    assert expected.summary["impossibleValues"] == {"temperature": 2}
    coarse = config(database, **{**sections, "scadaDbConfig": {"sliceSeconds": 86_400}})
    other = streamed(coarse, tmp_path, "coarse.parquet")
    assert other.read_bytes() == (tmp_path / "prepared.parquet").read_bytes()


@pytest.mark.parametrize("kind", ["csv", "text.db"])
def test_sources_that_cannot_be_cut_exactly_give_the_same_as_well(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"history.{kind}"
    raw_history().to_csv(path, index=False) if kind == "csv" else to_sqlite(raw_history(), path)
    expected = prepare(config(path))
    found = read_prepared(streamed(config(path), tmp_path), organization_id="plant_a")
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)
    assert found.summary == expected.summary


def test_many_small_assets_are_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = raw_history(250)
    rows = rows[rows["machine"] == "P-1"].reset_index(drop=True)
    rows.loc[100, "failure_indicator"] = 1  # right behind the pause: nobody could have seen it coming
    rng = np.random.default_rng(3)
    assets = [f"A-{number}" for number in rng.permutation(40)]
    lengths = rng.integers(1, 200, 40)
    parts = [rows.iloc[-length:].assign(machine=name) for name, length in zip(assets, lengths, strict=True)]
    pd.concat(parts, ignore_index=True).to_csv(tmp_path / "a.csv", index=False)
    configured = config(tmp_path / "a.csv", dataConfig={"predictionHorizonSeconds": 300, "maxGapSeconds": 120})
    together = prepare(configured)
    monkeypatch.setattr(labelled_grid, "GROUP_ROWS", 1)
    monkeypatch.setattr(prepare_module, "_PIECE_ROWS", 50)
    apart = prepare(configured)
    pd.testing.assert_frame_equal(apart.frame, together.frame, check_exact=True)
    assert apart.summary == together.summary
    summary = together.summary
    alone = [summarize_one(frame, configured) for _, frame in together.frame.groupby("asset_id")]
    assert summary["assets"] == 40
    assert summary["segments"] == sum(one["segments"] for one in alone) > 40
    assert summary["gaps"]["totalSeconds"] == sum(one["gaps"]["totalSeconds"] for one in alone)
    for count in ("total", "failedFromTheStart", "hidden"):
        assert summary["failureEvents"][count] == sum(one["failureEvents"][count] for one in alone)
    assert summary["failureEvents"]["hidden"] > 0
    assert summary["failureEvents"]["events"] == [one for each in alone for one in each["failureEvents"]["events"]]
    assert summary["oneClassAssets"] == {name: one for each in alone for name, one in each["oneClassAssets"].items()}


def summarize_one(frame: pd.DataFrame, configured: OrganizationConfig) -> dict[str, Any]:
    summary = quality.Summary(configured, interval=60, max_gap=120, own_gaps={}, usual={})
    summary.add_assets(frame)
    summary.add_blocks(frame)
    return summary.to_json(Counts(), "a")


def test_machines_that_are_read_as_one_show_whatever_run_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_history().to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(sorted_readings, "_BATCH_ROWS", 100)
    monkeypatch.setattr(sorted_readings, "_RUN_CELLS", 0)
    configured = config(tmp_path / "a.csv", schemaConfig={"assetColumn": None})
    with pytest.raises(DataError, match="machine"):
        prepare(configured)
    with pytest.raises(DataError, match="machine"):
        streamed(configured, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_nothing_is_left_of_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = to_sqlite(raw_history().assign(timestamp="noon"), tmp_path / "a.db")
    with pytest.raises(DataError):
        streamed(config(path), tmp_path)
    good = to_sqlite(history(), tmp_path / "b.db")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(StorageError, match="the disk is full"):
        streamed(config(good), tmp_path)
    assert not is_prepared(tmp_path / "prepared.parquet")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.parametrize("seed", range(5))
def test_figures_do_not_depend_on_the_blocks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([1.0, 2.0, 3.0, np.nan], 500, p=[0.5, 0.2, 0.2, 0.1])
    starts = rng.random(500) < 0.02
    starts[0] = True
    naive: list[int] = []
    for value, start, before in zip(values, starts, [np.nan, *values[:-1]], strict=True):
        if start or value != before:
            naive.append(0 if np.isnan(value) else 1)
        else:
            naive[-1] += 1
    longest = max(naive)
    whole, parts = (SensorFigures("continuous", None, Usual()) for _ in range(2))
    whole.add(values, starts)
    for edge in np.split(np.arange(500), np.sort(rng.integers(1, 500, 20))):
        if len(edge):
            parts.add(values[edge], starts[edge])
    found, other = whole.to_json(60, 60, 120), parts.to_json(60, 60, 120)
    assert found["longestUnchangedSeconds"] == other["longestUnchangedSeconds"] == (longest - 1) * 60
    assert found["stuckRows"] == other["stuckRows"] == sum(length for length in naive if (length - 1) * 60 > 120)
    assert found["missingShare"] == other["missingShare"] == np.isnan(values).sum() / 500
    for name, expected in (("mean", np.nanmean(values)), ("std", np.nanstd(values, ddof=1))):
        assert found[name] == pytest.approx(expected, rel=1e-12)
        assert other[name] == pytest.approx(expected, rel=1e-12)
