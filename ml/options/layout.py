"""`layoutConfig`: how readings lie in their source where one row is not one instant of one machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, DistinctColumns, PositiveSeconds, Section
from ml.options.tables import TableReference

_ASSET, _TAG = "{asset}", "{tag}"
DEFAULT_ASSET_COLUMN = "asset"
"""Name of the column that is made of tags or of file names, where `schemaConfig.assetColumn` gives none."""


def pattern_of(text: str) -> re.Pattern[str]:
    """What a pattern such as ``{asset}.{tag}`` matches, as a regular expression with groups of these names."""
    parts = re.split(r"(\{asset\}|\{tag\})", text)
    last = max(index for index, part in enumerate(parts) if part in (_ASSET, _TAG))
    return re.compile(
        "".join(
            f"(?P<{part[1:-1]}>.+{'' if index == last else '?'})" if part in (_ASSET, _TAG) else re.escape(part)
            for index, part in enumerate(parts)
        ),
        re.DOTALL,
    )


def _asset_and_tag(value: str) -> str:
    return _checked(value, (_ASSET, _TAG))


def _asset_alone(value: str) -> str:
    return _checked(value, (_ASSET,))


def _checked(value: str, names: tuple[str, ...]) -> str:
    rest = value
    for name in names:
        if value.count(name) != 1:
            raise PydanticCustomError("pattern", "must hold {name} exactly once", {"name": name})
        rest = rest.replace(name, "")
    if "{" in rest or "}" in rest:
        raise PydanticCustomError("pattern", "may hold nothing in braces but {names}", {"names": ", ".join(names)})
    if f"{_ASSET}{_TAG}" in value or f"{_TAG}{_ASSET}" in value:
        raise PydanticCustomError("pattern", "needs a mark between {asset} and {tag}")
    return value


class JoinedTable(TableReference):
    """A table or file beside the readings, joined to them by asset and time."""

    kind: Literal["readings", "counts", "attributes"] = Field(
        description="readings: further sensors, merged by asset and instant. counts: one row per event; each word of "
        "countColumn becomes a sensor `<column>_<word>`, the number of such events in the `countSeconds` up to the "
        "reading. attributes: one row per machine; a column of numbers becomes a constant sensor, a column of words "
        "one sensor `<column>_<word>` of 0 and 1 per word."
    )
    asset_column: ColumnName | None = Field(
        default=None,
        description="Its column that names the machine. Default: schemaConfig.assetColumn.",
    )
    timestamp_column: ColumnName | None = Field(
        default=None, description="Its time column. Default: that of the readings."
    )
    columns: DistinctColumns = Field(
        default=(), description="Columns to take, of readings and attributes. Default: all others."
    )
    count_column: ColumnName | None = Field(default=None, description="Column with the kind of event, for counts.")
    count_seconds: PositiveSeconds | None = Field(
        default=None,
        description="Time up to a reading in which events count for it. Default: dataConfig.samplingIntervalSeconds.",
    )

    @model_validator(mode="after")
    def keys_suit_the_kind(self) -> Self:
        """A key that would do nothing is a mistake."""
        counts = self.kind == "counts"
        if counts and self.count_column is None:
            raise PydanticCustomError("joined", "counts needs countColumn, the column with the kind of event")
        for name, given, fits in (
            ("countColumn", self.count_column, counts),
            ("countSeconds", self.count_seconds, counts),
            ("columns", self.columns, not counts),
            ("timestampColumn", self.timestamp_column, self.kind != "attributes"),
        ):
            if given and not fits:
                raise PydanticCustomError(
                    "joined", "{name} means nothing for {kind}", {"name": name, "kind": self.kind}
                )
        return self


class LayoutConfig(Section):
    """How readings lie in their source."""

    layout: Literal["wide", "long"] = Field(
        default="wide",
        description="wide: one row per machine and instant, one column per sensor. long: one row per value, with the "
        "name of its sensor (historians).",
    )
    tag_column: ColumnName | None = Field(default=None, description="Column with the name of the sensor; for long.")
    value_column: ColumnName | None = Field(default=None, description="Column with the value; for long.")
    quality_column: ColumnName | None = Field(
        default=None, description="Column with the quality of the value; for long, with acceptedQuality."
    )
    accepted_quality: tuple[str | int | float, ...] = Field(
        default=(), description="Qualities of values to use, such as `[192]`; other values are missing and counted."
    )
    tag_pattern: Annotated[str, AfterValidator(_asset_and_tag)] | None = Field(
        default=None,
        description="Where tags hold the machine: `{asset}.{tag}`. The first of the two is as short as it can be. Tags "
        "that do not fit are ignored.",
    )
    asset_from_file_name: Annotated[str, AfterValidator(_asset_alone)] | None = Field(
        default=None,
        description="Where each file of a folder is one machine's: its name with the machine in it, such as "
        "`pump_{asset}.csv`.",
    )
    tables: dict[ColumnName, JoinedTable] = Field(
        default={}, description="Tables and files that are joined to the readings, under names of your own."
    )

    @property
    def names_assets(self) -> bool:
        """Whether the machine comes from tags or file names, and not from a column."""
        return self.tag_pattern is not None or self.asset_from_file_name is not None

    @model_validator(mode="after")
    def keys_suit_the_layout(self) -> Self:
        """Long form needs two columns; in wide form they mean nothing."""
        long = ("tagColumn", self.tag_column), ("valueColumn", self.value_column)
        more = ("qualityColumn", self.quality_column), ("tagPattern", self.tag_pattern)
        for name, given in long:
            if self.layout == "long" and given is None:
                raise PydanticCustomError("layout", 'layout "long" needs {name}', {"name": name})
        for name, given in (*long, *more):
            if self.layout == "wide" and given is not None:
                raise PydanticCustomError("layout", '{name} needs layout "long"', {"name": name})
        if (self.quality_column is None) != (not self.accepted_quality):
            raise PydanticCustomError("layout", "qualityColumn and acceptedQuality go together")
        if self.tag_pattern is not None and self.asset_from_file_name is not None:
            raise PydanticCustomError("layout", "tagPattern and assetFromFileName both name the machine: give one")
        return self


def name_the_asset(data: dict[str, Any]) -> dict[str, Any]:
    """A configuration in which machines that come from tags or file names have a column, as all others have."""
    layout, schema = data.get("layoutConfig"), data.get("schemaConfig", {})
    named = isinstance(layout, Mapping) and (layout.get("tagPattern") or layout.get("assetFromFileName"))
    if not named or not isinstance(schema, Mapping) or schema.get("assetColumn"):
        return data
    return {**data, "schemaConfig": {**schema, "assetColumn": DEFAULT_ASSET_COLUMN}}
