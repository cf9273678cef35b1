"""Where readings come from: one module per kind of source, one entry in `DRIVERS` per kind of database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.options.source import ScadaDbConfig
from ml.scada.sources.base import Source


def _sqlite(database: ScadaDbConfig, table: str | None) -> Source:
    from ml.scada.sources.sqlite import SqliteSource  # drivers are heavy; only the one in use is loaded

    return SqliteSource(Path(database.database), table)


def _postgresql(database: ScadaDbConfig, table: str | None) -> Source:
    del database, table
    raise ConfigError(
        "the postgresql driver is not available in this release",
        field="scadaDbConfig.driver",
        hint='use driver "sqlite", or export the table and give the file as dataSource.path',
    )


DRIVERS: dict[str, Callable[[ScadaDbConfig, str | None], Source]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}


def open_source(config: OrganizationConfig, path: Path | None = None) -> Source:
    """The source that `config` names, or the CSV or Parquet file at `path` in its place.

    Raises
    ------
    ConfigError
        If no source is configured, or its driver or table is not known.
    SourceError
        If the database cannot be opened.
    DataError
        If the file cannot be read.
    IsolationError
        If the file was prepared for another organisation.
    """
    if path is None and config.data_source is not None:
        path = Path(config.data_source.path)
    if path is not None:
        from ml.scada.sources.files import open_file

        return open_file(path, organization_id=config.organization_id)
    if config.scada_db_config is None:
        raise ConfigError(
            "the configuration names no source of data",
            field="scadaDbConfig",
            hint="give scadaDbConfig (a database) or dataSource.path (a CSV or Parquet file)",
        )
    database = config.scada_db_config
    return DRIVERS[database.driver](database, database.table or config.schema_config.table)
