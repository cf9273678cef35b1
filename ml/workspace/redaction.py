"""Keeps passwords out of everything that is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"


class Redactor:
    """Replaces known secrets, and the ways they are written in URLs and JSON, by asterisks."""

    def __init__(self) -> None:
        self._spellings: list[str] = []

    def hide(self, secret: str | None) -> None:
        """From now on, let nothing through that contains `secret`; None and "" hide nothing."""
        if not secret:
            return
        spellings = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
        spellings |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        self._spellings = sorted({*self._spellings, *spellings}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """`text` without secrets."""
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it, keys included, without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value
