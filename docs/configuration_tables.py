"""The configuration reference as Markdown, made from the JSON Schema that the configuration models publish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ml.config import OrganizationConfig
from ml.options.forms.backend import BackendKeys
from ml.options.forms.keys import KEYS

Schema = dict[str, Any]

_HEADINGS = "| Key | Type | Allowed | Default | Meaning |\n|---|---|---|---|---|"
_PLAIN_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def section_overview() -> str:
    """One row per top-level key: what it is for, and the keys inside."""
    schema = OrganizationConfig.json_schema()
    lines = ["| Key | Meaning | Keys inside |", "|---|---|---|"]
    for key in _own_keys(schema):
        inner = _section_in(schema["properties"][key], schema)
        inside = ", ".join(f"`{name}`" for name in inner["properties"]) if inner else "-"
        name = f"[`{key}`](#{key.lower()})" if inner else f"`{key}`"
        lines.append(f"| {name} | {_meaning(schema['properties'][key])} | {inside} |")
    return "\n".join(lines)


def full_reference() -> str:
    """Every key of every section, one table per section; sections that look alike share one table."""
    schema = OrganizationConfig.json_schema()
    top_level = {**schema, "properties": {key: schema["properties"][key] for key in _own_keys(schema)}}
    parts = ["### Top level\n\n" + _table(top_level, schema)]
    for definition, paths in _paths_by_section(top_level, schema).items():
        section = schema["$defs"][definition]
        heading = paths[0] if len(paths) == 1 else _shared_heading(paths)
        words = [f"### {heading}", section.get("description", "")]
        if len(paths) > 1:
            words.append("The same keys serve " + ", ".join(f"`{path}`" for path in paths) + ".")
        parts.append("\n\n".join([*words, _table(section, schema)]))
    return "\n\n".join(parts)


def names_of_others() -> str:
    """The keys that others write, and what becomes of each."""
    rows = ["| Key | What becomes of it |", "|---|---|"]
    for form in (form for form in KEYS if "." in form.path):
        ours = " and ".join(f"`{path}`" for path in form.to)
        what = f"read as {ours}" if ours else f"refused: {form.told}" if form.refused else f"left out: {form.told}"
        rows.append(f"| `{form.path}` | {what} |")
    return "\n".join(rows)


def flat_keys() -> str:
    """The keys that only the flat form knows."""
    schema = BackendKeys.model_json_schema(by_alias=True)
    return _table(schema, schema)


def _own_keys(schema: Schema) -> list[str]:
    """Keys of the nested form: those of the flat form have a table of their own."""
    flat = BackendKeys.model_json_schema(by_alias=True)["properties"]
    return [key for key in schema["properties"] if key not in flat]


def _paths_by_section(top_level: Schema, schema: Schema) -> dict[str, list[str]]:
    """Name of each section's definition, in the order of the configuration -> the paths at which it is used."""
    paths: dict[str, list[str]] = {}
    for path, definition in _walk(top_level, schema, ""):
        paths.setdefault(definition, []).append(path)
    return paths


def _walk(section: Schema, schema: Schema, prefix: str) -> Iterator[tuple[str, str]]:
    for key, entry in section["properties"].items():
        definition, suffix = _reference_in(entry)
        if definition is not None:
            yield f"{prefix}{key}{suffix}", definition
            yield from _walk(schema["$defs"][definition], schema, f"{prefix}{key}{suffix}.")


def _reference_in(entry: Schema) -> tuple[str | None, str]:
    """The section that an entry holds, and how its place is written: ``[]`` for a list, ``.<name>`` for a mapping."""
    for option in (entry, *entry.get("anyOf", ())):
        if "$ref" in option:
            return option["$ref"].rpartition("/")[2], ""
        for key, suffix in (("items", "[]"), ("additionalProperties", ".<name>")):
            inner = option.get(key)
            if isinstance(inner, dict) and "$ref" in inner:
                return inner["$ref"].rpartition("/")[2], suffix
    return None, ""


def _section_in(entry: Schema, schema: Schema) -> Schema | None:
    definition, _ = _reference_in(entry)
    return schema["$defs"][definition] if definition is not None else None


def _shared_heading(paths: list[str]) -> str:
    """``a.b.c`` and ``a.b.d`` as ``a.b: c, d``."""
    parents = {path.rpartition(".")[0] for path in paths}
    if len(parents) > 1:
        return ", ".join(paths)
    return f"{parents.pop()}: {', '.join(path.rpartition('.')[2] for path in paths)}"


def _table(section: Schema, schema: Schema) -> str:
    required = section.get("required", ())
    rows = [_row(key, entry, schema, key in required) for key, entry in section["properties"].items()]
    return "\n".join([_HEADINGS, *rows])


def _row(key: str, entry: Schema, schema: Schema, required: bool) -> str:
    cells = (
        f"`{key}`",
        _type(entry, schema),
        _allowed(entry) or "-",
        "**required**" if required else _default(entry),
        _meaning(entry),
    )
    return "| " + " | ".join(cells) + " |"


def _meaning(entry: Schema) -> str:
    return str(entry.get("description", "")).replace("|", "\\|")


def _type(entry: Schema, schema: Schema) -> str:
    """The type in plain words; null is not named, as leaving the key out means the same."""
    if "anyOf" in entry:
        words = [_type(option, schema) for option in entry["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    if "$ref" in entry:
        return "section"
    if "const" in entry:
        return _PLAIN_TYPES[entry.get("type", "string")]
    if entry.get("type") == "array":
        return _list_type(entry, schema)
    if entry.get("type") == "object":
        inner = entry.get("additionalProperties")
        return f"object: name → {_type(inner, schema)}" if isinstance(inner, dict) else "object"
    if entry.get("format") == "date-time":
        return "time, ISO 8601"
    return _PLAIN_TYPES[entry["type"]]


def _list_type(entry: Schema, schema: Schema) -> str:
    if "prefixItems" in entry:
        return f"pair of {_type(entry['prefixItems'][0], schema)}s"
    inner = entry["items"]
    if "anyOf" in inner:
        return "list of values"
    words = _type(inner, schema)
    return f"list of {words.replace('pair', 'pairs', 1)}" if words.startswith("pair") else f"list of {words}s"


def _allowed(entry: Schema) -> str:
    """Values and bounds; for lists and mappings those of their entries."""
    if "anyOf" in entry:
        return ", or ".join(filter(None, (_allowed(option) for option in entry["anyOf"])))
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"only `{json.dumps(entry['const']).strip(chr(34))}`"
    if entry.get("type") == "array":
        return _allowed(entry["prefixItems"][0] if "prefixItems" in entry else entry["items"])
    if entry.get("type") == "object" and isinstance(entry.get("additionalProperties"), dict):
        return _allowed(entry["additionalProperties"])
    if "pattern" in entry:
        return f"matches `{entry['pattern']}`".replace("|", "\\|")
    return _bounds(entry)


def _bounds(entry: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {entry[key]:,}" for key, sign in signs.items() if key in entry]
    shortest, longest = entry.get("minLength"), entry.get("maxLength")
    if longest is not None:
        bounds.append(f"{shortest or 0} to {longest} characters")
    elif shortest:
        bounds.append("not empty")
    return ", ".join(bounds)


def _default(entry: Schema) -> str:
    value = entry.get("default")
    if value is None:
        return "-"
    if isinstance(value, dict) and _reference_in(entry)[0] is not None:
        return "see there"
    return f"`{json.dumps(value, ensure_ascii=False)}`"
