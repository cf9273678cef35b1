"""Which format of strptime the texts of a time column have, where one of them shows it beyond doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Int64s
from ml.cleaning import clock
from ml.cleaning.notation.times import TimeFormat

_READS = 0.9  # share of the times that a format must read
_MOST_SHAPES = 200  # a column with more shapes of text holds no times of a few formats
_MOST_CANDIDATES = 12
_TIME = re.compile(
    r"(?P<date>\S.*?)"
    r"(?:(?P<gap>T|,? +)"
    r"(?:\d{1,2}(?P<sep>[:.])\d\d(?P<second>(?P=sep)\d\d(?:(?P<dot>[.,:])\d{1,9})?)?|(?P<digits>\d{6}))"
    r"(?P<noon> ?[AaPp][Mm])?(?P<zone> ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)?"
)
_NUMERIC = re.compile(r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})")
_NAMED = (
    (re.compile(r"\d{1,2}([-./ ])([A-Za-z]{3,9})\1(\d{4}|\d{2})"), "%d{0}{1}{0}{2}"),
    (re.compile(r"()([A-Za-z]{3,9}) \d{1,2},? (\d{4})"), "{1} %d{3} {2}"),
)
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_WEEKDAY = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(,?) ")


@dataclass(frozen=True)
class TwoReadings:
    """Formats of a date that all read every time, so that nothing tells which one is right."""

    formats: tuple[TimeFormat, ...]
    example: str


@dataclass
class DateFormats:
    """Formats that the texts of a column may have, with what speaks for each; texts are taken batch by batch.

    Without texts of dates, or with those that `ml.cleaning.clock` reads itself, `result` is the default.
    """

    zone: str
    candidates: list[TimeFormat] = field(default_factory=list)
    texts: int = 0
    known: int = 0
    """Texts that need no format."""
    read: list[int] = field(default_factory=list)
    """Texts that each candidate reads."""
    alone: list[list[int]] = field(default_factory=list)
    """Texts that one candidate reads, in rows, and another does not."""
    example: str = ""

    def add(self, column: pa.Array) -> None:
        """Take texts; the first ones name the candidates."""
        found = pc.value_counts(column.drop_null())
        texts, counts = found.field("values"), found.field("counts").to_numpy(zero_copy_only=False)
        if not len(texts):
            return
        time = clock.to_microseconds(texts, self.zone, "")
        usable = (time != clock.UNREADABLE) & ~clock.implausible(time, texts)
        self.texts += int(counts.sum())
        self.known += int(counts[usable].sum())
        if self.known >= _READS * self.texts:
            return
        if not self.candidates:
            self.candidates = _candidates(texts.to_pylist())
            self.read = [0] * len(self.candidates)
            self.alone = [[0] * len(self.candidates) for _ in self.candidates]
        self._weigh(texts, counts)

    def _weigh(self, texts: pa.Array, counts: Int64s) -> None:
        reads = [self._reads(form, texts) for form in self.candidates]
        for one, mine in enumerate(reads):
            self.read[one] += int(counts[mine].sum())
            for other, its in enumerate(reads):
                self.alone[one][other] += int(counts[mine & ~its].sum())
        if not self.example and reads:
            several = np.flatnonzero(np.sum(reads, axis=0) > 1)
            self.example = texts[int(several[0])].as_py() if len(several) else ""

    def _reads(self, form: TimeFormat, texts: pa.Array) -> Bools:
        time = form.to_microseconds(texts, self.zone, "")
        usable: Bools = (time != clock.UNREADABLE) & ~clock.outside_plausible_years(time)
        return usable

    def result(self) -> TimeFormat | TwoReadings:
        """The format; several if nothing decides; the default where none fits, or some speak against each other."""
        if self.known >= _READS * self.texts or not self.candidates:
            return TimeFormat()
        best = max(range(len(self.candidates)), key=lambda one: self.read[one])
        if self.read[best] < _READS * self.texts:
            return TimeFormat()
        rivals = [
            one
            for one in range(len(self.candidates))
            if one != best and self.read[one] >= _READS * self.texts and not _customary(self.candidates, best, one)
        ]
        if any(self.alone[one][best] for one in rivals):
            return TimeFormat()
        equal = [one for one in rivals if not self.alone[best][one]]
        if equal:
            return TwoReadings(tuple(self.candidates[one] for one in (best, *equal)), self.example)
        return self.candidates[best]


def _customary(candidates: list[TimeFormat], best: int, other: int) -> bool:
    """Whether the other format is the one that nobody writes: month before day, with points between."""
    return candidates[best].name.startswith("%d.%m.") and candidates[other].name.startswith("%m.%d.")


def _candidates(texts: list[str]) -> list[TimeFormat]:
    """Formats by their dates, each with those of times of day; the one of most texts first."""
    shapes: dict[str, str] = {}
    for text in texts:
        shapes.setdefault(re.sub(r"[A-Za-z]+", "a", re.sub(r"\d", "9", text)), text)
        if len(shapes) > _MOST_SHAPES:
            return []
    whole: dict[str, list[str]] = {}
    for text in shapes.values():
        if (parts := _TIME.fullmatch(text)) is None:
            continue
        for date in _dates(parts["date"]):
            forms = whole.setdefault(date, [])
            forms += [form for form in _with_time(date, parts) if form not in forms]
    for date, forms in whole.items():
        forms.sort(key=date.__eq__)  # those with a time of day first
        forms += [form.replace("%b", "%B") for form in forms if "%b" in form]  # May is both
    return [TimeFormat(forms[0], tuple(forms[1:])) for forms in list(whole.values())[:_MOST_CANDIDATES]]


def _dates(text: str) -> Iterator[str]:
    """Formats of the date in `text`, the customary one first."""
    if weekday := _WEEKDAY.match(text):
        for form in _dates(text[weekday.end() :]):
            yield f"%a{weekday[1]} {form}"
        return
    if text.isdecimal() and len(text) in _DIGITS:
        yield _DIGITS[len(text)]
    elif numeric := _NUMERIC.fullmatch(text):
        first, mark, last = len(numeric[1]), numeric[2], len(numeric[4])
        if first == 4:
            yield mark.join(("%Y", "%m", "%d"))
            return
        if first > 2 or last not in (2, 4):
            return
        year = "%Y" if last == 4 else "%y"
        yield mark.join(("%d", "%m", year))
        yield mark.join(("%m", "%d", year))
        if first == last == 2 and mark != ".":
            yield mark.join(("%y", "%m", "%d"))
    else:
        for pattern, form in _NAMED:
            if named := pattern.fullmatch(text):
                year = "%Y" if len(named[3]) == 4 else "%y"
                yield form.format(named[1], "%b", year, "," if "," in text else "")


def _with_time(date: str, parts: re.Match[str]) -> Iterator[str]:
    """The format of a whole text, and those of the same with seconds, with fractions and without a time of day."""
    if parts["gap"] is None:
        yield date
        return
    gap, zone = parts["gap"], _zone(parts["zone"])
    if parts["digits"]:
        yield f"{date}{gap}%H%M%S{zone}"
        return
    noon = "" if parts["noon"] is None else "%p" if len(parts["noon"]) == 2 else " %p"
    hour, mark, dot = "%I" if noon else "%H", parts["sep"], parts["dot"] or "."
    minutes, seconds = f"{hour}{mark}%M", f"{hour}{mark}%M{mark}%S"
    usual = [minutes, seconds, f"{seconds}{dot}%f"]
    own = usual[2 if parts["dot"] else 1 if parts["second"] else 0]
    for form in (own, *(each for each in usual if each != own)):
        yield f"{date}{gap}{form}{noon}{zone}"
    yield date  # spreadsheets leave out midnight


def _zone(text: str | None) -> str:
    if text is None:
        return ""
    word = text.strip()
    return text if word in ("UTC", "GMT", "Z") else f"{' ' if text.startswith(' ') else ''}%z"
