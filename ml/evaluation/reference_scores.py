"""Scores from elsewhere, such as an existing alarm or a simulation's hidden truth, beside the model's."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.arrays import Float64s
from ml.cleaning.clock import UNREADABLE, to_microseconds
from ml.errors import DataError, MissingColumnError
from ml.ingest.prepared.fingerprint import refuse_foreign
from ml.ingest.sources.driver_messages import words_of
from ml.options.delivery import ReferenceScore
from ml.workspace.paths import OrganizationPaths

_log = logging.getLogger(__name__)

_KEYS = ("asset_id", "timestamp")


def read_reference(reference: ReferenceScore, rows: pd.DataFrame, paths: OrganizationPaths) -> Float64s:
    """The latest score at or before each row; float64 (n_rows,), NaN where there is none yet.

    Scores without an asset or with a timestamp that cannot be read are left out; a timestamp without a zone is UTC.

    Raises DataError, MissingColumnError or IsolationError if the file cannot be used, or is another organisation's.

    Parameters
    ----------
    rows
        `asset_id` and `timestamp` (UTC) of the rows to score.
    """
    field = f"validationConfig.referenceScores ({reference.name})"
    file = paths.readable_file(reference.path, field)
    refuse_foreign(file, organization_id=paths.organization_id)
    scores = _scores(_read_table(file, field), reference.column, file.name, field).sort_values("timestamp")
    wanted = rows[list(_KEYS)].assign(position=np.arange(len(rows))).sort_values("timestamp")
    wanted["asset_id"] = wanted["asset_id"].astype("str")
    merged = pd.merge_asof(wanted, scores, on="timestamp", by="asset_id").sort_values("position")
    return np.asarray(merged["score"], dtype=np.float64)


def _read_table(file: Path, field: str) -> pd.DataFrame:
    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, dtype=dict.fromkeys(_KEYS, "str"))  # as written: an asset "007" is not "7"
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{file.name} cannot be read as a table: {words_of(error)}", field=field) from error


def _scores(table: pd.DataFrame, column: str, name: str, field: str) -> pd.DataFrame:
    """`asset_id`, `timestamp` and `score` of the usable rows; `name` is the file's, for messages."""
    for needed in (*_KEYS, column):
        if needed not in table.columns:
            raise MissingColumnError(f'{name} has no column "{needed}"', field=field)
    if len(table) == 0:
        raise DataError(f"{name} has no rows", field=field)
    try:
        time = to_microseconds(pa.array(table["timestamp"].array, from_pandas=True), "UTC", "timestamp")
        score = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    except (pa.ArrowException, DataError, TypeError, ValueError) as error:
        raise DataError(f"{name} holds values that are no times or no numbers: {error}", field=field) from error
    usable = (time != UNREADABLE) & table["asset_id"].notna().to_numpy()
    if not usable.any():
        raise DataError(
            f"none of the {len(table):,} rows of {name} has both an asset_id and a timestamp that can be read",
            field=field,
            hint="write timestamps in ISO 8601, such as 2024-05-01T12:00:00Z",
        )
    if not usable.all():
        _log.warning("%s: %d of %d rows have no asset or no readable time", name, (~usable).sum(), len(table))
    return pd.DataFrame(
        {
            "asset_id": table["asset_id"].astype("str").to_numpy(),
            "timestamp": pd.to_datetime(np.where(usable, time, 0), unit="us", utc=True).as_unit("us"),
            "score": score,
        }
    )[usable]
