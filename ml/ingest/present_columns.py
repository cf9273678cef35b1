"""Sensors that nobody named for certain, held against what the source has."""

from __future__ import annotations

from contextlib import closing

from ml.config import OrganizationConfig
from ml.errors import MissingColumnError
from ml.findings import Finding
from ml.ingest.inputs import refuse_foreign_source
from ml.ingest.sources import open_source
from ml.options.base import listing
from ml.workspace.paths import OrganizationPaths


def with_present_columns(config: OrganizationConfig, paths: OrganizationPaths) -> OrganizationConfig:
    """The configuration without its optional sensors that the source does not have, which its findings then name.

    Columns that the organisation names itself stay, and are missed where they are read.

    Raises MissingColumnError if none of the sensors is there; ConfigError, SourceError, DataError, IsolationError,
    MissingArtifactError as opening the source.
    """
    if not config.optional_columns or not config.names_a_source:
        return config
    refuse_foreign_source(config, paths)
    with closing(open_source(config)) as source:
        available, where = list(source.columns()), source.where
    schema = config.schema_config
    source_name = {ours: theirs for theirs, ours in schema.column_mapping.items()}
    absent = [
        name
        for name in schema.sensor_columns
        if name in config.optional_columns and source_name.get(name, name) not in available
    ]
    if not absent:
        return config
    if len(absent) == len(schema.sensor_columns):
        raise MissingColumnError(
            f"{where} has none of the columns {', '.join(absent)}",
            field="featureColumns",
            hint=f"name the organisation's own in schemaConfig.continuousColumns; {listing(available)}",
        )
    finding = Finding(
        "COLUMNS_ABSENT",
        f"{where} has no {', '.join(absent)}: left out",
        "schemaConfig.continuousColumns",
        "name the columns that the organisation has in schemaConfig.continuousColumns",
    )
    return config.without_sensors(absent, finding)
