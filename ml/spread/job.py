"""What the workers of a search must know besides a trial's values: a file in the organisation's own folder.

It has the configuration without anything that says where rows or finished trials are kept, and the path of the prepared
data. It is gone when the search ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml.config import OrganizationConfig
from ml.errors import IsolationError
from ml.workspace.files import read_json, scratch_directory, write_json
from ml.workspace.paths import OrganizationPaths

if TYPE_CHECKING:
    from ml.scada.prepared import Prepared

_JOB = "job.json"
_ROWS = "prepared.parquet"


@contextmanager
def written_job(
    config: OrganizationConfig, paths: OrganizationPaths, data: Prepared, data_file: Path | None
) -> Iterator[Path]:
    """The file of a search while the block lasts.

    Parameters
    ----------
    data, data_file
        What is searched on, and the file of prepared data that holds it; None: it is written beside the job.
    """
    from ml.scada.prepared import write_prepared

    unneeded = {"scada_db_config": None, "data_source": None}
    nothing = dict.fromkeys(("storage", "storage_password_env", "storage_password_file"))
    tuning = config.tuning_config.model_copy(update=nothing)
    told = config.model_copy(update={**unneeded, "tuning_config": tuning})
    with scratch_directory(paths.run(config.version), "workers") as folder:
        rows = data_file or folder / _ROWS
        if data_file is None:
            write_prepared(rows, data, organization_id=config.organization_id, config_digest="")
        write_json(folder / _JOB, {"config": told.to_dict(), "data": str(rows.resolve())})
        yield folder / _JOB


def read_job(organization_id: str, root: Path, file: Path) -> tuple[OrganizationConfig, Prepared]:
    """What a worker works on.

    Raises
    ------
    IsolationError
        If the file, what it says or the data is another organisation's.
    MissingArtifactError
        If it is not there: workers need the same workspace under the same path.
    """
    from ml.scada.prepared import read_prepared

    paths = OrganizationPaths(organization_id, root)
    job = read_json(paths.readable_file(file, "the job of the search"), "the job of the search")
    config = OrganizationConfig.from_dict(job["config"])
    if config.organization_id != organization_id:
        raise IsolationError("the job of the search is another organisation's")
    data = paths.readable_file(job["data"], "the prepared data")
    return config, read_prepared(data, organization_id=organization_id)
