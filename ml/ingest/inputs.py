"""What a step reads: an organisation's prepared data, made on the spot if no earlier step did."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError, IntegrityError
from ml.ingest.prepare import prepare, prepare_to_file
from ml.ingest.prepared.data import Prepared, is_prepared, read_prepared
from ml.ingest.prepared.fingerprint import Fingerprint, read_fingerprint
from ml.ingest.prepared_csv import is_prepared_csv, read_prepared_csv, write_prepared_csv
from ml.ingest.sources.folder import files_of, folder_of, is_several
from ml.ingest.sources.sqlite_files import refuse_second_names, state_of
from ml.progress import ProgressCallback
from ml.workspace.files import json_if_readable, remove_below, sha256, staged_file, write_json
from ml.workspace.locks import slices_lock
from ml.workspace.paths import OrganizationPaths

log = logging.getLogger(__name__)

_DIGEST_KEY = "preparedDataSha256"


@dataclass(frozen=True)
class Input:
    """Prepared data and where it came from."""

    data: Prepared
    digest: str  # SHA-256 of the file the data was read from
    source: str  # the same in words, for reports


def refuse_foreign_source(config: OrganizationConfig, paths: OrganizationPaths) -> None:
    """Check that every configured file exists and does not lie with another organisation.

    Raises IsolationError, MissingArtifactError, DataError as `OrganizationPaths.readable_file`.
    """
    if config.data_source is not None:
        refuse_foreign_files(Path(config.data_source.path), paths, "dataSource.path")
    refuse_foreign_tables(config, paths)
    if (database := config.scada_db_config) is not None:
        if database.database_file is not None:
            refuse_second_names(paths.readable_file(database.database_file, "scadaDbConfig.database"))
        if database.ssl_root_cert not in (None, "system"):
            paths.readable_file(str(database.ssl_root_cert), "scadaDbConfig.sslRootCert")


def refuse_foreign_tables(config: OrganizationConfig, paths: OrganizationPaths, section: str = "") -> None:
    """As `refuse_foreign_source`, of the tables beside the readings that are named in a section, or in any."""
    for field, table in config.tables.items():
        if table.path is not None and field.startswith(section):
            refuse_foreign_files(Path(table.path), paths, f"{field}.path")


def refuse_foreign_files(path: Path, paths: OrganizationPaths, what: str) -> None:
    """Check a file, or every file of a folder or pattern; raises as `refuse_foreign_source`."""
    several = "\0" not in str(path) and is_several(path)
    if several:
        paths.not_foreign(folder_of(path), what)  # before anything in it is looked at
    for file in files_of(path) if several else [path]:
        paths.readable_file(file, what)


def prepare_and_keep(
    config: OrganizationConfig, paths: OrganizationPaths, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Prepare the configured source, write prepared_data.parquet and data_summary.json, and return the summary.

    Raises ConfigError if the configuration names no source.
    """
    if not config.names_a_source:
        raise ConfigError(
            "the configuration names no source of data and nothing has been prepared",
            field="scadaDbConfig",
            hint="add scadaDbConfig or dataSource, or run data_prep.py with a configuration that has one",
        )
    refuse_foreign_source(config, paths)
    target = paths.prepared_data(config.version)
    origin = _origin(config)
    reading = nullcontext() if config.scada_db_config is None else slices_lock(paths)
    with reading, staged_file(target) as staged:
        summary = prepare_to_file(config, staged, config_digest=origin, slices=paths.slices, progress=progress)
    write_json(paths.data_summary(config.version), {**summary, _DIGEST_KEY: sha256(target)})
    _keep_csv(config, paths)
    return summary


def _keep_csv(config: OrganizationConfig, paths: OrganizationPaths) -> None:
    """Write the prepared data as CSV if asked to; else take away what was written of other data."""
    file = paths.prepared_csv(config.version)
    if config.data_config.prepared_format != "csv":
        remove_below(file)
        return
    with staged_file(file) as staged:
        write_prepared_csv(paths.prepared_data(config.version), staged)


