"""Readings with what other tables and files say of the same machines: further sensors, events, attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Int64s
from ml.cleaning import clock
from ml.cleaning.notation.times import TimeFormat
from ml.cleaning.parsing import asset_names, plain
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError
from ml.findings import Finding
from ml.ingest.sources.base import ShapedSource, Source
from ml.ingest.sources.layouts.tables import Attributes, Counts
from ml.ingest.sources.times import times_of
from ml.options.base import missing_column, quoted
from ml.options.layout import JoinedTable
from ml.options.schema import DEFAULT_TIMESTAMP_COLUMNS, SchemaConfig
from ml.options.tables import TableReference

OpenTable = Callable[[OrganizationConfig, TableReference, str], Source]


class JoinedSource(ShapedSource):
    """Rows of a source and of further tables of readings, each with the counts and attributes of its machine.

    Raises MissingColumnError, DataError, SourceError, ConfigError, IsolationError if a table cannot be opened, lacks a
    column, or holds what cannot be joined.

    Parameters
    ----------
    inner
        The source of the readings.
    config
        Names the tables.
    open_table
        Opens one of them: `ml.ingest.sources.open_table`. Tables of counts and attributes are read at once.
    """

    def __init__(self, inner: Source, config: OrganizationConfig, open_table: OpenTable) -> None:
        super().__init__(inner)
        self._asset = source_name(config.schema_config, config.schema_config.asset_column)
        self._zone = config.data_config.zone
        self._told_format = config.format_config.timestamp_format
        self._format: TimeFormat | None = None
        self._seen: set[str] = set()
        self._readings: list[_Readings] = []
        self._facts: dict[str, Counts | Attributes] = {}
        self._columns = dict.fromkeys(inner.columns())
        try:
            for name, table in config.layout_config.tables.items():
                self._add(name, table, config, open_table)
        except BaseException:
            self._close_tables()
            raise

    def columns(self) -> list[str]:
        """Those of the readings, then what the tables add."""
        return list(self._columns)

    def inner_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        """What is wanted of the readings, with machine and time if tables are joined by them."""
        keys = [time_column, *([] if self._asset is None else [self._asset])]
        own = self._inner.columns()
        return [name for name in dict.fromkeys([*columns, *keys]) if name in own]

    def shape(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the readings, then those of each further table of readings."""
        wanted = list(dict.fromkeys([*columns, *self.inner_columns(columns, time_column)]))
        more = (table.rows(wanted, time_column, self._asset, within) for table in self._readings)
        for batch in chain(batches, chain.from_iterable(more)):
            yield self._joined(batch, columns, time_column)

    def told(self) -> list[Finding | str]:
        """Machines that are in one table and not in the other."""
        return super().told() + [
            told for name, facts in self._facts.items() for told in facts.told(name, self._seen) if self._seen
        ]

    def close(self) -> None:
        """Close the readings and all tables."""
        self._close_tables()
        super().close()

    def _close_tables(self) -> None:
        for table in self._readings:
            table.source.close()

    def _add(self, name: str, table: JoinedTable, config: OrganizationConfig, open_table: OpenTable) -> None:
        field = f"layoutConfig.tables.{name}"
        source = open_table(config, table, field)
        keep = False
        try:
            asset = self._asset_of(source, table, field)
            if table.kind == "readings":
                time = _time_of(source, table, config.schema_config, field)
                readings = _Readings(source, table, asset, time, table.timezone or config.data_config.zone, field)
                self._readings.append(readings)
                self._columns |= dict.fromkeys(readings.sensors)
                keep = True
                return
            facts: Counts | Attributes
            if table.kind == "counts":
                facts = Counts.read(
                    source, table, asset, _time_of(source, table, config.schema_config, field), config, field
                )
            else:
                facts = Attributes.read(source, table, asset, field)
            twice = [column for column in facts.columns if column in self._columns]
            if twice:
                raise DataError(
                    f"{source.where} would add {quoted(twice)}, which the readings or another table have already",
                    field=field,
                    hint="rename the column, in a view or in the file",
                )
            self._facts[name] = facts
            self._columns |= dict.fromkeys(facts.columns)
        finally:
            if not keep:
                source.close()

    def _asset_of(self, source: Source, table: JoinedTable, field: str) -> str | None:
        """The table's column of machines; None if all is of one machine."""
        available = source.columns()
        if self._asset is None:
            if table.kind == "attributes" or table.asset_column is not None:
                raise ConfigError(
                    f"{field} is joined by the machine, and the readings have no column for it",
                    field="schemaConfig.assetColumn",
                )
            return None
        name = table.asset_column or self._asset
        if name not in available:
            raise missing_column(source.where, name, available, f"{field}.assetColumn")
        return name

    def _joined(self, batch: pa.RecordBatch, columns: Sequence[str], time_column: str) -> pa.RecordBatch:
        held = {name: batch.column(name) for name in batch.schema.names}
        facts = [each for each in self._facts.values() if any(name in columns for name in each.columns)]
        if facts:
            assets = None if self._asset is None else asset_names(held[self._asset], self._asset)
            if assets is not None:
                self._seen.update(pc.drop_null(pc.unique(assets)).to_pylist())
            time = self._times(held[time_column], time_column)
            for each in facts:
                held |= each.of_rows(assets, time, columns)
        arrays = [held[name] if name in held else pa.nulls(batch.num_rows) for name in columns]
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _times(self, column: pa.Array, name: str) -> Int64s:
        if self._format is None:
            self._format = times_of(self._inner, name, self._told_format, self._zone, "formatConfig.timestampFormat")
        return self._format.to_microseconds(plain(column), self._zone, name)


