"""Which mark stands before decimals and which between thousands, and texts of numbers rewritten with a point.

A value such as ``1,234`` can be read in two ways. What decides is the rest of its column, then the rest of the source:
``2,96`` can only have decimals, ``1,234,567`` and ``1'234`` only thousands. Where nothing decides, nothing is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools
from ml.cleaning.parsing import clean_text

BLANKS = " \u00a0\u202f"
MARKED = r"\d[,'" + BLANKS + r"]\d|^\s*[+-]?,\d|\d\.\d+\.\d"
"""A text that a number with a decimal point and without thousands would not be."""

NUMBER_LIKE = r"^[+-]?[\d.,'" + BLANKS + r"]*\d[\d.,'" + BLANKS + r"]*([eE][+-]?\d+)?$"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_CERTAIN = 0.9  # share of the values with a certain mark that must have the same; the others are unreadable then
_ODD = 0.01  # share of a column's numbers that may be undecided without the column being so
_MARKS = (".", ",")
_GROUPS = (".", ",", "'", " ")


@dataclass(frozen=True)
class NumberFormat:
    """Marks of the numbers in a column."""

    decimal: str = "."
    thousands: str | None = None

    @property
    def is_default(self) -> bool:
        """Whether numbers are written as computers do."""
        return self == NumberFormat()

    def with_point(self, column: pa.Array) -> tuple[pa.Array, Bools]:
        """Texts with a decimal point and without thousands, and which ones this format does not fit.

        Words stay as they are. Of shape (n_rows,) both.
        """
        text = clean_text(column)
        fits = pc.fill_null(pc.match_substring_regex(text, self._pattern()), False)
        like = pc.fill_null(pc.match_substring_regex(text, NUMBER_LIKE), False)
        number = text
        if self.thousands is not None:
            number = pc.replace_substring_regex(number, _class_of(self.thousands), "")
        if self.decimal != ".":
            number = pc.replace_substring(number, self.decimal, ".")
        foreign = pc.and_(like, pc.invert(fits)).to_numpy(zero_copy_only=False)
        return pc.if_else(fits, number, text), foreign

    def _pattern(self) -> str:
        mark = re.escape(self.decimal)
        tail = f"(?:{mark}\\d*)?{_EXPONENT}"
        plain = rf"\d+{tail}|{mark}\d+{_EXPONENT}"
        if self.thousands is None:
            return f"^[+-]?(?:{plain})$"
        return f"^[+-]?(?:{plain}|\\d{{1,3}}(?:{_class_of(self.thousands)}\\d{{3}})+{tail})$"


@dataclass
class Evidence:
    """What the values of one column say about its marks, by mark and number of values."""

    decimals: Counter[str] = field(default_factory=Counter)
    """Values in which a mark can only stand before decimals."""
    groups: Counter[str] = field(default_factory=Counter)
    """Values in which a mark can only stand between thousands."""
    either: Counter[str] = field(default_factory=Counter)
    """Values such as 1,234."""
    hundreds: int = 0
    """Whole numbers of three digits, which a column with three decimals does not have."""
    numbers: int = 0
    """Values that are numbers in some way."""
    example: str = ""
    """A value that can be read in two ways."""

    def add(self, column: pa.Array) -> None:
        """Take a column of text, of shape (n_rows,)."""
        text = pc.utf8_ltrim(pc.replace_substring_regex(clean_text(column), f"[{BLANKS}]", " "), "+-")
        self.numbers += _count(text, NUMBER_LIKE)
        self.hundreds += _count(text, r"^[1-9]\d\d$")
        for mark, other in ((".", ","), (",", ".")):
            here, there = re.escape(mark), re.escape(other)
            either = _matches(text, rf"^[1-9]\d{{0,2}}{here}\d{{3}}$")
            decimal = _matches(text, rf"^(\d+{here}\d*|{here}\d+){_EXPONENT}$")
            self.either[mark] += _true(either)
            self.decimals[mark] += _true(pc.and_not(decimal, either))
            both = _count(text, rf"^[1-9]\d{{0,2}}({here}\d{{3}})+{there}\d+$")
            self.groups[mark] += both + _count(text, rf"^[1-9]\d{{0,2}}({here}\d{{3}}){{2,}}$")
            self.decimals[other] += both
            if not self.example and _true(either):
                self.example = text.filter(either)[0].as_py()
        for mark in ("'", " "):
            self.groups[mark] += _count(text, rf"^[1-9]\d{{0,2}}({mark}\d{{3}})+([.,]\d*)?$")
            for decimal_mark in _MARKS:
                tail = re.escape(decimal_mark)
                self.decimals[decimal_mark] += _count(text, rf"^[1-9]\d{{0,2}}({mark}\d{{3}})+{tail}\d*$")


def _matches(text: pa.Array, pattern: str) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(text, pattern), False)


def _true(mask: pa.Array) -> int:
    return int(pc.sum(mask, min_count=0).as_py())


def _count(text: pa.Array, pattern: str) -> int:
    return _true(_matches(text, pattern))


def formats_of(columns: Mapping[str, Evidence]) -> tuple[dict[str, NumberFormat], list[str]]:
    """The format of each column, and the columns that can be read in two ways."""
    decimal = _leading(_sum(each.decimals for each in columns.values()))
    groups = _sum(each.groups for each in columns.values())
    formats, undecided = {}, []
    for name, evidence in columns.items():
        found = _format(evidence, decimal, groups)
        if found is None:
            undecided.append(name)
        elif not found.is_default:
            formats[name] = found
    return formats, undecided


def _format(evidence: Evidence, source_decimal: str | None, source_groups: Counter[str]) -> NumberFormat | None:
    decimal = _leading(evidence.decimals)
    if decimal is None and evidence.decimals.total():
        return NumberFormat()  # of several forms: what a computer does not write is unreadable, and counted
    grouped = _grouping(evidence.groups, decimal)
    if decimal is None:
        if grouped is not None:
            decimal = _other(grouped) if grouped in _MARKS else source_decimal or "."
        else:
            decimal = source_decimal
    either = [mark for mark in _MARKS if evidence.either[mark]]
    for mark in either:
        if mark == decimal and not _leading(evidence.decimals) and source_groups[mark]:
            return None
        if mark in (decimal, grouped):
            continue
        if decimal is None and mark == ".":
            decimal = "."
            continue
        if evidence.either[mark] <= _ODD * evidence.numbers:
            continue  # unreadable, and counted
        inside = bool(_leading(evidence.decimals)) or evidence.hundreds > 0 or source_groups[mark] > 0
        if not inside or (grouped is not None and grouped != mark):
            return None
        grouped, decimal = mark, decimal or _other(mark)
    if grouped is None and decimal is not None:
        grouped = _grouping(source_groups, decimal)
    return NumberFormat(decimal or ".", grouped)


def _grouping(groups: Counter[str], decimal: str | None) -> str | None:
    """The mark between thousands, if it is one and not the decimal mark."""
    found = [mark for mark in _GROUPS if groups[mark] and mark != decimal]
    return found[0] if len(found) == 1 else None


def _leading(marks: Counter[str]) -> str | None:
    """The mark of nearly all values."""
    if not marks.total():
        return None
    mark, count = marks.most_common(1)[0]
    return mark if count >= _CERTAIN * marks.total() else None


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _other(mark: str) -> str:
    return "," if mark == "." else "."


def _class_of(mark: str) -> str:
    return f"[{BLANKS}]" if mark == " " else re.escape(mark)
