"""A long form in PostgreSQL, by both drivers: the rows of the wide table, slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.ingest.prepare import prepare
from tests.databases.history import COLUMNS, config, create_table, readings
from tests.databases.server import Database
from tests.databases.test_sqlalchemy import connection

LONG = {"layout": "long", "tagColumn": "tag", "valueColumn": "value"}


@pytest.mark.parametrize("driver", ["postgresql", "sqlalchemy"])
@pytest.mark.parametrize("shared", [False, True])
def test_gives_the_rows_of_the_wide_table(driver: str, shared: bool, database: Database, tmp_path: Path) -> None:
    rows = [
        (time, "P-1", float(i), 2.5 * i, i % 2 == 0, int(i % 30 == 29)) for i, (time, *_) in enumerate(readings(72, 1))
    ]
    create_table(database, rows)
    long = [
        (row[0], row[1], tag, float(row[COLUMNS.index(tag)]), owner)
        for row in rows
        for tag in COLUMNS[2:]
        for owner in ("plant_a", "plant_b")
        if shared or owner == "plant_a"
    ]
    long += [(rows[0][0], "P-1", "unused", 1.0, "plant_a")]
    types = ("timestamptz", "text", "char(20)", "float8", "text")
    create_table(database, long, "long", (*COLUMNS[:2], "tag", "value", "org"), types)
    database.let_read("long")
    expected = prepare(config(database))
    settings: dict[str, Any] = {"table": "long", "sliceSeconds": 7200}
    schema = {"targetColumn": "failure_indicator", **({"organizationColumn": "org"} if shared else {})}
    named = connection(database, **settings) if driver == "sqlalchemy" else settings
    asked = config(database, named, layoutConfig=LONG, schemaConfig=schema)
    for _ in range(2):
        found = prepare(asked, slices=tmp_path / "slices")
        pd.testing.assert_frame_equal(found.frame, expected.frame)
    late = (rows[5][0], "P-1", "temperature", 99.0, "plant_a")
    database.insert("long", (*COLUMNS[:2], "tag", "value", "org"), [late])
    again = prepare(asked, slices=tmp_path / "slices")
    assert 99.0 in again.frame["temperature"].to_list()
    assert [each["code"] for each in again.summary["findings"]].count("ROWS_DISAGREE") == 1


def test_tags_that_a_table_lacks_are_told_with_those_it_has(database: Database, tmp_path: Path) -> None:
    rows = readings(48, 1)
    named = ("alarm", "failure_indicator")
    long = [(row[0], row[1], tag, float(row[COLUMNS.index(tag)])) for row in rows for tag in named]
    create_table(database, long, "long", (*COLUMNS[:2], "tag", "value"), ("timestamptz", "text", "text", "float8"))
    asked = config(database, {"table": "long"}, layoutConfig=LONG, schemaConfig={"targetColumn": "FAILURE"})
    found = prepare(asked, slices=tmp_path)
    message = next(each["message"] for each in found.summary["findings"] if each["code"] == "TAGS_ABSENT")
    assert '"FAILURE"' in message
    assert 'Tags that nothing names: "failure_indicator"' in message