class _Readings:
    """A further table of readings."""

    def __init__(self, source: Source, table: JoinedTable, asset: str | None, time: str, zone: str, field: str) -> None:
        self.source = source
        self._asset, self._time, self._zone = asset, time, zone
        self._times = times_of(source, time, table.timestamp_format, zone, f"{field}.timestampFormat")
        available = source.columns()
        for name in table.columns:
            if name not in available:
                raise missing_column(source.where, name, available, f"{field}.columns")
        self.sensors = [name for name in table.columns or available if name not in (asset, time)]

    def rows(
        self, columns: Sequence[str], time_column: str, asset_column: str | None, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        """Its rows under the names of the readings, with times in UTC."""
        sensors = [name for name in columns if name in self.sensors and name not in (time_column, asset_column)]
        stored = list(dict.fromkeys([self._time, *([] if self._asset is None else [self._asset]), *sensors]))
        for batch in self.source.read(stored, time_column=self._time, within=within):
            time = self._times.to_microseconds(plain(batch.column(self._time)), self._zone, self._time)
            held = {time_column: pa.array(time, pa.timestamp("us", "UTC"), mask=time == clock.UNREADABLE)}
            if self._asset is not None and asset_column is not None:
                held[asset_column] = batch.column(self._asset)
            held |= {name: batch.column(name) for name in sensors}
            yield pa.RecordBatch.from_arrays(list(held.values()), names=list(held))


def source_name(schema: SchemaConfig, name: str | None) -> str | None:
    """The name that a source has for a column of ours."""
    return next((theirs for theirs, ours in schema.column_mapping.items() if ours == name), name)


def _time_of(source: Source, table: JoinedTable, schema: SchemaConfig, field: str) -> str:
    """The table's time column."""
    usual = [schema.timestamp_column] if schema.timestamp_column is not None else list(DEFAULT_TIMESTAMP_COLUMNS)
    names = [table.timestamp_column] if table.timestamp_column else [source_name(schema, name) for name in usual]
    available = source.columns()
    found = next((name for name in names if name in available), None)
    if found is None:
        raise missing_column(source.where, str(names[0]), available, f"{field}.timestampColumn")
    return found
