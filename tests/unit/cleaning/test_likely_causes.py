"""What unreadable values look like: every format of time that a plant's software writes as a number or text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ml.cleaning.likely_causes import cause_of_unreadable, likely_time_format

DAY = 86_400
NOON = datetime(2024, 3, 8, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([f"{NOON / DAY + 25_569:.5f}"], "Excel serial days"),
        ([f"{NOON / DAY + 719_529:.5f}"], "MATLAB day numbers"),
        ([f"{NOON / DAY + 2_440_587.5:.5f}"], "Julian days"),
        ([f"{NOON / DAY + 40_587:.5f}"], "modified Julian days"),
        ([f"{NOON / DAY:.5f}"], "days since 1970"),
        ([f"{NOON / 3600:.3f}"], "hours since 1970"),
        ([f"{NOON / 60:.0f}"], "minutes since 1970"),
        ([f"{NOON + 2_082_844_800:.0f}"], "seconds since 1904, as of LabVIEW"),
        ([f"{(NOON + 11_644_473_600) * 1e7:.0f}"], "Windows FILETIME"),
        ([f"{(NOON + 62_135_596_800) * 1e7:.0f}"], ".NET ticks"),
        (["2024.1835", "2024.1836"], "decimal years"),
        (["20240308"], "digits in the order YYYYMMDD"),
        (["202403081200"], "digits in the order YYYYMMDDHHMM"),
        (["20240308120000"], "digits in the order YYYYMMDDHHMMSS"),
        (["0", "1", "2"], "a running number, or time since a start"),
        (["08.03.2024 12:00"], "dd.mm.yyyy"),
        (["3/8/2024 12:00 PM"], "dd/mm/yyyy or mm/dd/yyyy"),
        (["08-03-2024"], "dd-mm-yyyy or mm-dd-yyyy"),
        (["2024/03/08 12:00"], "yyyy/mm/dd"),
        (["08-Mar-24 12:00:00"], "dates with names of months"),
        (["12:00:00"], "times of day without a date"),
        (["2024-03-08 12:00:00,123"], "ISO 8601 with a decimal comma"),
        (["yesterday"], None),
        ([], None),
    ],
)
def test_times(values: list[str], form: str | None) -> None:
    assert likely_time_format(values) == form


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (["2,96", "-3,1"], "decimal commas"),
        (["60,900", "57,300"], "commas, before decimals or between thousands"),
        (["1.234,5"], "decimal commas and points between thousands"),
        (["1,234.5", "12 000,5", "1\u202f234"], "separators of thousands"),
        (["12.5 °C", "13 bar", "3 l/min"], "numbers with a unit"),
        (["<0.5", "> 100"], "limits of detection"),
        (["0x1F"], "hexadecimal numbers"),
        (["2024-03-08"], "dates"),
        (["#N/A", "#VALUE!"], "errors of a spreadsheet"),
        (["Bad", "I/O Timeout", "A"], "words"),
    ],
)
def test_numbers(values: list[str], cause: str) -> None:
    assert cause_of_unreadable(values)[0] == cause
