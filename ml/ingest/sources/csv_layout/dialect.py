"""How a CSV file is laid out: encoding, separator, lines above the header, units below it, comments and a footer.

All of it is found out from the first lines, unless the configuration says it, and only what leaves no doubt: a file
whose first line is its header is read as it always was.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ml.errors import DataError
from ml.options.access.file_format import FormatConfig

SAMPLE_LINES = 200
SEPARATORS = ",;\t|"
UTF8 = "utf8"  # as Arrow names what it reads without recoding

_FIELD = "dataSource.path"
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WINDOWS = "cp1252"
# Letters of western Europe and signs of units. In other encodings, words of other alphabets become long runs of them.
_PLAUSIBLE = re.compile(
    r"[\x00-\x7f\u20ac\u2013\u2014\u2018-\u201e\u2022\u2026\u2030\xa0\xa7\xa9-\xad\xae\xb0-\xb5\xb7\xb9\xba-\xbe\xc0-\xfd]*"
)
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]{4}")
_FEW_ZEROS = 0.1
_NUMBER = re.compile(r"\s*[+-]?[\d.,']*\d[\d.,']*([eE][+-]?\d+)?\s*")
_DATED = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{1,2}:\d{2}")
_MOST_ROWS_BELOW = 3  # lines between header and readings: units, descriptions, kinds
_MOSTLY = 0.8  # share of the sampled lines that must have the same number of values
_NAMED_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
_COMMENTS = ("#", "//")


@dataclass(frozen=True)
class Dialect:
    """Where the header and the first reading of a file are."""

    separator: str  # between values
    columns: tuple[str, ...]  # names in the header
    skipped: int = 1  # physical lines before the first reading, the header included
    open_end: bool = False  # whether lines of readings end with a separator and the header does not
    comment: str | None = None  # how lines begin that hold no reading
    units: dict[str, str] = field(default_factory=dict)  # texts below the names, by column
    found: dict[str, Any] = field(default_factory=dict)  # what was found out, for the data summary

    @property
    def is_plain(self) -> bool:
        """Whether the header is the first line, and readings as wide as it follow at once."""
        return self.skipped == 1 and not self.open_end and self.comment is None

    @property
    def names(self) -> list[str]:
        """A name for every value of a line."""
        return [*self.columns, ""] if self.open_end else list(self.columns)


def encoding_of(start: bytes, where: str, told: str | None, *, complete: bool) -> tuple[str, dict[str, Any]]:
    """The encoding of a file that begins with `start`, and what was found out.

    Raises DataError if it is none that can be told for certain, or no text.
    """
    if told is not None:
        name = codecs.lookup(told).name
        return (UTF8 if name in ("utf-8", "utf-8-sig", "ascii") else name), {}
    if start[:4] in _UTF32_MARKS:
        raise DataError(f"{where} is UTF-32 text", field=_FIELD, hint="save it as UTF-8 text")
    if start[:2] in _UTF16_MARKS:
        return "utf-16", {"encoding": "utf-16"}
    if b"\0" in start:
        return _without_mark(start, where)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start, final=complete)
    except UnicodeDecodeError as failure:
        line = len((start[: failure.start] + b"?").splitlines())
        return _windows(start, where, line)
    return UTF8, {}


def _without_mark(start: bytes, where: str) -> tuple[str, dict[str, Any]]:
    """UTF-16 without a byte order mark, by which halves of the characters are zero."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    half = max(1, len(start) // 2)
    if min(even, odd) <= _FEW_ZEROS * half and max(even, odd) > (1 - 2 * _FEW_ZEROS) * half:
        name = "utf-16-le" if odd > even else "utf-16-be"
        return name, {"encoding": name}
    raise DataError(
        f"{where} holds zero bytes: it is UTF-16 text without a byte order mark, or no text",
        field=_FIELD,
        hint="save it as UTF-8 text, or set formatConfig.encoding",
    )


def _windows(start: bytes, where: str, line: int) -> tuple[str, dict[str, Any]]:
    with suppress(UnicodeDecodeError):
        text = start.decode(_WINDOWS)
        if _PLAUSIBLE.fullmatch(text) and not _FOREIGN_RUN.search(text):
            return _WINDOWS, {"encoding": _WINDOWS}
    raise DataError(
        f"{where} is not UTF-8 text at line {line}, and nothing tells for certain which other encoding it has",
        field="formatConfig.encoding",
        hint="set formatConfig.encoding, such as cp1251, gb18030 or shift_jis, or save it as UTF-8",
    )


def dialect_of(lines: Sequence[str], form: FormatConfig) -> Dialect:
    """The layout of a file by its first lines; `columns` is empty without a header."""
    lines = [line.rstrip("\r\n") for line in lines]
    comment = form.comment_prefix or _comment_in(lines)
    if comment is not None:
        lines = [line for line in lines if not line.startswith(comment)]
    if form.skip_rows is not None:
        return _below(lines, form.skip_rows, form.delimiter, comment, form)
    above = len(list(takewhile(_is_above, lines)))
    named = _NAMED_SEPARATOR.fullmatch(lines[above - 1].strip()) if above else None
    delimiter = form.delimiter or (named[1] if named else None)
    form = form.model_copy(update={"delimiter": delimiter})  # the file itself says it
    first = _below(lines, above, delimiter, comment, form)
    if _is_header_of(lines[above:], first):
        return first
    further = _header_further_down(lines, delimiter)
    return first if further is None else _below(lines, *further, comment, form)


