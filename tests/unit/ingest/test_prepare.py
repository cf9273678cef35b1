from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from ml.errors import (
    ConfigError,
    DataError,
    IntegrityError,
    IsolationError,
    MissingArtifactError,
    MissingColumnError,
    NoRowsError,
)
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared, is_prepared, read_prepared
from tests.prepared_file import write_prepared
from tests.unit.ingest.histories import config, raw_history, to_sqlite


def csv_of(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "history.csv"
    frame.to_csv(path, index=False)
    return path


def prepared_from(frame: pd.DataFrame, folder: Path, **sections: dict[str, object]) -> Prepared:
    return prepare(config(csv_of(frame, folder), **sections))


def comparable(prepared: Prepared) -> dict[str, object]:
    """The summary but for the source and the remark about times without a zone, which epoch numbers do not need."""
    lines = [line for line in prepared.summary["verdict"] if "carry no time zone" not in line]
    findings = [each for each in prepared.summary["findings"] if each["code"] != "TIMEZONE_UNKNOWN"]
    return {**prepared.summary, "source": "", "timesWithoutZone": 0, "verdict": lines, "findings": findings}


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    frame = raw_history()
    typed = frame.assign(timestamp=pd.to_datetime(frame["timestamp"]), machine=frame["machine"].astype("category"))
    typed.to_parquet(tmp_path / "history.parquet")
    frame.to_csv(tmp_path / "history.csv.gz", index=False)
    epoch = frame.assign(timestamp=(typed["timestamp"].astype("datetime64[s]").astype("int64")))
    words = frame.assign(alarm_active=frame["alarm_active"].map({0: "off", 1: "On"}))
    found = [
        prepare(config(path))
        for path in (
            csv_of(frame, tmp_path),
            tmp_path / "history.csv.gz",
            tmp_path / "history.parquet",
            to_sqlite(frame, tmp_path / "text.db"),
            to_sqlite(epoch, tmp_path / "epoch.db"),
            to_sqlite(words, tmp_path / "words.db"),
        )
    ]
    assert len(found[0].frame) > 500
    for other in found[1:]:
        pd.testing.assert_frame_equal(other.frame, found[0].frame, check_exact=True)
        assert comparable(other) == comparable(found[0])


def test_the_frame_is_as_promised(tmp_path: Path) -> None:
    prepared = prepared_from(raw_history(), tmp_path)
    frame = prepared.frame
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "asset_id": "str",
        "timestamp": "datetime64[us, UTC]",
        "segment": "int32",
        "temperature": "float32",
        "volume": "float64",
        "alarm_active": "float32",
        "target": "int8",
        "event": "int32",
        "label": "int8",
        "status": "category",
    }
    assert isinstance(frame.index, pd.RangeIndex)
    assert (prepared.interval, prepared.max_gap) == (60, 300)
    assert prepared.sensors == ("temperature", "volume", "alarm_active")
    assert frame["segment"].nunique() == 4
    assert frame["event"].max() == 3


def test_without_an_asset_column_there_is_one_asset(tmp_path: Path) -> None:
    frame = raw_history()[lambda f: f["machine"] == "P-1"]
    prepared = prepared_from(frame, tmp_path, schemaConfig={"assetColumn": None})
    assert set(prepared.frame["asset_id"]) == {"asset"}


def test_mapped_columns_and_the_given_time_column(tmp_path: Path) -> None:
    frame = raw_history().rename(columns={"temperature": "TT-101.PV", "timestamp": "Uhrzeit", "machine": "temperature"})
    mapping = {"TT-101.PV": "temperature", "temperature": "machine", "Uhrzeit": "time"}
    renamed = prepared_from(frame, tmp_path, schemaConfig={"columnMapping": mapping, "timestampColumn": "time"})
    plain = prepared_from(raw_history(), tmp_path)
    pd.testing.assert_frame_equal(renamed.frame, plain.frame)


