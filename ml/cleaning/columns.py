"""Which columns of a source are read, and what each of them is to us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ml.errors import MissingColumnError
from ml.options.base import missing_name, nearest
from ml.options.schema import DEFAULT_TIMESTAMP_COLUMNS, SchemaConfig

_LISTED = 30  # available columns that an error names; enough to find the right one, not a wall of text


@dataclass(frozen=True)
class ColumnPlan:
    """Columns of the source by their part in the readings; names as the source spells them."""

    timestamp: str
    asset: str | None
    target: str | None
    label: str | None
    sensors: dict[str, str]  # our name -> column of the source, in the order of the schema

    @property
    def source_columns(self) -> list[str]:
        """Every column to read, once."""
        parts = (self.timestamp, self.asset, self.target, self.label, *self.sensors.values())
        return list(dict.fromkeys(name for name in parts if name is not None))


def plan_columns(
    schema: SchemaConfig,
    label_column: str | None,
    available: Sequence[str],
    where: str,
    *,
    target_required: bool = True,
) -> ColumnPlan:
    """Find the columns that `schema` and `label_column` name among the `available` ones of a source.

    Columns that nothing names are left out. With a label column the target may be absent.

    Parameters
    ----------
    where
        The source in words, for messages.
    target_required
        Whether a source without the target is refused, where there is no label column either.

    Raises
    ------
    MissingColumnError
        If a named column is not there; names the nearest one and those that are.
    """
    finder = _Finder(schema, available, where)
    target = schema.target_column
    optional = label_column is not None or not target_required
    absent = optional and finder.source_name(target) not in finder.available
    return ColumnPlan(
        timestamp=finder.timestamp(),
        asset=None if schema.asset_column is None else finder.find(schema.asset_column, "schemaConfig.assetColumn"),
        target=None if absent else finder.find(target, "schemaConfig.targetColumn"),
        label=None if label_column is None else finder.find(label_column, "dataConfig.labelColumn"),
        sensors={name: finder.find(name, field) for name, field in _sensor_fields(schema)},
    )


def _sensor_fields(schema: SchemaConfig) -> Iterator[tuple[str, str]]:
    """Sensors in order, each with the configuration key that names it."""
    for key, names in (("continuousColumns", schema.continuous_columns), ("booleanColumns", schema.boolean_columns)):
        for position, name in enumerate(names):
            yield name, f"schemaConfig.{key}[{position}]"


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
        message = f'{self.where} has no column "{looked_for}"{mapped}'
        raise missing_name(MissingColumnError, looked_for, message, field=field, hint=self._hint(looked_for))

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
            hint=f"name it in schemaConfig.timestampColumn; {self._listing()}",
        )

    def _hint(self, name: str) -> str:
        guess = nearest(name, self.available)
        return f'did you mean "{guess}"? {self._listing()}' if guess else self._listing()

    def _listing(self) -> str:
        more = len(self.available) - _LISTED
        names = ", ".join(self.available[:_LISTED])
        return f"available: {names}" + (f" and {more} more" if more > 0 else "")