def prepared_data(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    progress: ProgressCallback | None = None,
    *,
    argument: str | None = None,
    sensors: bool = True,
) -> Input:
    """The data a step works on: the file named on the command line, else what data_prep wrote, else prepared now.

    Prepared data is reused if it was made of the same source with the same columns, grid and labels, a source file has
    not changed since, and neither has the prepared data, by its SHA-256. Without a source in the configuration it must
    have the same columns, grid and labels. Without `sensors` those columns are left where they are.

    Raises DataError if there is no source and the prepared data was made with other settings, or a named file cannot be
    used; IsolationError, IntegrityError if a file is another organisation's, or was written by a newer release.
    """
    if argument is not None:
        return external_data(config, paths, paths.readable_file(argument, "the data"), progress=progress)
    fingerprint = _kept_fingerprint(config, paths)
    if fingerprint is None:
        prepare_and_keep(config, paths, progress)
    elif not config.names_a_source:
        if not fingerprint.config_digest.startswith(config.settings_digest()):
            raise DataError(
                "the prepared data was made with other columns, grid or labels than this configuration asks for, and "
                "the configuration names no source to prepare it again from",
                field="dataConfig",
                hint="use the settings that data_prep.py was given, or name the source",
            )
    elif not is_current(config, paths):
        prepare_and_keep(config, paths, progress)
    return kept_data(config, paths, sensors=sensors)


def is_current(config: OrganizationConfig, paths: OrganizationPaths) -> bool:
    """Whether the prepared data was made of the configured source, as it is now, with the same settings.

    Raises IsolationError, MissingArtifactError, DataError as `refuse_foreign_source`.
    """
    refuse_foreign_source(config, paths)
    kept, fingerprint = paths.prepared_data(config.version), _kept_fingerprint(config, paths)
    if fingerprint is None:
        return False
    if fingerprint.config_digest != _origin(config):
        log.info("the source or the settings of the data have changed; preparing it again")
        return False
    if json_if_readable(paths.data_summary(config.version)).get(_DIGEST_KEY) != sha256(kept):
        log.warning("%s is not what data_prep wrote; preparing it again", kept.name)
        return False
    log.info("reusing %s", kept.name)
    return True


def _kept_fingerprint(config: OrganizationConfig, paths: OrganizationPaths) -> Fingerprint | None:
    """That of the data prepared before; None if there is none, or none that can be read and a source to replace it."""
    kept = paths.prepared_data(config.version)
    try:
        return read_fingerprint(kept) if kept.is_file() else None
    except IntegrityError as failure:
        if not config.names_a_source:
            raise
        log.warning("%s; preparing it again", failure.message)
        return None


def kept_data(config: OrganizationConfig, paths: OrganizationPaths, *, sensors: bool = True) -> Input:
    """What data_prep or train_model wrote for this version, as it is.

    Raises MissingArtifactError if nothing has been prepared.
    """
    kept = paths.prepared_data(config.version)
    prepared = read_prepared(kept, organization_id=config.organization_id, sensors=sensors)
    return Input(prepared, sha256(kept), "the organisation's prepared data")


def _origin(config: OrganizationConfig) -> str:
    """What prepared data depends on: the settings, the source, and the state of a source file."""
    source, database = config.data_source, config.scada_db_config
    file = source.path if source else database.database_file if database else None
    files = [file, *(table.path for table in config.tables.values())]
    changed = "".join(_state_of(Path(each)) for each in files if each is not None)
    without = ":withoutFailures" if config.may_lack_failures else ""
    return f"{config.settings_digest()}:{config.source_digest()}{changed}{without}"


def _state_of(path: Path) -> str:
    """What changes when a file does, or any file of a folder or pattern."""
    if not is_several(path):
        return state_of(path.resolve())
    states = [f"{file.name}{state_of(file)}" for file in files_of(path)]
    return ":" + hashlib.sha256("\0".join(states).encode("utf-8", "surrogateescape")).hexdigest()


def external_data(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    file: Path,
    *,
    interval: int | None = None,
    own_gaps: Mapping[str, int] | None = None,
    progress: ProgressCallback | None = None,
) -> Input:
    """Data from a file that the user named: prepared already, or readings to prepare on a grid of `interval`.

    `own_gaps` are a model's gap limits of slow assets; None: as the readings show.
    """
    file = paths.readable_file(file, "the data")
    if is_prepared(file):
        prepared = read_prepared(file, organization_id=config.organization_id)
    elif is_prepared_csv(file):
        prepared = read_prepared_csv(file, config, interval=interval)
    else:
        refuse_foreign_tables(config, paths)
        prepared = prepare(config, source_path=file, interval=interval, own_gaps=own_gaps, progress=progress)
    return Input(prepared, sha256(file), file.name)