def test_created_timestamp_comes_first(tmp_path: Path) -> None:
    frame = raw_history()
    frame["created_timestamp"], frame["timestamp"] = frame["timestamp"], "1999-01-01"
    assert prepared_from(frame, tmp_path).summary["firstTime"] == "2024-01-01T00:00:00Z"


def test_local_times_and_local_range(tmp_path: Path) -> None:
    prepared = prepared_from(
        raw_history(),
        tmp_path,
        dataConfig={"timezone": "Asia/Tokyo"},
        dataRange={"startDate": "2024-01-01T01:00:00", "endDate": "2024-01-01T01:30:00"},
    )
    assert prepared.summary["firstTime"] == "2023-12-31T16:00:00Z"
    assert prepared.summary["lastTime"] == "2023-12-31T16:29:00Z"
    assert prepared.summary["rowsInRange"] == 60


def test_clocks_set_back_do_not_stop_the_preparation(tmp_path: Path) -> None:
    frame = raw_history()
    shift = pd.Timestamp("2024-10-27 00:00") - pd.Timestamp("2024-01-01")
    frame["timestamp"] = (pd.to_datetime(frame["timestamp"]) + shift).dt.strftime("%Y-%m-%d %H:%M:%S")
    prepared = prepared_from(frame, tmp_path, dataConfig={"timezone": "Europe/Berlin"})
    assert prepared.summary["firstTime"] == "2024-10-26T22:00:00Z"
    assert prepared.summary["lastTime"] == "2024-10-27T03:59:00Z"


@pytest.mark.parametrize("kind", ["history.csv", "history.db", "history.parquet"])
def test_the_range_includes_its_start_and_not_its_end(tmp_path: Path, kind: str) -> None:
    frame, path = raw_history(), tmp_path / kind
    if kind.endswith("db"):
        to_sqlite(frame, path)
    elif kind.endswith("csv"):
        frame.to_csv(path, index=False)
    else:
        frame.assign(timestamp=pd.to_datetime(frame["timestamp"], utc=True)).to_parquet(path)
    limits = {"startDate": "2024-01-01T00:10:00Z", "endDate": "2024-01-01T02:20:00+01:00"}
    summary = prepare(config(path, dataRange=limits)).summary
    assert summary["firstTime"] == "2024-01-01T00:10:00Z"
    assert summary["lastTime"] == "2024-01-01T01:19:00Z"


@pytest.mark.parametrize("offset", [14, -12])
def test_a_database_loses_no_row_to_the_zone_of_its_text(tmp_path: Path, offset: int) -> None:
    frame = raw_history()
    local = pd.to_datetime(frame["timestamp"]) + pd.Timedelta(hours=offset)
    frame["timestamp"] = local.dt.strftime("%Y-%m-%d %H:%M:%S") + f"{offset:+03d}:00"
    limits = {"startDate": "2024-01-01T00:00:00Z", "endDate": "2024-01-01T05:00:00Z"}
    found = prepare(config(to_sqlite(frame, tmp_path / "a.db"), dataRange=limits))
    assert found.summary["rowsInRange"] == len(frame)


def test_repeated_and_late_rows_are_sorted_and_counted(tmp_path: Path) -> None:
    frame = raw_history()
    again = frame.iloc[[5]].assign(temperature=-1.0, volume=0.0)
    late = frame.iloc[[3]]
    mixed = pd.concat([frame.drop(index=3), again, late])
    prepared = prepared_from(mixed, tmp_path)
    assert prepared.summary["duplicateRows"] == 1
    assert prepared.summary["outOfOrderRows"] == 2
    assert prepared.frame["temperature"].iloc[5] == -1
    plain = prepared_from(frame, tmp_path)
    pd.testing.assert_frame_equal(prepared.frame.drop(index=5), plain.frame.drop(index=5))


