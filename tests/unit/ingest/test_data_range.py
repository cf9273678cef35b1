"""A range that reaches back from the newest row, and second tables whose times are written in their own way."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError
from ml.ingest.prepare import prepare

TIMES = pd.Series(pd.date_range("2024-01-01", periods=200, freq="h"))


def table(times: pd.Series) -> pd.DataFrame:
    hour = np.arange(len(times))
    return pd.DataFrame({"timestamp": times, "x": hour % 7 + 0.5, "failed": (hour % 50 == 49).astype(int)})


def config(source: dict[str, Any], asked: dict[str, Any], **more: Any) -> OrganizationConfig:
    schema = {"continuousColumns": ["x"], "targetColumn": "failed"}
    return OrganizationConfig.from_dict(
        {"organizationId": "o", "schemaConfig": schema, **source, "dataRange": asked, **more}
    )


def in_file(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    frame.to_csv(folder / "data.csv", index=False)
    return {"dataSource": {"path": str(folder / "data.csv")}}


def in_database(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    with sqlite3.connect(folder / "data.db") as connection:
        frame.to_sql("readings", connection, index=False)
    connection.close()
    return {"scadaDbConfig": {"driver": "sqlite", "database": str(folder / "data.db"), "table": "readings"}}


@pytest.mark.parametrize("kept", [in_file, in_database])
@pytest.mark.parametrize(
    "written",
    [
        lambda times: times.astype(str),
        lambda times: times.dt.strftime("%d.%m.%Y %H:%M"),
        lambda times: times.astype("datetime64[s]").astype("int64"),
    ],
)
def test_the_last_hours_of_the_source(kept: Any, written: Any, tmp_path: Path) -> None:
    frame = table(written(TIMES))
    source = kept(frame.sample(frac=1, random_state=1), tmp_path)
    found = prepare(config(source, {"last": "48h"}), slices=tmp_path / "slices").summary
    assert (found["firstTime"], found["gridRows"]) == ("2024-01-07T07:00:00Z", 49)
    until = prepare(config(source, {"last": "1d", "endDate": "2024-01-03T00:00:00Z"})).summary
    assert (until["firstTime"], until["lastTime"]) == ("2024-01-02T00:00:00Z", "2024-01-02T23:00:00Z")


@pytest.mark.parametrize("kept", [in_file, in_database])
def test_a_placeholder_far_ahead_is_no_newest_row(kept: Any, tmp_path: Path) -> None:
    frame = table(TIMES.astype(str))
    frame.loc[3, "timestamp"] = "2199-01-01 00:00:00"
    assert prepare(config(kept(frame, tmp_path), {"last": "48h"})).summary["gridRows"] == 49


@pytest.mark.parametrize("asked", [{"last": "48 hours"}, {"last": "0d"}, {"last": "1d", "startDate": "2024-01-01"}])
def test_what_is_no_range(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"dataRange"):
        config({"dataSource": {"path": "x.csv"}}, asked)


def test_the_range_and_the_notation_are_part_of_what_prepared_data_depends_on() -> None:
    source = {"dataSource": {"path": "x.csv"}}
    digests = {
        config(source, asked, formatConfig=form).source_digest()
        for asked in ({}, {"last": "1d"}, {"last": "2d"})
        for form in ({}, {"decimalMark": ","})
    }
    assert len(digests) == 6


def test_a_list_of_failures_has_times_of_its_own(tmp_path: Path) -> None:
    source = in_file(table(TIMES.astype(str)).drop(columns="failed"), tmp_path)
    events = tmp_path / "failures.csv"
    listed = {"path": str(events), "startColumn": "from", "endColumn": "to"}
    asked: dict[str, Any] = {"failureConfig": {"events": listed}}
    events.write_text("from;to\n03/01/2024 10:00;13/01/2024 12:00\n05/01/2024 10:00;05/01/2024 12:00\n")
    with pytest.raises(DataError, match="no row tells which") as refused:
        prepare(config(source, {}, **asked))
    assert refused.value.field == "failureConfig.events.timestampFormat"
    listed["timestampFormat"] = "%d/%m/%Y %H:%M"
    assert prepare(config(source, {}, **asked)).summary["failureEvents"]["total"] >= 1
    events.write_text("from;to\n03.01.2024 10:00;03.01.2024 12:00\n05.01.2024 10:00;05.01.2024 12:00\n")
    del listed["timestampFormat"]
    assert prepare(config(source, {}, **asked)).summary["failureEvents"]["total"] == 2


def test_words_for_nothing_and_marks_leave_columns_of_words_alone(tmp_path: Path) -> None:
    frame = table(TIMES.astype(str)).assign(mode=["1,5", "Bad", "2,5", "0"] * 50, x=lambda frame: frame["x"] - 0.5)
    frame.loc[7, "x"] = 1.5
    schema = {"continuousColumns": ["x"], "targetColumn": "failed", "categoricalColumns": {"mode": ["1,5", "2,5", "0"]}}
    found = prepare(config(in_file(frame, tmp_path), {}, schemaConfig=schema, formatConfig={"nullWords": ["0"]}))
    assert found.summary["nullValues"]["mode"] == 50
    assert "notation" not in found.summary
    assert found.frame["mode"].iloc[3] == 2, "a word of the list is one, whatever stands for no value elsewhere"
    assert found.frame["x"].iloc[6] == 6.0
