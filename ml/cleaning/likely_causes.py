"""Why values could not be read: what the text of some of them looks like, in words for a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from ml.cleaning.clock import FIRST_PLAUSIBLE_YEAR, last_plausible_year
from ml.options.access.file_format import NUMBERED_TIMES

_NUMBERS = (
    (
        r"[+-]?\d{1,3},\d{3}",
        "commas, before decimals or between thousands",
        "set formatConfig.decimalMark, or write numbers with a decimal point and without separators of thousands",
    ),
    (r"[+-]?\d+,\d+", "decimal commas", 'set formatConfig.decimalMark to ",", or write numbers with a decimal point'),
    (
        r"[+-]?\d{1,3}(\.\d{3})+,\d+",
        "decimal commas and points between thousands",
        "set formatConfig.decimalMark and thousandsMark, or write numbers with a decimal point alone",
    ),
    (
        r"[+-]?\d{1,3}([,'\s\u00a0\u202f]\d{3})+([.,]\d+)?",
        "separators of thousands",
        "set formatConfig.thousandsMark, or write numbers without separators of thousands",
    ),
    (r"[+-]?\d+([.,]\d+)?\s*[^\d\s.,:/-][^\d]*", "numbers with a unit", "write the number alone"),
    (r"[<>≤≥~]\s*\d.*", "limits of detection", "write the number alone, or leave the cell empty"),
    (r"0[xX][0-9a-fA-F]+", "hexadecimal numbers", "write decimal numbers"),
    (r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*", "dates", "name another column, or leave this one out"),
    (r"[−–]\s*\d.*", "numbers with a typographic minus", "write the minus as a hyphen"),  # noqa: RUF001
    (r"#.*", "errors of a spreadsheet", "export the values again, or leave the column out"),
)
WORDS = "words"
_WORDS = (
    WORDS,
    "leave the column out, name words that stand for no value in formatConfig.nullWords, or write numbers: "
    "one column of 0 and 1 for each word",
)

_DATE_TEXTS = (
    (r"\d{1,2}\.\d{1,2}\.\d{2,4}.*", "dd.mm.yyyy"),
    (r"\d{1,2}/\d{1,2}/\d{2,4}.*", "dd/mm/yyyy or mm/dd/yyyy"),
    (r"\d{1,2}-\d{1,2}-\d{2,4}.*", "dd-mm-yyyy or mm-dd-yyyy"),
    (r"\d{4}[/.]\d{1,2}[/.]\d{1,2}.*", "yyyy/mm/dd"),
    (r"\d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:.*,\d+.*", "ISO 8601 with a decimal comma"),
    (r".*(?i:jan|feb|mar|apr|mai|may|jun|jul|aug|sep|o[ck]t|nov|de[cz]).*", "dates with names of months"),
    (r"\d{1,2}:\d{2}.*", "times of day without a date"),
    (r"\d+,\d+", "numbers with a decimal comma"),
    (r"/?Date\(\d+.*", "dates of JSON"),
)
_DAY = 86_400


def cause_of_unreadable(values: Iterable[str]) -> tuple[str, str]:
    """What values that are no numbers look like, and what to do about it.

    >>> cause_of_unreadable(["2,96", "3,1"])
    ('decimal commas', 'set formatConfig.decimalMark to ",", or write numbers with a decimal point')
    >>> cause_of_unreadable(["A", "B"])[0]
    'words'
    """
    texts = [value.strip() for value in values]
    fitting = [(_share(pattern, texts), cause, advice) for pattern, cause, advice in _NUMBERS]
    share, cause, advice = max(fitting, key=lambda each: each[0])
    return (cause, advice) if share > 0.5 else _WORDS


def time_format_hint(form: str) -> str | None:
    """The key of the configuration with which a kind of numbers, as `likely_time_format` names it, is read."""
    name = next((name for name, meaning in NUMBERED_TIMES.items() if meaning == form), None)
    return None if name is None else f'set formatConfig.timestampFormat to "{name}" if they are'


def likely_time_format(values: Iterable[str]) -> str | None:
    """How values that are no plausible times seem to be written; None if that cannot be told.

    >>> likely_time_format(["45299.041667", "45299.083333"])
    'Excel serial days'
    >>> likely_time_format(["08.01.2024 00:00"])
    'dd.mm.yyyy'
    """
    texts = [value.strip() for value in values]
    numbers = [float(text) for text in texts if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text)]
    if len(numbers) > len(texts) / 2:
        return next((name for name, fits in _number_formats() if _most(fits, numbers)), None)
    return next((name for pattern, name in _DATE_TEXTS if _share(pattern, texts) > 0.5), None)


def _number_formats() -> list[tuple[str, Callable[[float], bool]]]:
    """Numbers that stand for times, each with a test of one number; the likelier of two that overlap comes first."""
    first, after = (datetime(year, 1, 1, tzinfo=UTC) for year in (FIRST_PLAUSIBLE_YEAR, last_plausible_year() + 1))
    low, high = first.timestamp(), after.timestamp()

    def since(origin: float, unit: float) -> Callable[[float], bool]:
        """Units of so many seconds since an origin, which is in seconds of Unix time."""
        return lambda number: low <= number * unit + origin < high

    return [
        ("digits in the order YYYYMMDD", _digits("%Y%m%d")),
        ("digits in the order YYYYMMDDHHMM", _digits("%Y%m%d%H%M")),
        ("digits in the order YYYYMMDDHHMMSS", _digits("%Y%m%d%H%M%S")),
        ("decimal years", lambda number: first.year <= number < after.year),
        ("Excel serial days", since(-25_569.0 * _DAY, _DAY)),
        ("modified Julian days", since(-40_587.0 * _DAY, _DAY)),
        ("MATLAB day numbers", since(-719_529.0 * _DAY, _DAY)),
        ("Julian days", since(-2_440_587.5 * _DAY, _DAY)),
        ("days since 1970", since(0, _DAY)),
        ("hours since 1970", since(0, 3_600)),
        ("minutes since 1970", since(0, 60)),
        ("seconds since 1904, as of LabVIEW", since(-2_082_844_800.0, 1)),
        ("seconds since 1900, as of NTP", since(-2_208_988_800.0, 1)),
        ("Windows FILETIME", since(-11_644_473_600.0, 1e-7)),
        (".NET ticks", since(-62_135_596_800.0, 1e-7)),
        ("a running number, or time since a start", lambda number: 0 <= number < 1e8),
    ]


def _digits(form: str) -> Callable[[float], bool]:
    def fits(number: float) -> bool:
        try:
            moment = datetime.strptime(f"{number:.0f}", form)
        except ValueError:
            return False
        return len(f"{number:.0f}") == len(f"{moment:{form}}") and moment.year >= FIRST_PLAUSIBLE_YEAR

    return fits


def _most(fits: Callable[[float], bool], numbers: Sequence[float]) -> bool:
    return sum(map(fits, numbers)) > len(numbers) / 2


def _share(pattern: str, texts: Sequence[str]) -> float:
    return sum(re.fullmatch(pattern, text) is not None for text in texts) / max(1, len(texts))