def test_odd_cells_are_counted_and_missing(tmp_path: Path) -> None:
    frame = raw_history().astype(object)
    frame.loc[0, "temperature"] = "Bad Input"
    frame.loc[5, "temperature"] = "warm"
    frame.loc[1, "temperature"] = "inf"
    frame.loc[2, "alarm_active"] = "perhaps"
    frame.loc[3, "timestamp"] = "yesterday"
    frame.loc[4, "machine"] = ""
    summary = prepared_from(frame, tmp_path).summary
    assert summary["unreadableValues"] == {"temperature": 1, "alarm_active": 1}
    assert summary["nullValues"] == {"temperature": 1}
    assert summary["infiniteValues"] == {"temperature": 1}
    assert (summary["rowsWithoutTime"], summary["rowsWithoutAsset"]) == (1, 1)
    assert summary["rowsInRange"] == summary["rowsRead"] - 2


def test_counters_keep_every_digit(tmp_path: Path) -> None:
    frame = raw_history()
    frame["volume"] = 987_654_321_000.125 + 0.25 * np.arange(len(frame))
    found = prepared_from(frame, tmp_path).frame["volume"]
    assert found.iloc[1] - found.iloc[0] == 0.25


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    frame = raw_history().rename(columns={"temperature": "temprature"})
    with pytest.raises(MissingColumnError, match=r'history\.csv has no column "temperature"') as caught:
        prepared_from(frame, tmp_path)
    assert caught.value.field == "schemaConfig.continuousColumns[0]"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith('did you mean "temprature"? available: timestamp, machine, temprature')


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"timestampColumn": "zeit"}, 'no column "zeit"'),
        ({"targetColumn": "failed"}, 'no column "failed"'),
        ({"assetColumn": "pump"}, 'no column "pump"'),
        ({"columnMapping": {"TT1": "temperature"}}, r'no column "TT1" \(mapped to "temperature"\)'),
    ],
)
def test_every_named_column_must_exist(tmp_path: Path, schema: dict[str, object], words: str) -> None:
    with pytest.raises(MissingColumnError, match=words):
        prepared_from(raw_history(), tmp_path, schemaConfig=schema)


def test_no_time_column(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="no time column") as caught:
        prepared_from(raw_history().rename(columns={"timestamp": "when"}), tmp_path)
    assert caught.value.field == "schemaConfig.timestampColumn"


@pytest.mark.parametrize("kind", ["history.csv", "history.db"])
def test_no_rows_in_range_says_what_there_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    to_sqlite(raw_history(), path) if kind.endswith("db") else raw_history().to_csv(path, index=False)
    with pytest.raises(NoRowsError, match="no usable rows from 2030-01-01") as caught:
        prepare(config(path, dataRange={"startDate": "2030-01-01T00:00:00Z"}))
    assert caught.value.hint == "it covers 2024-01-01T00:00:00Z to 2024-01-01T04:59:00Z"


def test_an_empty_source(tmp_path: Path) -> None:
    with pytest.raises(NoRowsError, match="has no rows"):
        prepared_from(raw_history().iloc[:0], tmp_path)


def test_times_that_nobody_can_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can be read as a time \(such as 'noon'\)"):
        prepared_from(raw_history().assign(timestamp="noon"), tmp_path)


def test_interval_and_gap_are_checked(tmp_path: Path) -> None:
    assert prepare(config(csv_of(raw_history(), tmp_path)), interval=120).interval == 120
    with pytest.raises(ConfigError, match="maxGapSeconds is 30"):
        prepared_from(raw_history(), tmp_path, dataConfig={"maxGapSeconds": 30})


def test_given_labels_need_no_target(tmp_path: Path) -> None:
    frame = raw_history().rename(columns={"failure_indicator": "will_fail"})
    prepared = prepared_from(frame, tmp_path, dataConfig={"labelColumn": "will_fail"})
    assert (prepared.frame["target"] == -1).all()
    assert prepared.frame["label"].sum() == 10
    assert prepared.summary["failureEvents"]["total"] == 4
    both = raw_history().assign(will_fail=raw_history()["alarm_active"])
    prepared = prepared_from(both, tmp_path, dataConfig={"labelColumn": "will_fail"})
    assert prepared.frame["target"].sum() == 10
    assert prepared.frame["label"].sum() == both["will_fail"].sum()


