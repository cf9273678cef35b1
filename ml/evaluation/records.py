"""What was found, as the JSON report holds it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from pydantic.alias_generators import to_camel

from ml.workspace.files import plain


class Record:
    """A dataclass that the report holds under the names of its fields in camelCase."""

    def to_json(self) -> dict[str, Any]:
        """The fields in their order, in the types of JSON."""
        return {to_camel(each.name): plain(getattr(self, each.name)) for each in fields(cast(Any, self))}