def _comment_in(lines: Sequence[str]) -> str | None:
    """A usual mark with which lines begin that are not as wide as the others."""
    for mark in _COMMENTS:
        marked = [line for line in lines if line.startswith(mark)]
        others = [line for line in lines if not line.startswith(mark)]
        for separator in SEPARATORS if marked and len(others) > 1 else ():
            width = _widths(others, separator).most_common(1)[0][0]
            if width > 1 and not any(len(_values(line, separator)) == width for line in marked):
                return mark
    return None


def _is_above(line: str) -> bool:
    """Whether a line at the top can be no header."""
    return not line.strip() or bool(_NAMED_SEPARATOR.fullmatch(line.strip()))


def _values(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _below(lines: Sequence[str], above: int, delimiter: str | None, comment: str | None, form: FormatConfig) -> Dialect:
    """The layout with the header behind so many lines."""
    header = lines[above] if above < len(lines) else ""
    separator = delimiter or max(SEPARATORS, key=header.count)
    names = _numbered(_values(header, separator))
    rows = list(csv.reader(lines[above + 1 :], delimiter=separator))
    rows_of_units = _rows_below([row for row in rows if row], names, form.units_row)
    units: dict[str, str] = {}
    skipped, left = above + 1, rows_of_units
    while left and rows:
        row = rows.pop(0)
        skipped += 1
        left -= bool(row)
        units = units or {name: text.strip() for name, text in zip(names, row, strict=False) if text.strip()}
    open_end = _has_open_end([row for row in rows if row], len(names))
    found = {
        "commentPrefix": comment if form.comment_prefix is None else None,
        "skipRows": above if form.skip_rows is None else 0,
        "delimiter": separator if header and form.delimiter is None and separator != "," else None,
        "unitsRow": bool(rows_of_units) and form.units_row is None,
        "openEnd": open_end,
    }
    found = {key: value for key, value in found.items() if value}
    return Dialect(separator, tuple(names), skipped, open_end, comment, units, found)


def _numbered(names: list[str]) -> list[str]:
    """Names, with numbers for columns that have none, if there are several."""
    nameless = names.count("") > 1
    return [f"column {place}" if nameless and not name else name for place, name in enumerate(names, 1)]


def _has_open_end(rows: Sequence[Sequence[str]], width: int) -> bool:
    wider = sum(len(row) == width + 1 and not row[-1].strip() for row in rows)
    return wider > _MOSTLY * len(rows) and not any(len(row) == width for row in rows[:-1])


def _rows_below(rows: Sequence[Sequence[str]], names: Sequence[str], told: bool | None) -> int:
    """How many lines below the header hold no reading.

    Such a line has no number and no date in any cell, so nothing could be read of it; and the lines after it have
    numbers or dates in columns in which it has words.
    """
    if told is not None:
        return int(told)
    for below in range(_MOST_ROWS_BELOW, 0, -1):
        heads, after = rows[:below], [row for row in rows[below : below + 10] if len(row) >= len(names)]
        if len(after) < 2 or any(len(row) < len(names) or any(map(_is_value, row)) for row in heads):
            continue
        worded = [place for place in range(len(names)) if any(row[place].strip() for row in heads)]
        valued = all(any(_is_value(row[place]) for place in worded) for row in after)
        if worded and valued and all(any(map(_DATED.search, row)) or _NUMBER.fullmatch(row[0]) for row in after):
            return below
    return 0


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATED.search(cell))


def _is_header_of(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether the lines after the first are as wide as it."""
    widths = _widths(lines[1:], dialect.separator)
    if not widths or (width := widths.most_common(1)[0][0]) < 2:
        return True
    padded = sum(bool(name.strip()) for name in _values(lines[0], dialect.separator)) == 1 and width > 2
    return width in (len(dialect.columns), len(dialect.columns) + 1) and not padded


def _widths(lines: Sequence[str], separator: str) -> Counter[int]:
    return Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)


def _header_further_down(lines: Sequence[str], delimiter: str | None) -> tuple[int, str] | None:
    """The first line that is as wide as nearly all lines after it and has a word in every cell."""
    best: tuple[float, int, str] | None = None
    for separator in (delimiter,) if delimiter else SEPARATORS:
        for place, line in enumerate(lines[:-2]):
            cells = _values(line, separator)
            filled = sum(bool(cell.strip()) for cell in cells)
            if len(cells) < 2 or any(map(_is_value, cells)) or filled < len(cells) - 1:
                continue
            widths = _widths(lines[place + 1 :], separator)
            alike = sum(widths[width] for width in (len(cells), len(cells) + 1)) / max(1, widths.total())
            if alike >= _MOSTLY:
                score = (alike + len(cells) / 1000, place, separator)
                best = score if best is None or score[0] > best[0] else best
                break
    return None if best is None else best[1:]
