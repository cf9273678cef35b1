"""Sources whose rows are not one instant of one machine each: long form, and tables that are joined."""

from __future__ import annotations

from collections.abc import Callable

from ml.config import OrganizationConfig
from ml.ingest.sources.base import Source
from ml.options.layout import LayoutConfig
from ml.options.tables import TableReference

OpenTable = Callable[[OrganizationConfig, TableReference, str], Source]


def with_layout(source: Source, config: OrganizationConfig, open_table: OpenTable) -> Source:
    """The source as rows of one instant of one machine, as `config` says that it lies; raises as `open_source`.

    Parameters
    ----------
    open_table
        Opens the tables that are joined: `ml.ingest.sources.open_table`.
    """
    layout = config.layout_config
    if layout == LayoutConfig():
        return source
    try:
        if layout.layout == "long":
            from ml.ingest.sources.layouts.long_form import LongSource

            source = LongSource(source, layout, _tags(config), config.schema_config.asset_column)
        if layout.tables:
            from ml.ingest.sources.layouts.joined import JoinedSource

            source = JoinedSource(source, config, open_table)
    except BaseException:
        source.close()
        raise
    return source


def _tags(config: OrganizationConfig) -> list[str]:
    """The columns that may be tags, as the source writes them: sensors, label, and a target that was named."""
    schema = config.schema_config
    source_name = {ours: theirs for theirs, ours in schema.column_mapping.items()}
    target = [schema.target_column] if "target_column" in schema.model_fields_set else []
    label = config.data_config.label_column
    names = [*schema.sensor_columns, *target, *([] if label is None else [label])]
    return list(dict.fromkeys(source_name.get(name, name) for name in names))
