"""Where readings come from: one module per kind of source, one entry in `DRIVERS` per kind of database."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ml.cleaning.columns import find_timestamp
from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.ingest.sources.base import Source
from ml.ingest.sources.shared_table import USUAL_NAMES, OwnRows, Tenant
from ml.options.source import ScadaDbConfig
from ml.options.tables import TableReference

log = logging.getLogger(__name__)


def _sqlite(database: ScadaDbConfig, password: str | None, table: str | None, tenant: Tenant | None) -> Source:
    del password  # a file has none
    from ml.ingest.sources.sqlite import SqliteSource  # drivers are heavy; only the one in use is loaded

    return SqliteSource(Path(database.database), table, tenant)


def _postgresql(database: ScadaDbConfig, password: str | None, table: str | None, tenant: Tenant | None) -> Source:
    from ml.ingest.sources.postgresql.source import PostgresqlSource

    return PostgresqlSource(database, password, table, tenant)


def _sqlalchemy(database: ScadaDbConfig, password: str | None, table: str | None, tenant: Tenant | None) -> Source:
    from ml.ingest.sources.sqlalchemy import SqlalchemySource

    return SqlalchemySource(database, password, table, tenant)


DRIVERS: dict[str, Callable[[ScadaDbConfig, str | None, str | None, Tenant | None], Source]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "sqlalchemy": _sqlalchemy,
}


def open_source(config: OrganizationConfig, path: Path | None = None) -> Source:
    """The source that `config` names, or the CSV or Parquet file at `path` in its place.

    Raises ConfigError if no source is configured, or its driver or table is not known; SourceError if the database
    cannot be opened; MissingColumnError if the column of dates or of times of day is not there, where they are in two;
    DataError if the file cannot be read; IsolationError if the file was prepared for another organisation, or the
    password that is named is not this one's.
    """
    from ml.ingest.sources.layouts import with_layout

    return with_layout(_with_time_of_day(_open_rows(config, path), config), config, open_table)


def _with_time_of_day(rows: Source, config: OrganizationConfig) -> Source:
    """Rows with their times in one column."""
    time_of_day = config.format_config.time_of_day_column
    if time_of_day is None:
        return rows
    from ml.ingest.sources.date_and_time import DateAndTime

    return DateAndTime(rows, find_timestamp(config.schema_config, rows.columns(), rows.where), time_of_day)


def _open_rows(config: OrganizationConfig, path: Path | None) -> Source:
    """The rows as the source has them."""
    column = config.schema_config.organization_column
    tenant = None if column is None else Tenant(column, config.organization_id)
    if path is None and config.data_source is not None:
        path = Path(config.data_source.path)
    if path is not None:
        file = _open_files(config, path)
        return file if tenant is None else OwnRows(file, tenant)
    database = _database(config, "scadaDbConfig")
    source = _open_in_database(config, database, database.table or config.schema_config.table, tenant)
    if tenant is None:
        _warn_if_shared(source, config)
    return source  # the caller closes it


def _open_files(config: OrganizationConfig, path: Path, *, assets: bool = True) -> Source:
    """A file, or the files of a folder or pattern as one source; with `assets` names of files may be of machines."""
    from ml.ingest.sources.files import open_file
    from ml.ingest.sources.folder import FolderSource, files_of, is_several

    pattern = config.layout_config.asset_from_file_name if assets else None
    form = config.format_config if assets else None  # a second table has a form of its own
    asset = config.schema_config.asset_column
    if pattern is None and not is_several(path):
        return open_file(path, organization_id=config.organization_id, form=form)
    files = files_of(path)
    sources = [open_file(file, organization_id=config.organization_id, form=form) for file in files]
    named = None if pattern is None or asset is None else (asset, pattern)
    return FolderSource(path, sources, [file.name for file in files], named)


def open_table(config: OrganizationConfig, table: TableReference, field: str) -> Source:
    """A second table or file that the key `field` names; raises as `open_source`, and the caller closes it.

    Of a table that organisations share, with the column `organizationColumn`, the rows of this one come.
    """
    column = config.schema_config.organization_column
    tenant = None if column is None else Tenant(column, config.organization_id)
    if table.path is not None:
        file = _open_files(config, Path(table.path), assets=False)
        return file if tenant is None or tenant.column not in file.columns() else OwnRows(file, tenant)
    return _open_in_database(config, _database(config, field), table.table, tenant)


def _database(config: OrganizationConfig, field: str) -> ScadaDbConfig:
    if config.scada_db_config is None:
        raise ConfigError(
            "the configuration names no source of data"
            if field == "scadaDbConfig"
            else f"{field}.table is a table of a database, and the configuration names none",
            field=field,
            hint="give scadaDbConfig (a database), or the path of a CSV or Parquet file",
        )
    return config.scada_db_config


def _open_in_database(
    config: OrganizationConfig, database: ScadaDbConfig, table: str | None, tenant: Tenant | None
) -> Source:
    return DRIVERS[database.driver](database, database.secret(config.organization_id), table, tenant)


def _warn_if_shared(source: Source, config: OrganizationConfig) -> None:
    """A table that looks shared and is read whole may give one organisation the rows of another."""
    schema = config.schema_config
    used = {*schema.sensor_columns, *schema.column_mapping, schema.asset_column, schema.target_column}
    for name in source.columns():
        if name.replace("_", "").lower() in USUAL_NAMES and name not in used:
            log.warning(
                '%s has a column "%s": if organisations share it, name that column in schemaConfig.organizationColumn, '
                "or the rows of all of them are read",
                source.where,
                name,
            )
