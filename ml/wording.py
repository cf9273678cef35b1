"""Numbers and names in the words of the people who read the report."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

UNDEFINED = "n/a"
NO_BREAK = "\u00a0"

_ISO_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")

# Seconds of a unit, its name, and from how many of it on it is used: "31 h" says more than "1.3 days".
_UNITS = ((86_400, "days", 2), (3_600, "h", 1), (60, "min", 2), (1, "s", 0))
_SMALLEST_RATE = 0.005  # below this two decimals would read as a false zero
_RARE = 0.01  # false alarms per asset and day: below it a year says more
_DAYS_PER_YEAR = 365
_MAX_DECIMALS = 6
_FINEST_SHARE = 0.0001
_MOST_NAMES = 5


def duration(seconds: float | None) -> str:
    """A duration in the unit that people would use.

    >>> duration(111_600), duration(45), duration(0), duration(5400), duration(86_400), duration(259_200)
    ('31 h', '45 s', '0 s', '1.5 h', '24 h', '3 days')
    """
    if seconds is None:
        return UNDEFINED
    size, unit = next((size, unit) for size, unit, least in _UNITS if abs(seconds) >= least * size)
    amount = seconds / size
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}" if abs(amount) < 10 else f"{amount:.0f} {unit}"


def rate(value: float | None) -> str:
    """A small rate with two decimals; never a zero that is not one.

    >>> rate(0.041), rate(0.0), rate(0.0001), rate(12.34)
    ('0.04', '0', '< 0.01', '12.34')
    """
    if value is None:
        return UNDEFINED
    if value == 0:
        return "0"
    return "< 0.01" if value < _SMALLEST_RATE else f"{value:.2f}"


def false_alarm_rate(per_asset_day: float | None) -> str:
    """How often a machine calls for nothing, in the time that makes a number people can picture.

    >>> false_alarm_rate(0.166), false_alarm_rate(0.004), false_alarm_rate(0.0)
    ('0.17 false alarms per asset and day', '1.46 false alarms per asset and year', 'no false alarm')
    """
    if per_asset_day == 0:
        return "no false alarm"
    value, unit = rate_and_unit(per_asset_day)
    return f"{value} false alarms {unit}"


def rate_and_unit(per_asset_day: float | None) -> tuple[str, str]:
    """A rate per asset and day, and its unit: the year where a day is too short.

    >>> rate_and_unit(0.166), rate_and_unit(0.004)
    (('0.17', 'per asset and day'), ('1.46', 'per asset and year'))
    """
    if per_asset_day is not None and 0 < per_asset_day < _RARE:
        return rate(per_asset_day * _DAYS_PER_YEAR), "per asset and year"
    return rate(per_asset_day), "per asset and day"


def rate_range(low: float, high: float) -> str:
    """Two rates per asset and day in one unit.

    >>> rate_range(0.1, 0.25), rate_range(0.0, 0.002)
    ('0.10 to 0.25 per asset and day', '0 to 0.73 per asset and year')
    """
    _, unit = rate_and_unit(high)
    times = _DAYS_PER_YEAR if unit.endswith("year") else 1
    return _between(rate(low * times), rate(high * times)) + f" {unit}"


def duration_range(low: float, high: float) -> str:
    """Two durations in one unit, with as many decimals as tell them apart.

    >>> duration_range(72_000, 129_600), duration_range(172_000, 172_800), duration_range(86_400, 86_400)
    ('20 to 36 h', '47.8 to 48 h', 'about 24 h')
    """
    read_by = low if 10 * low >= high else high
    size, unit = next((size, unit) for size, unit, least in _UNITS if abs(read_by) >= least * size)
    for decimals in (0, 1):
        first, last = (f"{seconds / size:.{decimals}f}".removesuffix(".0") for seconds in (low, high))
        if first != last and abs(read_by) >= 10 * size:
            break
    return f"{_between(first, last)} {unit}"


def percent_range(low: float, high: float) -> str:
    """Two shares."""
    return _between(percent(low), percent(high))


def _between(low: str, high: str) -> str:
    """An interval; a single value where both ends read the same."""
    return f"about {low}" if low == high else f"{low} to {high}"


def score(value: float | None) -> str:
    """A score between 0 and 1 (or -1 and 1) with three decimals."""
    return UNDEFINED if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A share as a percentage, joined by a no-break space; never a rounded 0 % or 100 %.

    >>> percent(0.256).replace(NO_BREAK, " "), percent(0.05).replace(NO_BREAK, " ")
    ('25.6 %', '5 %')
    >>> percent(0.00002).replace(NO_BREAK, " "), percent(0.9999999).replace(NO_BREAK, " ")
    ('< 0.01 %', '> 99.99 %')
    """
    if share is None:
        return UNDEFINED
    if 0 < share < _FINEST_SHARE:
        return f"<{NO_BREAK}0.01{NO_BREAK}%"
    if 1 - _FINEST_SHARE < share < 1:
        return f">{NO_BREAK}99.99{NO_BREAK}%"
    if math.isclose(100 * share, round(100 * share), abs_tol=1e-9):
        return f"{100 * share:.0f}{NO_BREAK}%"
    decimals = 2 if share < 0.01 or share > 0.99 else 1
    return f"{100 * share:.{decimals}f}{NO_BREAK}%"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return UNDEFINED if value is None else f"{value:,.0f}"


def plural(value: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "failure"), plural(1200, "row")
    ('1 failure', '1,200 rows')
    """
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def listed(names: list[str]) -> str:
    """Names for a sentence; of many the first ones.

    >>> listed(["a", "b", "c"]), listed(list("abcdefgh"))
    ('a, b and c', 'a, b, c, d, e and 3 more')
    """
    shown = names if len(names) <= _MOST_NAMES else [*names[:_MOST_NAMES], f"{len(names) - _MOST_NAMES} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def day(moment: datetime | None) -> str:
    """A moment in the report's one time zone, to the minute."""
    return UNDEFINED if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def beside_limit(value: float, limit: float, decimals: int = 3) -> str:
    """A value with as many decimals as tell it from the limit, and from 0.

    >>> beside_limit(0.79996, 0.8), beside_limit(0.912, 0.8), beside_limit(0.0002, 1)
    ('0.79996', '0.912', '0.0002')
    """
    others = {number for number in (limit, 0.0) if number != value}  # what it must not be taken for
    while decimals < _MAX_DECIMALS and f"{value:.{decimals}f}" in {f"{number:.{decimals}f}" for number in others}:
        decimals += 1
    return f"{value:.{decimals}f}"


def title(key: str) -> str:
    """A JSON key as a heading; without the unit of a duration, which `plain` words by itself.

    >>> title("missingShare"), title("config_digest"), title("maxGapSeconds")
    ('Missing share', 'Config digest', 'Max gap')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", key).lower().removesuffix(" seconds")
    return words[:1].upper() + words[1:]


def plain(key: str, value: Any) -> str:
    """A value of a free-form section, worded by its key and type."""
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _plain_number(key, value)
    if isinstance(value, list | tuple):
        return ", ".join(plain("", item) for item in value)
    text = str(value)
    return f"{text[:10]} {text[11:16]}" if _ISO_MOMENT.match(text) else text


def _plain_number(key: str, value: float) -> str:
    lowered = key.lower()
    if lowered.endswith("seconds"):
        return duration(value)
    if lowered.endswith(("share", "positiverate", "recall", "precision", "inalarm")):
        return percent(value)
    if lowered.endswith(("seed", "version")):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return count(value)
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
