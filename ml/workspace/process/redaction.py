"""Keeps passwords out of everything that is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORT = 8  # characters; a shorter secret is also a part of harmless words
# Where a word of a sentence or a value in an address begins and ends; not within words, paths and dates.
_BEFORE = r"""(?:(?<=[\s'"`=:({\[<,;])|(?<!.))"""
_AFTER = r"""(?=[\s'"`@,;:&?)}\]>]|\.(?:\s|$)|$)"""


class Redactor:
    """Replaces known secrets, and the ways they are written in URLs, JSON and messages, by asterisks.

    A secret of fewer than 8 characters is replaced where it stands by itself, in a text that says more than it: a
    password "a" must not take letters out of words and paths. Keys are never changed, for callers rely on them.
    """

    def __init__(self) -> None:
        self._spellings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def hide(self, secret: str | None) -> None:
        """From now on, let nothing through that contains `secret`; None and "" hide nothing."""
        if not secret:
            return
        self._spellings |= {spelling for spelling in _spellings(secret) if spelling}
        longest_first = sorted(self._spellings, key=lambda spelling: (-len(spelling), spelling))
        self._pattern = re.compile("|".join(map(_wherever_it_may_stand, longest_first)))

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if self._pattern is None or (len(text) < _SHORT and text in self._spellings):
            return text
        return self._pattern.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it, but for keys, without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value


def _wherever_it_may_stand(spelling: str) -> str:
    written = re.escape(spelling)
    return written if len(spelling) >= _SHORT else f"{_BEFORE}{written}{_AFTER}"


def _spellings(secret: str) -> set[str]:
    """`secret` as it is, as URLs, connection strings and SQL write it, and each of these as JSON and Python do."""
    encoded = {quote(secret), quote(secret, safe=""), quote(secret, safe=" +"), quote_plus(secret)}
    encoded |= {re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), text) for text in encoded}
    slashed = secret.replace("\\", "\\\\")
    escaped = {slashed, slashed.replace("'", "\\'"), secret.replace("'", "''"), slashed.replace("'", "''")}
    plain = {secret, *encoded, *escaped}
    written = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in plain for ascii_only in (True, False)}
    return plain | written | {repr(text)[1:-1] for text in plain} | {ascii(text)[1:-1] for text in plain}
