"""Lines of a CSV file that hold no reading: comments anywhere, and a footer at its end."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence

_BLOCK = 1 << 20  # characters
_MOST_FOOTER_LINES = 20
_MOST_FOOTER_VALUES = 2
_READING = re.compile(r"[\"']?\d+([-./:T,;\t]|$)")  # begins as a time or a number does: a reading that was cut off
_SENTENCE = re.compile(r"\S\s+\S|[()\[\]:]|(?i:^\W*(total|eof|end|sum|summe|ende|fin|done)\b)")


def footer_of(lines: Sequence[str], separator: str, width: int) -> frozenset[str]:
    """Those of the last lines that are not as wide as readings and read like a note.

    A line that may be a reading of which the end is missing is none.
    """
    footer: list[str] = []
    for line in reversed(lines):
        text = line.strip()
        values = next(csv.reader([text], delimiter=separator), [])
        if not text:
            continue
        few = sum(bool(value.strip()) for value in values) <= _MOST_FOOTER_VALUES
        if len(values) == width or not few or _READING.match(text) or not _SENTENCE.search(text):
            break
        footer.append(text)
        if len(footer) == _MOST_FOOTER_LINES:
            break
    return frozenset(footer)


class WithoutComments(io.RawIOBase):
    """Text as UTF-8 bytes, without the lines that begin with a mark; `count` is told how many."""

    def __init__(self, text: io.TextIOWrapper, mark: str, count: Callable[[int], None]) -> None:
        self._text = text
        self._line = re.compile(rf"(?m:^){re.escape(mark)}[^\r\n]*(?:\r\n?|\n|\Z)")
        self._count = count
        self._rest = ""
        self._bytes = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """As of any file."""
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not len(self._bytes):
            if not (block := self._next()):
                return 0
            self._bytes = memoryview(block)
        size = min(len(target), len(self._bytes))
        target[:size], self._bytes = self._bytes[:size], self._bytes[size:]
        return size

    def close(self) -> None:
        """Close the file, too."""
        self._text.close()
        super().close()

    def _next(self) -> bytes:
        """The next whole lines that hold no comment alone; nothing at the end."""
        while True:
            block = self._text.read(_BLOCK)
            whole = self._rest + block
            end = len(whole) if not block else max(whole.rfind("\n"), whole.rfind("\r", 0, len(whole) - 1)) + 1
            lines, self._rest = whole[:end], whole[end:]
            kept, comments = self._line.subn("", lines)
            self._count(comments)
            if kept or not block:
                return kept.encode("utf-8", "surrogateescape")
