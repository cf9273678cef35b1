"""JSON as a configuration may be written: no key twice, no NaN, and errors that never quote the text."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import Any

from ml.errors import ConfigError
from ml.options.base import field_path, shortened

MAX_DEPTH = 20  # lists and objects within each other; the keys need eight
MAX_ENTRIES = 5_000  # of one list or object, such as columns: checking a hundred thousand of them takes minutes
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


def parse_json(text: str, what: str) -> Any:
    """The value that `text` is.

    Raises ConfigError if it is not JSON, holds a key twice, NaN or an infinity, or a whole number of absurd length.

    Parameters
    ----------
    what
        What the text is, for messages: ``"the configuration"``.
    """
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        problem = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise ConfigError(f"{what} is not valid JSON{where}: {problem}") from None
    except ValueError:  # of Python's limit on the digits of a whole number
        raise ConfigError(
            f"{what} holds a whole number of more than {sys.get_int_max_str_digits():,} digits",
            hint="put identifiers in quotes, such as organizationId and version",
        ) from None


def parse_part(text: str, what: str) -> Any:
    """As `parse_json`, of a part of a configuration that is JSON text itself; held to the limits of the whole."""
    value = parse_json(text, what)
    refuse_unusual(value, (what,))
    return value


def refuse_unusual(data: Any, place: tuple[str | int, ...] = ()) -> None:
    """Raise ConfigError for more than `MAX_ENTRIES` in one list or object, deep nesting, or half a character."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [(place, data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            _refuse_many(place, len(value))
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*place, key), part) for key, part in parts]
        last = place[-1] if place else ""
        if not (_is_text(value) and _is_text(last)):
            raise ConfigError(
                f"{field_path(place[:-1]) or 'the configuration'} holds half a character of UTF-16, which is no text",
                field=field_path(place[:-1]) or None,
                hint="write the character itself, or both halves",
            )


def _refuse_many(place: tuple[str | int, ...], entries: int) -> None:
    if len(place) > MAX_DEPTH:
        raise ConfigError("the configuration is nested too deeply", field=field_path(place[:1]))
    if entries > MAX_ENTRIES:
        field = field_path(place)
        raise ConfigError(
            f"{field or 'the configuration'} has {entries:,} entries; at most {MAX_ENTRIES:,} are allowed",
            field=field or None,
            hint="name fewer columns, or read from a view that holds those that matter",
        )


def _is_text(value: Any) -> bool:
    return not isinstance(value, str) or value.isascii() or _HALF_CHARACTER.search(value) is None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ConfigError(f'the key "{shortened(twice)}" appears twice in one object', field=shortened(twice))
    return data


def _no_constants(name: str) -> None:
    raise ConfigError(f"{name} is not valid JSON; use null or a number")
