"""Exports of InfluxDB in line protocol."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.prepare import prepare
from ml.ingest.sources.influx_lines import InfluxLinesSource
from tests.unit.ingest.histories import config, raw_history

WRITERS = {
    "temperature": lambda value: f"{value}",
    "volume": lambda value: f"{value!r}",
    "alarm_active": lambda value: "true" if value else "f",
    "remark": lambda value: '"{}"'.format(value.replace('"', '\\"')),
    "failure_indicator": lambda value: f"{value}i",
}


def exported(history: pd.DataFrame) -> str:
    """One field a line, one field after the other, as an export is ordered."""
    lines = ["# DML", "# CONTEXT-DATABASE: plant"]
    times = pd.to_datetime(history["timestamp"], utc=True).dt.as_unit("ns").astype("int64")
    for name, written in WRITERS.items():
        for machine, value, time in zip(history["machine"], history[name], times, strict=True):
            if not pd.isna(value):
                lines.append(f"pumps,machine={machine} {name}={written(value)} {time}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("packed", [False, True])
def test_an_export_gives_the_rows_of_the_wide_table(packed: bool, tmp_path: Path) -> None:
    history = raw_history()
    history.to_csv(tmp_path / "whole.csv", index=False)
    wide = prepare(config(tmp_path / "whole.csv")).frame
    file = tmp_path / ("export.lp.gz" if packed else "export.lp")
    text = exported(history).encode()
    file.write_bytes(gzip.compress(text) if packed else text)
    found = prepare(config(file, schemaConfig={"timestampColumn": "time"})).frame
    pd.testing.assert_frame_equal(found, wide)


def read(tmp_path: Path, text: str) -> pd.DataFrame:
    file = tmp_path / "lines.lp"
    file.write_text(text)
    source = InfluxLinesSource(file)
    names = source.columns()
    batches = source.read(names, time_column="time", within=TimeRange())
    return pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)


@given(
    st.text(st.characters(blacklist_characters='\\"\n\r', blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=9)
)
def test_any_text_of_a_field_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    found = read(tmp_path_factory.mktemp("lines"), f'm,unit=a note="{text}",x=1 1700000000000000000\n')
    assert found.loc[0, "note"] == text


def test_marks_that_are_escaped_belong_to_the_name(tmp_path: Path) -> None:
    found = read(tmp_path, 'my\\ plant,unit\\ id=a\\,b\\=c flow\\ rate=1.5,"x"=2u 5\n')
    assert found.to_dict("records") == [{"time": 5, "unit id": "a,b=c", "flow rate": 1.5, '"x"': 2.0}]


def test_fields_of_several_measurements_have_names_of_their_own(tmp_path: Path) -> None:
    found = read(tmp_path, "a,unit=1 x=1 10\nb,unit=1 x=2,y=t\n")
    assert list(found) == ["time", "unit", "a.x", "b.x", "b.y"]
    assert found["time"].isna().tolist() == [False, True]
    assert found["b.y"].tolist() == [None, True]


def test_a_field_with_the_name_of_a_tag_is_told_apart(tmp_path: Path) -> None:
    assert list(read(tmp_path, "m,unit=1 unit=2,time=3 10\n")) == ["time", "unit", "m.unit", "m.time"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no line of readings"),
        ("# only a remark\n", "has no line of readings"),
        ("time,value\n1,2\n", "line 1: 'time,value'"),
        ("m x=1 1\nm x= 2\n", "line 2"),
        ("m x=word 1\n", "line 1"),
        ("m,unit x=1 1\n", "line 1"),
        ("m x=1 12:30\n", "line 1"),
        ("m x=" + "1" * (1 << 20) + "\n", "more than"),
    ],
)
def test_what_is_no_line_protocol_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)
