"""``metadata.json`` as TypeScript types, made from the JSON Schema that its pydantic models publish.

Every key is required in the types: the program that writes the file leaves none out.
"""

from __future__ import annotations

import json
import textwrap
from typing import Any

from ml.export.metadata import metadata_schema

Schema = dict[str, Any]

_HEADER = """\
// Generated from the models behind docs/metadata.schema.json by docs/generate.py; do not edit.
"""
_JSON_VALUE = """\
/** Any JSON. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };
"""
_ANY_JSON: Schema = {}  # how pydantic describes a JsonValue
_PLAIN_TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_WIDTH = 100
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def metadata_types() -> str:
    """The module ``metadata.ts``: one interface per object, the whole file as `ModelMetadata`."""
    return to_typescript(metadata_schema())


def to_typescript(schema: Schema) -> str:
    """Interfaces of a JSON Schema and of its definitions, each with its description.

    Raises
    ------
    ValueError
        If the schema uses a construct that has no rule here.
    """
    parts = [_HEADER]
    definitions = schema.get("$defs", {})
    for name, definition in sorted(definitions.items()):
        parts.append(_JSON_VALUE if definition == _ANY_JSON else _interface(name, definition))
    parts.append(_interface(schema["title"], schema))
    return "\n".join(parts)


def _interface(name: str, definition: Schema) -> str:
    lines = [*_comment(definition, ""), f"export interface {name} {{"]
    for key, value in definition["properties"].items():
        lines += [*_comment(value, "  "), f"  readonly {key}: {_type(value)};"]
    return "\n".join([*lines, "}"]) + "\n"


def _comment(definition: Schema, indent: str) -> list[str]:
    """The description as a doc comment, with the bounds that a TypeScript type cannot say."""
    bounds = [f"{sign} {definition[key]}" for key, sign in _BOUNDS.items() if key in definition]
    if definition.get("type") == "integer" and "const" not in definition:
        bounds.insert(0, "whole number")
    text = definition.get("description", "") + (f" ({', '.join(bounds)})" if bounds else "")
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH - len(indent))
    if len(lines) <= 1:
        return [f"{indent}/** {line} */" for line in lines]
    return [f"{indent}/**", *(f"{indent} * {line}" for line in lines), f"{indent} */"]


def _type(value: Schema) -> str:
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2]
    if "const" in value:
        return json.dumps(value["const"])
    if "enum" in value:
        return " | ".join(json.dumps(each) for each in value["enum"])
    if "anyOf" in value:
        return " | ".join(_type(each) for each in value["anyOf"])
    kind = value.get("type")
    if kind in _PLAIN_TYPES:
        return _PLAIN_TYPES[kind]
    if kind == "array" and "prefixItems" in value:
        return f"readonly [{', '.join(_type(each) for each in value['prefixItems'])}]"
    if kind == "array":
        inner = _type(value["items"])
        return f"readonly ({inner})[]" if " " in inner else f"readonly {inner}[]"
    if kind == "object" and "additionalProperties" in value:
        return f"Readonly<Record<string, {_type(value['additionalProperties'])}>>"
    raise ValueError(f"there is no TypeScript type here for {value}")
