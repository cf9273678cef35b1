"""Which columns of a source are read, and what each of them is to us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ml.cleaning.flags import LABEL, Flag, failure_flags
from ml.errors import MissingColumnError
from ml.options.base import listing, missing_column
from ml.options.failures import FailureConfig
from ml.options.schema import DEFAULT_TIMESTAMP_COLUMNS, SchemaConfig


@dataclass(frozen=True)
class ColumnPlan:
    """Columns of the source by their part in the readings; names as the source spells them."""

    timestamp: str
    asset: str | None
    flags: tuple[Flag, ...]  # what says failed, then the label
    sensors: dict[str, str]  # our name -> column of the source, in the order of the schema

    @property
    def source_columns(self) -> list[str]:
        """Every column to read, once."""
        flags = (flag.source for flag in self.flags)
        parts = (self.timestamp, self.asset, *flags, *self.sensors.values())
        return list(dict.fromkeys(name for name in parts if name is not None))

    def source_of(self, flag: str) -> str | None:
        """The column that a flag is read from, by its name in the readings."""
        return next((each.source for each in self.flags if each.name == flag), None)


def plan_columns(
    schema: SchemaConfig,
    label_column: str | None,
    available: Sequence[str],
    where: str,
    *,
    failures: FailureConfig | None = None,
    target_required: bool = True,
) -> ColumnPlan:
    """Find the columns that `schema`, `label_column` and `failures` name among the `available` ones of a source.

    Columns that nothing names are left out. With a label column the target may be absent.

    Raises MissingColumnError if a named column is not there; names the nearest one and those that are.

    Parameters
    ----------
    where
        The source in words, for messages.
    failures
        Which columns say failed. Default: the target.
    target_required
        Whether a source without them is refused, where there is no label column either.
    """
    finder = _Finder(schema, available, where)
    optional = label_column is not None or not target_required
    return ColumnPlan(
        timestamp=finder.timestamp(),
        asset=None if schema.asset_column is None else finder.find(schema.asset_column, "schemaConfig.assetColumn"),
        flags=(
            *finder.flags(failure_flags(schema, failures or FailureConfig()), optional),
            *((Flag(LABEL, finder.find(label_column, "dataConfig.labelColumn")),) if label_column is not None else ()),
        ),
        sensors={name: finder.find(name, field) for name, field in _sensor_fields(schema)},
    )


def find_timestamp(schema: SchemaConfig, available: Sequence[str], where: str) -> str:
    """The time column of a source, as the source names it; raises as `plan_columns`."""
    return _Finder(schema, available, where).timestamp()


def _sensor_fields(schema: SchemaConfig) -> Iterator[tuple[str, str]]:
    """Sensors in order, each with the configuration key that names it."""
    for key, names in (("continuousColumns", schema.continuous_columns), ("booleanColumns", schema.boolean_columns)):
        for position, name in enumerate(names):
            yield name, f"schemaConfig.{key}[{position}]"
    for name in sorted(schema.categorical_columns):
        yield name, f"schemaConfig.categoricalColumns.{name}"


class _Finder:
    def __init__(self, schema: SchemaConfig, available: Sequence[str], where: str) -> None:
        self.schema = schema
        self.available = available
        self.where = where
        self.mapped = {ours: source for source, ours in schema.column_mapping.items()}

    def source_name(self, name: str) -> str | None:
        """The source's name of our column; none if the source's column of that name is renamed to something else."""
        if name in self.mapped:
            return self.mapped[name]
        return None if name in self.schema.column_mapping else name

    def find(self, name: str, field: str) -> str:
        source = self.source_name(name)
        if source is not None and source in self.available:
            return source
        looked_for = source or name
        mapped = f' (mapped to "{name}")' if source not in (None, name) else ""
        raise missing_column(self.where, looked_for, self.available, field, mapped)

    def flags(self, wanted: Sequence[Flag], optional: bool) -> Iterator[Flag]:
        """Flags by the source's names of their columns; those that may be absent, and are, are left out."""
        for flag in wanted:
            if optional and self.source_name(flag.source) not in self.available:
                continue
            own = flag.source == self.schema.target_column
            source = self.find(flag.source, "schemaConfig.targetColumn" if own else "failureConfig.columns")
            yield replace(flag, source=source)

    def timestamp(self) -> str:
        if self.schema.timestamp_column is not None:
            return self.find(self.schema.timestamp_column, "schemaConfig.timestampColumn")
        for name in DEFAULT_TIMESTAMP_COLUMNS:
            source = self.source_name(name)
            if source is not None and source in self.available:
                return source
        raise MissingColumnError(
            f"{self.where} has no time column ({' or '.join(DEFAULT_TIMESTAMP_COLUMNS)})",
            field="schemaConfig.timestampColumn",
            hint=f"name it in schemaConfig.timestampColumn; {listing(self.available)}",
        )