def test_progress_rises_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    path = to_sqlite(raw_history(), tmp_path / "a.db")
    prepare(config(path), progress=lambda done, total, _message: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (1, 1)


def test_later_readings_change_no_sensor_and_no_earlier_label(tmp_path: Path) -> None:
    frame = raw_history()
    later = pd.to_datetime(frame["timestamp"]) > pd.Timestamp("2024-01-01 01:00:00")
    changed = frame.copy()
    changed.loc[later, ["temperature", "volume"]] *= -3
    changed.loc[later, "failure_indicator"] = 1 - changed.loc[later, "failure_indicator"]
    whole, other = prepared_from(frame, tmp_path).frame, prepared_from(changed, tmp_path).frame
    instant = pd.Timestamp("2024-01-01 01:00:00", tz="UTC")
    past, horizon = whole["timestamp"] <= instant, pd.Timedelta(seconds=600)
    sensors = ["temperature", "volume", "alarm_active", "target"]
    pd.testing.assert_frame_equal(whole.loc[past, sensors], other.loc[past, sensors])
    settled = whole["timestamp"] + horizon <= instant
    assert whole.loc[settled, "label"].equals(other.loc[settled, "label"])
    assert not whole["label"].equals(other["label"])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "prepared_data.parquet"
    write_prepared(path, prepared_from(raw_history(), tmp_path), organization_id="plant_a", config_digest="d1")
    return path


def test_prepared_data_comes_back_equal_and_is_written_alike(tmp_path: Path, stored: Path) -> None:
    prepared = prepared_from(raw_history(), tmp_path)
    found = read_prepared(stored, organization_id="plant_a")
    pd.testing.assert_frame_equal(found.frame, prepared.frame, check_exact=True)
    assert (found.summary, found.interval, found.max_gap) == (prepared.summary, prepared.interval, prepared.max_gap)
    again = tmp_path / "again.parquet"
    write_prepared(again, prepared, organization_id="plant_a", config_digest="d1")
    assert again.read_bytes() == stored.read_bytes()
    assert is_prepared(stored)
    assert not is_prepared(csv_of(raw_history(), tmp_path))


def test_prepared_data_of_another_organisation_is_refused(stored: Path) -> None:
    with pytest.raises(IsolationError, match="another organisation") as caught:
        read_prepared(stored, organization_id="plant_b")
    assert "plant_a" not in str(caught.value.to_json())
    other = config(stored).model_copy(update={"organization_id": "plant_b"})
    with pytest.raises(IsolationError, match="another organisation"):
        prepare(other)


def test_prepared_data_is_not_prepared_twice(stored: Path) -> None:
    with pytest.raises(DataError, match="already prepared"):
        prepare(config(stored))


def edited(path: Path, change: object) -> Path:
    """The file with its metadata content changed."""
    table = pa.parquet.read_table(path)
    content = json.loads(pa.parquet.read_metadata(path).metadata[b"eagle"])
    change(content)  # type: ignore[operator]
    pa.parquet.write_table(table.replace_schema_metadata({b"eagle": json.dumps(content)}), path)
    return path


def test_damaged_or_newer_prepared_data_is_refused(tmp_path: Path, stored: Path) -> None:
    original = stored.read_bytes()
    for change, words in (
        (lambda c: c.update(formatVersion=4), "format 4; this release reads the formats 2 and 3"),
        (lambda c: c.pop("formatVersion"), "damaged"),
        (lambda c: c.pop("interval"), "damaged"),
        (lambda c: c.update(sensors=["temperature"]), r"columns .* \(alarm_active, volume\)"),
    ):
        stored.write_bytes(original)
        with pytest.raises(IntegrityError, match=words):
            read_prepared(edited(stored, change), organization_id="plant_a")
    with pytest.raises(MissingArtifactError, match=r"no prepared data none\.parquet"):
        read_prepared(tmp_path / "none.parquet", organization_id="plant_a")
    with pytest.raises(DataError, match="is not prepared data"):
        read_prepared(csv_of(raw_history(), tmp_path), organization_id="plant_a")
