"""Telemetry with events and attributes of other files: the rows of a naive join by pandas."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError, EagleError, MissingColumnError
from ml.ingest.prepare import prepare
from ml.ingest.sources import open_source
from ml.ingest.sources.layouts.tables import Counts
from tests.unit.ingest.histories import to_sqlite

DAY = 86_400
TELEMETRY = ["volt", "rotate"]


def telemetry(days: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    time = pd.date_range("2024-01-01 06:00", periods=days, freq="D")
    parts = [
        pd.DataFrame(
            {"time": time, "machine": machine, "volt": rng.normal(170, 10, days), "rotate": rng.normal(450, 9, days)}
        ).assign(failed=(np.arange(days) % 12 == 11).astype(int))
        for machine in (1, 2, 3)
    ]
    return pd.concat(parts, ignore_index=True)


def errors() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    hour = rng.integers(-48, 24 * 31, 200)
    return pd.DataFrame(
        {
            "datetime": pd.Timestamp("2024-01-01") + pd.to_timedelta(hour, unit="h"),
            "machineID": rng.integers(1, 3, 200),
            "code": rng.choice(["e1", "e2", "e 3"], 200),
        }
    )


MACHINES = pd.DataFrame({"machine": [1, 2, 4], "model": ["m3", "m4", "m3"], "age": [18, 7, 8]})
ERRORS = {"kind": "counts", "assetColumn": "machineID", "timestampColumn": "datetime", "countColumn": "code"}
MORE = ["code_e1", "code_e2", "code_e 3", "age", "model_m3", "model_m4"]


def joined_by_hand(rows: pd.DataFrame, events: pd.DataFrame, machines: pd.DataFrame) -> pd.DataFrame:
    """As a person would join with pandas, row by row."""
    counts = []
    for row in rows.itertuples():
        own = events[events["machine"] == row.machine]
        window = own[(own["time"] > row.time - pd.Timedelta(days=1)) & (own["time"] <= row.time)]
        counts.append(window["code"].value_counts())
    counted = pd.DataFrame(counts, index=rows.index, columns=sorted(events["code"].unique())).fillna(0)
    result = rows.join(counted.add_prefix("code_")).merge(machines, on="machine", how="left")
    for word in sorted(machines["model"].unique()):
        result[f"model_{word}"] = (result["model"] == word).astype(float).where(result["model"].notna())
    return result.drop(columns="model")


def config(source: dict[str, Any], tables: dict[str, Any], **schema: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "schemaConfig": {
                "continuousColumns": [*TELEMETRY, *MORE],
                "assetColumn": "machine",
                "timestampColumn": "time",
                "targetColumn": "failed",
                **schema,
            },
            "dataConfig": {"predictionHorizonSeconds": DAY, "samplingIntervalSeconds": DAY, "timezone": "UTC"},
            "layoutConfig": {"tables": tables},
            **source,
        }
    )


def in_files(folder: Path) -> OrganizationConfig:
    telemetry().to_csv(folder / "telemetry.csv", index=False)
    errors().to_csv(folder / "errors.csv", index=False)
    MACHINES.to_csv(folder / "machines.csv", index=False)
    tables = {
        "errors": {**ERRORS, "path": str(folder / "errors.csv")},
        "machines": {"kind": "attributes", "path": str(folder / "machines.csv")},
    }
    return config({"dataSource": {"path": str(folder / "telemetry.csv")}}, tables)


def read_whole(settings: OrganizationConfig, columns: list[str]) -> pd.DataFrame:
    source = open_source(settings)
    parts = [batch.to_pandas() for batch in source.read(columns, time_column=columns[0], within=TimeRange())]
    source.close()
    return pd.concat(parts, ignore_index=True)


def test_counts_and_attributes_are_those_of_a_join_by_hand(tmp_path: Path) -> None:
    found = read_whole(in_files(tmp_path), ["time", "machine", *TELEMETRY, "failed", *MORE])
    expected = joined_by_hand(
        telemetry(), errors().rename(columns={"datetime": "time", "machineID": "machine"}), MACHINES
    )
    assert list(found["machine"]) == [str(each) for each in expected["machine"]]
    for name in [*TELEMETRY, *MORE]:
        np.testing.assert_array_equal(found[name].astype(float), expected[name].astype(float), name)


@pytest.mark.parametrize("kept", [True, False])
def test_tables_of_a_database_give_what_files_give(kept: bool, tmp_path: Path) -> None:
    expected = prepare(in_files(tmp_path))
    for name, frame in {"readings": telemetry(), "errors": errors(), "machines": MACHINES}.items():
        to_sqlite(frame.astype({c: str for c in frame if frame[c].dtype.kind == "M"}), tmp_path / "a.db", name)
    database = {"driver": "sqlite", "database": str(tmp_path / "a.db"), "table": "readings"}
    tables = {"errors": {**ERRORS, "table": "errors"}, "machines": {"kind": "attributes", "table": "machines"}}
    settings = config({"scadaDbConfig": database}, tables)
    for _ in range(2):
        found = prepare(settings, slices=tmp_path / "slices" if kept else None)
        pd.testing.assert_frame_equal(found.frame, expected.frame)
    codes, same = ([each["code"] for each in prepared.summary["findings"]] for prepared in (found, expected))
    assert codes == same
    assert codes.count("MACHINES_WITHOUT_ATTRIBUTES") == codes.count("MACHINES_NOT_IN_READINGS") == 1


def test_tables_of_readings_are_merged_by_instant_in_their_own_zone(tmp_path: Path) -> None:
    expected = prepare(in_files(tmp_path)).frame
    whole = telemetry()
    whole.drop(columns="rotate").to_csv(tmp_path / "telemetry.csv", index=False)
    local = whole["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").dt.tz_localize(None)
    whole.assign(when=local, nr=whole["machine"])[["rotate", "nr", "when"]].to_parquet(tmp_path / "more.parquet")
    settings = in_files_settings(tmp_path, whole)
    pd.testing.assert_frame_equal(prepare(settings).frame, expected)


def in_files_settings(folder: Path, whole: pd.DataFrame) -> OrganizationConfig:
    base = in_files(folder).to_dict()
    whole.drop(columns="rotate").to_csv(folder / "telemetry.csv", index=False)
    base["layoutConfig"]["tables"]["more"] = {
        "kind": "readings", "path": str(folder / "more.parquet"), "timezone": "Asia/Tokyo",
        "assetColumn": "nr", "timestampColumn": "when",
    }  # fmt: skip
    return OrganizationConfig.from_dict(base)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("errors", {"countColumn": "codes"}, MissingColumnError, 'no column "codes"'),
        ("errors", {"assetColumn": "nr"}, MissingColumnError, 'no column "nr"'),
        ("errors", {"timestampColumn": "time"}, MissingColumnError, 'no column "time"'),
        ("machines", {"columns": ["colour"]}, MissingColumnError, 'no column "colour"'),
        ("machines", {"path": "nowhere.csv"}, DataError, "there is no file nowhere.csv"),
        ("machines", {"path": None, "table": "machines"}, ConfigError, "names none"),
        ("errors", {"kind": "readings"}, ConfigError, "countColumn means nothing for readings"),
        ("errors", {"countColumn": None}, ConfigError, "counts needs countColumn"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    name: str, change: dict[str, Any], error: type[EagleError], message: str, tmp_path: Path
) -> None:
    document = in_files(tmp_path).to_dict()
    document["layoutConfig"]["tables"][name] |= change
    with pytest.raises(error, match=message):
        open_source(OrganizationConfig.from_dict(document))


@pytest.mark.parametrize(
    ("machines", "message"),
    [
        (pd.concat([MACHINES, MACHINES.head(1)]), 'more than one row of the machine "1"'),
        (MACHINES.assign(age=["18", "7", "?"]), "holds '\\?' among numbers"),
        (MACHINES.assign(volt=1), 'would add "volt"'),
        (MACHINES.head(0), "has no rows"),
    ],
)
def test_attributes_that_make_no_sense_are_refused(machines: pd.DataFrame, message: str, tmp_path: Path) -> None:
    settings = in_files(tmp_path)
    machines.to_csv(tmp_path / "machines.csv", index=False)
    with pytest.raises(DataError, match=message):
        open_source(settings)


def test_events_without_times_are_refused_if_they_are_many(tmp_path: Path) -> None:
    settings = in_files(tmp_path)
    errors().assign(datetime="soon").to_csv(tmp_path / "errors.csv", index=False)
    with pytest.raises(DataError, match="200 of 200 values of the time column"):
        open_source(settings)


EVENTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 1)), max_size=30)
READINGS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=20)


@given(events=EVENTS, readings=READINGS, window=st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_counts_are_those_of_a_loop(
    events: list[tuple[int, int, int]], readings: list[tuple[int, int]], window: int
) -> None:

    columns = [np.array([event[side] for event in events], dtype=np.int64) for side in range(3)]
    counts = Counts(["a", "b"], ["M0", "M1", "M2"], (columns[0], columns[1], columns[2]), window)
    machines = pa.array([f"M{machine}" for _, machine in readings])
    found = counts.of_rows(machines, np.array([time for time, _ in readings]), ["a", "b"])
    for kind, name in enumerate("ab"):
        expected = [
            sum(m == machine and k == kind and time - window < t <= time for t, m, k in events)
            for time, machine in readings
        ]
        assert found[name].to_pylist() == expected


AZURE = Path(os.environ.get("EAGLE_ML_DATA_DIR", "")) / "azure"


@pytest.mark.skipif(not os.environ.get("EAGLE_ML_DATA_DIR"), reason="EAGLE_ML_DATA_DIR is not set")
def test_the_azure_tables_are_joined_as_pandas_joins_them() -> None:
    codes = [f"errorID_error{number}" for number in range(1, 6)]
    models = [f"model_model{number}" for number in range(1, 5)]
    sensors = ["volt", "rotate", "pressure", "vibration", *codes, "age", *models]
    settings = OrganizationConfig.from_dict(
        {
            "organizationId": "azure",
            "dataSource": {"path": str(AZURE / "telemetry_daily.csv")},
            "schemaConfig": {"continuousColumns": sensors, "assetColumn": "machineID"},
            "dataConfig": {"samplingIntervalSeconds": DAY, "timezone": "UTC"},
            "layoutConfig": {
                "tables": {
                    "errors": {
                        "path": str(AZURE / "errors.csv"), "kind": "counts",
                        "timestampColumn": "datetime", "countColumn": "errorID",
                    },
                    "machines": {"path": str(AZURE / "machines.csv"), "kind": "attributes"},
                }
            },
        }
    )  # fmt: skip
    found = read_whole(settings, ["timestamp", "machineID", *sensors])
    expected = pd.read_csv(AZURE / "telemetry_daily.csv", parse_dates=["timestamp"])
    events = pd.read_csv(AZURE / "errors.csv", parse_dates=["datetime"])
    # Days end at six in the morning; an event after that belongs to the day that ends next.
    events["timestamp"] = (events["datetime"] - pd.Timedelta(hours=6)).dt.ceil("D") + pd.Timedelta(hours=6)
    daily = events.groupby(["machineID", "timestamp", "errorID"]).size().unstack(fill_value=0).add_prefix("errorID_")
    machines = pd.read_csv(AZURE / "machines.csv")
    machines = pd.get_dummies(machines, columns=["model"], dtype=float)
    expected = expected.merge(daily, on=["machineID", "timestamp"], how="left")
    expected = expected.merge(machines, on="machineID", how="left")
    expected[codes] = expected[codes].fillna(0)
    assert len(found) == len(expected) == 18_250
    assert found[codes].to_numpy().sum() > 1_900
    for name in sensors:
        np.testing.assert_array_equal(found[name].astype(float), expected[name].astype(float), name)
