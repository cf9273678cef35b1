"""Long form that is read as if it were wide: what gives it away, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.findings import Finding
from ml.ingest.sources.base import Source

_TAGS = re.compile(r"(tag|point|signal|variable|parameter|measurement|sensor|channel)(_?(name|id|key))?", re.IGNORECASE)
_VALUES = re.compile(r"(value|val|reading|wert|messwert|valeur)(_?(num|number|numeric|float|double))?", re.IGNORECASE)
_FIELD = "layoutConfig.layout"


def likely_columns(columns: Sequence[str]) -> tuple[str, str] | None:
    """The columns that seem to hold the names and the values of a long form, by their own names.

    >>> likely_columns(["timestamp", "tagname", "value", "quality"])
    ('tagname', 'value')
    >>> likely_columns(["time", "pump", "value_of_oil"]) is None
    True
    """
    found = [[name for name in columns if pattern.fullmatch(name)] for pattern in (_TAGS, _VALUES)]
    return (found[0][0], found[1][0]) if len(found[0]) == len(found[1]) == 1 else None


@contextmanager
def told_if_long(source: Source, config: OrganizationConfig) -> Iterator[list[Finding]]:
    """Let a refusal inside the block say that rows seem to be one value each; else it is a finding."""
    found = likely_columns(source.columns()) if config.layout_config.layout == "wide" else None
    if found is None:
        yield []
        return
    message = f'the columns "{found[0]}" and "{found[1]}" look like a long form, with one row per value'
    advice = f'set layoutConfig.layout to "long", tagColumn to "{found[0]}" and valueColumn to "{found[1]}"'
    read = f"{message[0].upper()}{message[1:]}, and are read as one row per instant."
    try:
        schema = config.schema_config
        used = found[1] in (*schema.sensor_columns, *schema.column_mapping)
        yield [Finding("LONG_FORM_LIKELY", read, _FIELD, f"{advice} if it is")] if used else []
    except DataError as refusal:
        refusal.hint = "; or: ".join(filter(None, [refusal.hint, f"{message}: {advice}"]))
        raise
