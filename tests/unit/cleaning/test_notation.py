"""How numbers and times are written: found out where certain, asked for where two readings are left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.cleaning import clock
from ml.cleaning.columns import ColumnPlan
from ml.cleaning.notation.detection import Notation, notation_of
from ml.cleaning.notation.times import TimeFormat
from ml.errors import DataError
from ml.options.access.file_format import FormatConfig


def found(columns: dict[str, list[Any]], batch_rows: int = 2, **told: Any) -> Notation:
    """The notation of a table with the time column `time` and sensors."""
    table = pa.table(columns)
    plan = ColumnPlan("time", None, (), {name: name for name in columns if name != "time"})

    def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from table.select(names).to_batches(max_chunksize=batch_rows)

    return notation_of(plan, FormatConfig.model_validate(told), "UTC", read)


def times(texts: list[str], zone: str = "UTC", **told: Any) -> list[str]:
    form = found({"time": texts}, **told).times
    return [clock.to_exact_text(int(time)) for time in form.to_microseconds(pa.array(texts), zone, "time")]


def numbers(texts: list[str], others: list[str] | None = None, **told: Any) -> list[float]:
    column = pa.array(texts)
    more = {"other": others} if others else {}
    notation = found({"time": ["2024-01-01"] * len(texts), "x": texts, **more}, **told)
    return [float(value) for value in notation.read(column, "x")[0]]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["13.01.2024 05:06", "1.2.2024 17:00"], "2024-01-13 05:06"),
        (["01.02.2024", "03.02.2024"], "2024-02-01 00:00"),
        (["13/01/2024 05:06:07", "14/01/2024 00:00:00"], "2024-01-13 05:06:07"),
        (["01/13/2024 5:06 PM", "01/14/2024 5:06 AM"], "2024-01-13 17:06"),
        (["2024-01-13 05:06 PM"], "2024-01-13 17:06"),
        (["2024-01-13 05:06:07,250"], "2024-01-13 05:06:07.25"),
        (["2024/1/13 5:06"], "2024-01-13 05:06"),
        (["13-JAN-24 05:06:07.00000", "02-May-24 05:06:07.50000"], "2024-01-13 05:06:07"),
        (["May 13, 2024 5:06 PM", "June 1, 2024 5:06 PM"], "2024-05-13 17:06"),
        (["20240113", "20240114"], "2024-01-13 00:00"),
        (["20240113 050607"], "2024-01-13 05:06:07"),
        (["13.01.2024 05:06:07 +0100"], "2024-01-13 04:06:07"),
        (["13/01/2024 05:06 UTC"], "2024-01-13 05:06"),
        (["Sat 13 Jan 2024 05:06:07"], "2024-01-13 05:06:07"),
        (["2024-01-13T05:06:07Z", "2024-01-13T05:06:08Z"], "2024-01-13 05:06:07"),
        (["1705122367"], "2024-01-13 05:06:07"),
    ],
)
def test_certain_times(texts: list[str], first: str) -> None:
    read = times(texts)
    assert read[0].startswith(first)
    assert all(time.startswith("2024") for time in read)


@pytest.mark.parametrize(
    ("texts", "readings"),
    [
        (["03/04/2024", "05/04/2024"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["03-04-2024 10:00", "05-04-2024 11:00"], ["%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M"]),
        (["03/04/05 10:00"], ["%d/%m/%y %H:%M", "%m/%d/%y %H:%M", "%y/%m/%d %H:%M"]),
    ],
)
def test_times_of_two_readings_are_refused_with_both(texts: list[str], readings: list[str]) -> None:
    with pytest.raises(DataError, match="no row tells which") as refused:
        times(texts)
    assert all(f'"{reading}"' in (refused.value.hint or "") for reading in readings)
    assert times(texts, timestampFormat=readings[1]) != times(texts, timestampFormat=readings[0])


def test_a_day_far_behind_the_sample_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.cleaning.notation.detection.SAMPLE_ROWS", 4)
    texts = ["03/04/2024"] * 10 + ["04/13/2024"]
    assert found({"time": texts}).times.name == "%m/%d/%Y"


def test_times_of_which_some_speak_against_the_others_are_left_to_be_refused() -> None:
    assert found({"time": ["03/04/2024"] * 20 + ["13/04/2024", "04/13/2024"]}).times.is_default


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.datetimes(pd.Timestamp("1995-01-01").to_pydatetime(), pd.Timestamp("2024-12-31").to_pydatetime()), min_size=1
    ),
    st.sampled_from(
        ["%d.%m.%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%Y %H:%M:%S", "%Y%m%d%H%M%S"]
    ),
)
def test_a_time_is_read_rightly_or_refused(moments: list[Any], form: str) -> None:
    """Whatever is written in whatever format, no other time is read."""
    texts = [moment.strftime(form) for moment in moments]
    try:
        notation = found({"time": texts})
    except DataError:
        return
    read = notation.times.to_microseconds(pa.array(texts), "UTC", "time")
    usable = (read != clock.UNREADABLE) & ~notation.times.implausible(read, pa.array(texts))
    expected = pd.to_datetime(pd.Series(texts), format=form).to_numpy("datetime64[us]").view(np.int64)
    assert (read[usable] == expected[usable]).all()


def test_numbers_with_a_name() -> None:
    noon = pd.Timestamp("2024-03-08T12:00:00")
    for name, value in {
        "excel": "45359.5",
        "matlab": "739319.5",
        "filetime": str(133_543_728_000_000_000),
        "ticks": str(638_454_960_000_000_000),
        "seconds": "1709899200",
        "milliseconds": "1709899200000",
        "labview": "3792744000",
    }.items():
        assert times([value], timestampFormat=name) == [f"{noon:%Y-%m-%d %H:%M:%S}.000000"], name
    assert times(["45299.041667"], "Europe/Berlin", timestampFormat="excel") == ["2024-01-08 00:00:00.000000"]
    whole = TimeFormat("filetime").to_microseconds(pa.array([133_543_728_000_000_000]), "UTC", "")
    assert whole[0] == noon.value // 1000


@pytest.mark.parametrize(
    ("texts", "others", "values"),
    [
        (["2,96", "3,1"], None, [2.96, 3.1]),
        (["1,234", "0,5"], None, [1.234, 0.5]),
        (["1,234", "2,345"], ["0,5", "7,25"], [1.234, 2.345]),
        (["1.234,5", "17,0"], None, [1234.5, 17.0]),
        (["1,234", "987"], None, [1234.0, 987.0]),
        (["1,234", "12.5"], None, [1234.0, 12.5]),
        (["1,234,567", "1,234"], None, [1234567.0, 1234.0]),
        (["1.234.567", "1.234"], None, [1234567.0, 1234.0]),
        (["1'234.5", "12"], None, [1234.5, 12.0]),
        (["1\u00a0234,5", "1\u202f234"], None, [1234.5, 1234.0]),
        (["1.234", "2.345"], None, [1.234, 2.345]),
        (["1.234", "987"], None, [1.234, 987.0]),
        (["2.5", "1e3"], ["2,5", "3,5"], [2.5, 1000.0]),
        (["-2,5", "+3,5"], None, [-2.5, 3.5]),
    ],
)
def test_certain_numbers(texts: list[str], others: list[str] | None, values: list[float]) -> None:
    assert numbers(texts, others) == values


@pytest.mark.parametrize(
    ("texts", "others"),
    [(["1,234", "2,345"], None), (["1.234", "2.345"], ["2,5", "7,1"]), (["1,234", "5,678"], ["2.5", "7.1"])],
)
def test_numbers_of_two_readings_are_refused(texts: list[str], others: list[str] | None) -> None:
    with pytest.raises(DataError, match="no value tells which") as refused:
        numbers(texts, others)
    assert refused.value.field == "formatConfig.decimalMark"
    assert numbers(texts, others, decimalMark=",", thousandsMark=".") != numbers(
        texts, others, decimalMark=".", thousandsMark=","
    )


def test_what_contradicts_is_unreadable_and_not_another_number() -> None:
    notation = found({"time": ["2024-01-01"] * 40, "x": ["2,96"] * 40})
    values, unreadable = notation.read(pa.array(["1.234", "2.5", "1.234,5", "3,5", "Bad"]), "x")
    assert unreadable.tolist() == [True, True, True, False, True]
    assert np.isnan(values[:3]).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e7, 1e7).map(lambda value: round(value, 3)), min_size=1), st.booleans(), st.booleans())
def test_a_number_is_read_rightly_or_refused(values: list[float], comma: bool, grouped: bool) -> None:
    texts = [f"{value:,.3f}" if grouped else f"{value:.3f}" for value in values]
    if comma:
        texts = [text.translate(str.maketrans(".,", ",.")) for text in texts]
    elif not grouped:
        assert numbers(texts) == values
        return
    try:
        read = numbers(texts)
    except DataError:
        return
    assert all(np.isnan(one) or one == value for one, value in zip(read, values, strict=True))


def test_null_words_and_numbers() -> None:
    notation = found({"time": ["2024-01-01"], "x": ["1"]}, nullWords=["Wartung", "-9999"])
    column = pa.array(["1", "I/O Timeout", " wartung", "-9999.0", "warm", None])
    values, unreadable = notation.read(column, "x")
    assert notation.null_values(column, values, unreadable).tolist() == [False, True, True, True, False, False]
