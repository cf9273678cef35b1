"""What every section shares: strictness, camelCase keys, identifiers, and errors a person can act on."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from ml.errors import ConfigError, EagleError, IsolationError, MissingColumnError

_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
# Windows opens these names as devices whatever the extension, so no folder may carry them.
_DEVICE_NAMES = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))}
)
# Values of a connection are not repeated in messages, but for these: people paste whole URLs where a key belongs.
_CONNECTION = "scadaDbConfig"
_HARMLESS_CONNECTION_KEYS = (
    "driver",
    "port",
    "sslmode",
    "table",
    "connectTimeoutSeconds",
    "statementTimeoutSeconds",
    "sliceSeconds",
    "requireLeastPrivilege",
)
_STORAGE_KEYS = ("storage", "storagePasswordEnv", "storagePasswordFile")  # the same holds for a search
ADDRESS_ERROR = "address"
"""Type of an error about an address where none belongs: it may hold a password, so it is not repeated."""
_SEEN_LIMIT = 80
_MESSAGE_LIMIT = 400
_COMPARED = 500  # names, when one is looked for that is like another: ten thousand would take a quarter of a minute
_LONGEST_NAME = 128
_SQL_MARKS = (";", "--", "/*", "'", '"', "\\", "$$")
_HINTS = {
    "industry": "a template only fills what is left out: name the columns in schemaConfig, and leave industry out",
    "trainingConfig.modelType": "there are lightgbm, logistic_regression, random_forest and xgboost",
}
_NO_SUCH_NAME = ("literal_error", "string_pattern_mismatch")
_UNIT_OF_TIME = re.compile(r"(Ms|Millis|Seconds?|Minutes?|Hours?|Days?|Weeks?|Months?|Years?)$")
_SPELLED_ALIKE = 0.75  # of difflib's ratio: a slip of the pen, not another word that shares its letters
_MAX_SECONDS = 10**9  # about 31 years: longer than any plant's records, and far from overflowing in microseconds


class Section(BaseModel):
    """A frozen configuration section: camelCase in JSON, snake_case in Python, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        use_attribute_docstrings=False,
    )


def _check_identifier(value: str) -> str:
    """Folder names are built from ids, so an id must not be able to name anything but a plain folder."""
    well_formed = re.match(_ID_PATTERN, value) is not None and "\n" not in value
    device = value.split(".")[0].lower() in _DEVICE_NAMES
    if not well_formed or ".." in value or value.endswith(".") or device:
        raise PydanticCustomError(
            "unsafe_identifier",
            "is not a safe identifier: allowed are 1 to 128 letters, digits, '.', '_' and '-', starting with a "
            "letter or digit, without '..', a trailing '.', or a device name",
        )
    return value


Identifier = Annotated[
    str, AfterValidator(_check_identifier), Field(json_schema_extra={"pattern": _ID_PATTERN, "maxLength": 128})
]
"""An organisation or version id: the only kind of text that a path is ever built from."""


def _check_column_name(value: str) -> str:
    if not value or len(value) > 128 or any(ord(char) < 32 for char in value):
        raise PydanticCustomError("column_name", "must be 1 to 128 printable characters")
    return value


