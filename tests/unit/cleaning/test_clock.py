from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest

from ml.cleaning import clock
from ml.errors import DataError


def read(values: list[object], zone: str = "UTC", kind: pa.DataType | None = None) -> list[str | None]:
    time = clock.to_microseconds(pa.array(values, type=kind), zone, "time")
    return [None if t == clock.UNREADABLE else clock.to_text(int(t)) for t in time]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05Z"),
        ("2024-01-02 03:04", "2024-01-02T03:04:00Z"),
        ("2024-01-02", "2024-01-02T00:00:00Z"),
        ("2024-01-02T03:04:05.1234567", "2024-01-02T03:04:05Z"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02 03:04:05+02:00", "2024-01-02T01:04:05Z"),
        ("2024-01-02 03:04:05-05", "2024-01-02T08:04:05Z"),
        ("2024-01-02 03:04:05 UTC", "2024-01-02T03:04:05Z"),
        (" 1704164645 ", "2024-01-02T03:04:05Z"),
        ("1704164645.5", "2024-01-02T03:04:05Z"),
        ("60", "1970-01-01T00:01:00Z"),
        ("2024-13-02", None),
        ("02.01.2024", None),
        ("", None),
        (None, None),
    ],
)
def test_text(value: str | None, expected: str | None) -> None:
    assert read(["2024-05-05", value], kind=pa.string())[1] == expected


def test_text_with_and_without_zone_in_one_column() -> None:
    found = read(["2024-07-01 12:00", "2024-07-01 12:00Z", "1719828000", "nonsense", None], "Europe/Berlin")
    assert found == ["2024-07-01T10:00:00Z", "2024-07-01T12:00:00Z", "2024-07-01T10:00:00Z", None, None]


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_epoch_numbers_of_every_unit(factor: int) -> None:
    expected = ["2024-01-02T03:04:05Z", None]
    assert read([1_704_164_645 * factor, None]) == expected
    assert read([float(1_704_164_645 * factor), None]) == expected


def test_epoch_numbers_beyond_all_dates_are_unreadable() -> None:
    assert read([1e30, float("inf"), float("nan"), 0.0]) == [None, None, None, "1970-01-01T00:00:00Z"]


def test_stored_times_and_dates() -> None:
    naive, aware = datetime(2024, 7, 1, 12), datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert read([naive, None], "Europe/Berlin") == ["2024-07-01T10:00:00Z", None]
    assert read([naive], "Europe/Berlin", pa.timestamp("ns")) == ["2024-07-01T10:00:00Z"]
    assert read([aware], "Europe/Berlin", pa.timestamp("ms", tz="UTC")) == ["2024-07-01T12:00:00Z"]
    assert read([aware], "Europe/Berlin", pa.timestamp("s", tz="America/New_York")) == ["2024-07-01T12:00:00Z"]
    assert read([date(2024, 7, 1)], "Europe/Berlin") == ["2024-06-30T22:00:00Z"]
    assert read([None], kind=pa.null()) == [None]


def test_microseconds_survive() -> None:
    time = clock.to_microseconds(pa.array(["2024-01-02T03:04:05.123456"]), "UTC", "time")
    assert time.tolist() == [1_704_164_645_123_456]


def test_an_hour_that_happens_twice_is_its_first_pass() -> None:
    found = read(["2024-10-27 01:59", "2024-10-27 02:30", "2024-10-27 03:00"], "Europe/Berlin")
    assert found == ["2024-10-26T23:59:00Z", "2024-10-27T00:30:00Z", "2024-10-27T02:00:00Z"]


def test_an_hour_that_does_not_exist_keeps_the_offset_before() -> None:
    found = read(["2024-03-31 01:59", "2024-03-31 02:30", "2024-03-31 03:30"], "Europe/Berlin")
    assert found == ["2024-03-31T00:59:00Z", "2024-03-31T01:30:00Z", "2024-03-31T01:30:00Z"]


def test_a_day_that_does_not_exist_does_not_crash() -> None:
    assert read(["2011-12-30 12:00"], "Pacific/Apia") == ["2011-12-30T22:00:00Z"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("placeholder", ["9999-12-31 23:00", "0001-01-01", datetime(9999, 12, 31, 23), 9_999_999_999])
def test_placeholders_are_unreadable(zone: str, placeholder: object) -> None:
    assert read([placeholder], zone) == [None]


def test_times_that_cannot_be_times_are_refused() -> None:
    with pytest.raises(DataError, match='"time" holds bool'):
        read([True])


def test_configured_dates_use_the_zone_if_they_have_none() -> None:
    noon = 1_719_828_000_000_000
    assert clock.instant(datetime(2024, 7, 1, 12), "Europe/Berlin") == noon
    assert clock.instant(datetime(2024, 7, 1, 10, tzinfo=UTC), "Europe/Berlin") == noon
    assert clock.instant(datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))), "UTC") == noon
    assert np.iinfo(np.int64).min < clock.instant(datetime(1, 1, 1), "Europe/Berlin") < 0
    for zone in (None, UTC):
        assert clock.instant(datetime(9999, 12, 31, 23, tzinfo=zone), "America/New_York") > noon
