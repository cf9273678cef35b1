"""Several machines read as one: the column that tells them apart is named, whatever it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared
from tests.unit.ingest.histories import config, raw_history, to_sqlite


def read(frame: pd.DataFrame, folder: Path, **schema: Any) -> Prepared:
    frame.to_csv(folder / "history.csv", index=False)
    return prepare(config(folder / "history.csv", schemaConfig={"assetColumn": None, **schema}))


@pytest.mark.parametrize("name", ["machine", "Turbine_ID", "serialNumber", "whatever", "Anlage"])
def test_rows_that_disagree_are_refused_with_the_column(name: str, tmp_path: Path) -> None:
    frame = raw_history().rename(columns={"machine": name})
    frame["shift"] = np.where(np.arange(len(frame)) % 7 < 3, "early", "late")
    with pytest.raises(DataError, match="rows of one instant disagree at 238 of 260 instants") as refused:
        read(frame, tmp_path)
    assert f'the column "{name}" tells them apart (P-1, P-2)' in refused.value.message
    assert refused.value.hint == f'set schemaConfig.assetColumn to "{name}"'


def test_a_database_is_refused_alike(tmp_path: Path) -> None:
    database = to_sqlite(raw_history(), tmp_path / "history.db")
    with pytest.raises(DataError, match='the column "machine" tells them apart'):
        prepare(config(database, schemaConfig={"assetColumn": None}))


def test_without_a_column_that_tells_them_apart_they_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several machines seem to be read as one") as refused:
        read(raw_history().drop(columns="machine"), tmp_path)
    assert "schemaConfig.assetColumn" in (refused.value.hint or "")


def test_an_hour_that_comes_twice_is_no_second_machine(tmp_path: Path) -> None:
    frame = raw_history(9_000)
    one = frame[frame["machine"] == "P-1"].drop(columns="machine")
    again = one.iloc[500:560].assign(temperature=1.0)
    found = read(pd.concat([one.iloc[:560], again, one.iloc[560:]]), tmp_path).summary
    assert "ROWS_DISAGREE" in [each["code"] for each in found["findings"]]


@pytest.mark.parametrize(
    ("column", "values", "mixed"),
    [
        ("machine", ["P-1", "P-2"], True),
        ("unit_id", ["7", "8"], True),
        ("machine", ["P-1", "P-1"], False),
        ("machine_status", ["RUN", "STOP"], False),
        ("pump_on", ["0", "1"], False),
        ("operator", ["Ann", "Bob"], False),
    ],
)
def test_an_unused_column_that_names_machines_is_a_finding(
    column: str, values: list[str], mixed: bool, tmp_path: Path
) -> None:
    frame = raw_history()
    frame = frame[frame["machine"] == "P-1"].drop(columns="machine")
    frame[column] = np.resize(values, len(frame))
    found = [each["code"] for each in read(frame, tmp_path).summary["findings"]]
    assert ("MACHINES_MIXED" in found) == mixed


def test_two_machines_of_one_name_are_a_finding(tmp_path: Path) -> None:
    frame = raw_history().assign(site=lambda each: each["machine"].map({"P-1": "north", "P-2": "south"}), machine="P")
    found = read(frame, tmp_path, assetColumn="machine").summary["findings"]
    assert 'the column "site" tells them apart (north, south)' in next(
        each["message"] for each in found if each["code"] == "MACHINES_MIXED"
    )