ColumnName = Annotated[
    str, AfterValidator(_check_column_name), Field(json_schema_extra={"minLength": 1, "maxLength": 128})
]


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Refuse a list that names something twice."""
    items = tuple(values)
    twice = sorted(str(item) for item, times in Counter(items).items() if times > 1)
    if twice:
        raise PydanticCustomError("not_distinct", "names {names} more than once", {"names": ", ".join(twice)})
    return items


Seconds = Annotated[int, Field(ge=0, le=_MAX_SECONDS)]
"""A duration that may be zero."""
PositiveSeconds = Annotated[int, Field(gt=0, le=_MAX_SECONDS)]
"""A duration."""

DistinctColumns = Annotated[tuple[ColumnName, ...], AfterValidator(distinct)]


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that `name` was probably meant to be, if one is close; of many, the first are compared."""
    by_lower = {candidate.lower(): candidate for candidate in islice(allowed, _COMPARED)}
    if len(name) > _LONGEST_NAME:
        return None
    matches = difflib.get_close_matches(name.lower().replace("_", ""), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def nearest_key(name: str, value: Any, model: type[BaseModel]) -> str | None:
    """The key of `model` that `name` was probably meant to be: spelled almost alike, and for this kind of value."""
    if len(name) > _LONGEST_NAME:
        return None
    schema = model.model_json_schema(by_alias=True)
    by_lower: dict[str, str] = {key.lower(): key for key in schema["properties"]}
    for match in difflib.get_close_matches(name.lower().replace("_", ""), by_lower, n=3, cutoff=_SPELLED_ALIKE):
        key = by_lower[match]
        kinds, unit = _kinds(schema["properties"][key], schema.get("$defs", {})), _unit_of(name)
        if _kind_of(value) in kinds and unit in (None, _unit_of(key)) and _within(value, schema["properties"][key]):
            return key
    return None


def _unit_of(name: str) -> str | None:
    """The unit of time that a key's name ends in; the same value under a key with another unit would be wrong."""
    found = _UNIT_OF_TIME.search(to_camel(name))
    return found[0].lower().rstrip("s") if found else None


def _within(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a number lies within the bounds that a JSON Schema states; anything else does."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    parts = [schema, *schema.get("anyOf", [])]
    low = max((part["minimum"] for part in parts if "minimum" in part), default=value)
    return bool(low <= value <= min((part["maximum"] for part in parts if "maximum" in part), default=value))


def _kind_of(value: Any) -> str:
    """The kind of a JSON value, by its name in JSON Schema; a whole number is a number as well."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    kinds = {str: "string", int: "number", float: "number", list: "array", tuple: "array", dict: "object"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "")


def _kinds(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The kinds of values that a JSON Schema allows."""
    kinds: set[str] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if "$ref" in part:
            waiting.append(definitions[part["$ref"].rpartition("/")[2]])
        waiting += part.get("anyOf", [])
        if "type" in part:
            kinds.add("number" if part["type"] == "integer" else part["type"])
    return kinds


def missing_name(
    kind: type[EagleError], name: str, message: str, *, field: str, available: Sequence[str], none: str | None = None
) -> EagleError:
    """The error about a name that a source does not have: of `kind`, or of the configuration if it reads like SQL.

    Quotes and semicolons are legal in names of tables and columns, so they are no error before the catalogue was asked.
    The hint names the nearest and the first 30 of the `available` ones; without any it is `none`.
    """
    if any(mark in name for mark in _SQL_MARKS):
        return ConfigError(f"{message}; it looks like a statement and not like a name", field=field)
    guess = nearest(name, available)
    hint = listing(available) if available else none
    return kind(message, field=field, hint=f'did you mean "{guess}"? {hint}' if guess else hint)


def missing_column(where: str, name: str, available: Sequence[str], field: str, told: str = "") -> EagleError:
    """The error about a column that a source does not have; `told` says more of it."""
    message = f'{where} has no column "{name}"{told}'
    return missing_name(MissingColumnError, name, message, field=field, available=available)


def listing(available: Iterable[str]) -> str:
    """The names that there are: enough to find the right one, not a wall of text."""
    return f"available: {first_of(available, 30)}"


def first_of(names: Iterable[str], most: int) -> str:
    """The first names of a list, and how many more there are.

    >>> first_of("abcd", 3)
    'a, b, c and 1 more'
    """
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")


def quoted(names: Iterable[str]) -> str:
    """The first ten names of a list, in quotes."""
    return first_of([f'"{name}"' for name in names], 10)


def field_path(location: Iterable[str | int]) -> str:
    """``("schemaConfig", "lagSeconds", 1)`` as ``schemaConfig.lagSeconds[1]``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def shortened(text: str) -> str:
    """`text` for a message: cut where it would fill pages."""
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}…"


def _seen(error: ErrorDetails) -> str:
    """The offending value, short, and never a secret."""
    location = error["loc"]
    if error["type"] == "missing" or (_CONNECTION in location and location[-1] not in _HARMLESS_CONNECTION_KEYS):
        return ""
    if error["type"] == ADDRESS_ERROR or any(key in location for key in _STORAGE_KEYS):
        return ""
    value = error["input"]
    if isinstance(value, dict | BaseModel):
        return ""
    text = json.dumps(value, default=str)
    return f" (got {text[:_SEEN_LIMIT]}{'…' if len(text) > _SEEN_LIMIT else ''})"


def _section_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The section in which the unknown key at `location` stands, found by walking the models down to it."""
    current: type[BaseModel] | None = model
    for part in location[:-1]:
        if current is None or not isinstance(part, str):
            return None
        fields = current.model_fields.items()
        field = next((field for name, field in fields if part in (name, field.alias)), None)
        current = _model_in(field.annotation) if field else None
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in getattr(annotation, "__args__", ()) if (found := _model_in(arg))), None)


def _unquoted(error: ErrorDetails) -> bool:
    """Whether a number stands where text belongs, as in ``"version": 2``."""
    value = error["input"]
    return error["type"] == "string_type" and isinstance(value, int | float) and not isinstance(value, bool)


def explain(failure: ValidationError, model: type[BaseModel]) -> EagleError:
    """A pydantic failure as the one error that the user reads: field, value seen, what is allowed, what to do."""
    errors = failure.errors(include_url=False)
    first = min(errors, key=lambda error: error["type"] != "unsafe_identifier")
    field = shortened(field_path(first["loc"]))
    more = (
        f" ({len(errors) - 1} more problem{'s' if len(errors) > 2 else ''} after this one)" if len(errors) > 1 else ""
    )
    if first["type"] == "unsafe_identifier":
        return IsolationError(f"{field} {first['msg']}{_seen(first)}", field=field)
    if first["type"] == "extra_forbidden":
        section = _section_at(model, first["loc"])
        guess = nearest_key(str(first["loc"][-1]), first["input"], section) if section else None
        allowed = [field.alias or name for name, field in section.model_fields.items()] if section else []
        hint = f'did you mean "{guess}"?' if guess else f"allowed here: {', '.join(allowed)}" if allowed else None
        return ConfigError(f'unknown key "{field}"{more}', field=field, hint=hint)
    if first["type"] == "missing":
        return ConfigError(f'"{field}" is required{more}', field=field)
    message = "must be text, and this is a number: put it in quotes" if _unquoted(first) else first["msg"]
    message = shortened(message.removeprefix("Value error, "))
    where = f"{field}: " if field else ""
    hint = first.get("ctx", {}).get("hint") or (_HINTS.get(field) if first["type"] in _NO_SUCH_NAME else None)
    return ConfigError(f"{where}{message}{_seen(first)}{more}", field=field or None, hint=hint)
