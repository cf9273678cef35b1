"""`formatConfig`: how texts, numbers and times are written, where reading the source does not already tell."""

from __future__ import annotations

import codecs
import re
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, Section, distinct

NUMBERED_TIMES = {
    "seconds": "seconds since 1970",
    "milliseconds": "milliseconds since 1970",
    "microseconds": "microseconds since 1970",
    "nanoseconds": "nanoseconds since 1970",
    "days": "days since 1970",
    "excel": "Excel serial days",
    "filetime": "Windows FILETIME",
    "ticks": ".NET ticks",
    "matlab": "MATLAB day numbers",
    "julian": "Julian days",
    "modifiedJulian": "modified Julian days",
    "labview": "seconds since 1904, as of LabVIEW",
}
"""Names of timestampFormat that stand for numbers, with their meaning."""

_DIRECTIVES = frozenset("YymbBdHIMSfpzjaA")  # those that pandas reads as Python does

DEFAULT_TIMES = "iso"
"""ISO 8601, a type of the database or file, or a Unix epoch number whose unit follows from its size."""


def check_encoding(name: str) -> str:
    """A text encoding that Python knows."""
    try:
        text = codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        text = False
    if not text:
        raise PydanticCustomError("encoding", "is not a text encoding, such as utf-8, utf-16, cp1252 or latin-1")
    return name


def check_time_format(value: str) -> str:
    """A name, or a format that says at least year, month and day."""
    if value == DEFAULT_TIMES or value in NUMBERED_TIMES:
        return value
    needed = (("%Y", "%y"), ("%m", "%b", "%B"), ("%d",))
    known = all(directive in _DIRECTIVES for directive in re.findall("%(.?)", value.replace("%%", "")))
    whole = all(any(each in value for each in kind) for kind in needed) or ("%j" in value and "%Y" in value)
    try:
        valid = known and whole and datetime.strptime(datetime.now(UTC).strftime(value), value) is not None
    except ValueError:
        valid = False
    if not valid:
        raise PydanticCustomError(
            "time_format",
            "must be a format of strptime that says year, month and day, such as %d.%m.%Y %H:%M:%S, or one of {names}",
            {"names": ", ".join([DEFAULT_TIMES, *NUMBERED_TIMES])},
        )
    return value


TimestampFormat = Annotated[str, AfterValidator(check_time_format), Field(min_length=1, max_length=64)]


class FormatConfig(Section):
    """How the source writes what it holds; [reading-data.md](reading-data.md) says what is found out by itself."""

    encoding: Annotated[str, AfterValidator(check_encoding)] | None = Field(
        default=None,
        max_length=32,
        description="Encoding of a CSV file. Default: found out; UTF-8, UTF-16, or Windows-1252 where that is certain.",
    )
    delimiter: str | None = Field(
        default=None,
        pattern=r"^[\t ,;|:~^#]$",
        description="Character between the values of a CSV file. Default: found out; comma, semicolon, tab or bar.",
    )
    skip_rows: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Lines above the header of a CSV file."
    )
    units_row: bool | None = Field(
        default=None, description="Whether the line below the header of a CSV file names units and holds no reading."
    )
    comment_prefix: str | None = Field(
        default=None, min_length=1, max_length=8, description="Lines of a CSV file that begin so are left out."
    )
    timestamp_format: TimestampFormat | None = Field(
        default=None,
        description="How times are written: a format of strptime such as `%d/%m/%Y %H:%M:%S` or "
        "`%m/%d/%Y %I:%M %p`; for numbers " + ", ".join(f"`{name}`" for name in NUMBERED_TIMES) + "; or `iso`. "
        "Default: found out, and refused where two readings are possible.",
    )
    time_of_day_column: ColumnName | None = Field(
        default=None, description="Column with the time of day, where timestampColumn holds the date alone."
    )
    decimal_mark: Literal[".", ","] | None = Field(
        default=None, description="Mark before decimals. Default: found out, and refused where that is not certain."
    )
    thousands_mark: Literal[",", ".", "'", " "] | None = Field(
        default=None, description="Mark between thousands; a blank stands for every kind of blank."
    )
    null_words: Annotated[tuple[str, ...], Field(max_length=100), AfterValidator(distinct)] = Field(
        default=(),
        description="Texts and numbers of sensors that stand for no value, such as `-9999`; upper and lower case are "
        "one. Words that historians write, such as `Bad` or `No Data`, are known.",
    )

    @model_validator(mode="after")
    def marks_differ(self) -> Self:
        """One mark cannot mean both."""
        if self.thousands_mark is not None and self.thousands_mark == (self.decimal_mark or "."):
            raise PydanticCustomError(
                "marks",
                'thousandsMark and decimalMark must differ (decimalMark is "." where it is left out beside it)',
            )
        return self
