from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from docs.typescript_types import metadata_types, to_typescript

COMMITTED = Path(__file__).resolve().parents[3] / "examples" / "node" / "src" / "metadata.ts"


def types_of(**properties: Any) -> list[str]:
    """The lines inside the interface of a schema with these properties."""
    text = to_typescript({"title": "Thing", "properties": properties})
    return [line.strip() for line in text.partition("export interface Thing {\n")[2].splitlines() if line != "}"]


def test_the_committed_types_are_the_models_types() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == metadata_types()


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "string"),
        ({"type": "number"}, "number"),
        ({"const": 1}, "1"),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"$ref": "#/$defs/Channel"}, "Channel"),
        ({"anyOf": [{"$ref": "#/$defs/Parity"}, {"type": "null"}]}, "Parity | null"),
        ({"type": "array", "items": {"type": "number"}}, "readonly number[]"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'readonly ("a" | "b")[]'),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]}, "readonly [number, string]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "Readonly<Record<string, number>>"),
    ],
)
def test_each_construct_has_its_type(schema: dict[str, Any], expected: str) -> None:
    assert types_of(key=schema) == [f"readonly key: {expected};"]


def test_descriptions_and_bounds_are_comments() -> None:
    lines = types_of(rows={"type": "integer", "minimum": 0, "description": "Rows."})
    assert lines == ["/** Rows. (whole number, >= 0) */", "readonly rows: number;"]


def test_a_construct_without_a_rule_is_an_error_and_not_any() -> None:
    with pytest.raises(ValueError, match="no TypeScript type"):
        types_of(key={"allOf": []})
