"""Scores from elsewhere, such as an existing alarm or a simulation's hidden truth, beside the model's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import DataError, MissingColumnError
from ml.options.delivery import ReferenceScore
from ml.workspace.paths import OrganizationPaths


def read_reference(reference: ReferenceScore, rows: pd.DataFrame, paths: OrganizationPaths) -> npt.NDArray[np.float64]:
    """The latest score at or before each row; float64 (n_rows,), NaN where there is none yet.

    Parameters
    ----------
    rows
        `asset_id` and `timestamp` (UTC) of the rows to score.

    Raises
    ------
    DataError, MissingColumnError, IsolationError
        If the file cannot be used, or is another organisation's.
    """
    field = f"validationConfig.referenceScores ({reference.name})"
    file = paths.readable_file(reference.path, field)
    read = pd.read_parquet if file.suffix == ".parquet" else pd.read_csv
    try:
        table = read(file)
    except (ValueError, OSError) as error:
        raise DataError(f"{file.name} cannot be read as a table: {error}", field=field) from error
    for name in ("asset_id", "timestamp", reference.column):
        if name not in table.columns:
            raise MissingColumnError(f'{file.name} has no column "{name}"', field=field)
    scores = pd.DataFrame(
        {
            "asset_id": table["asset_id"].astype(str),
            "timestamp": pd.to_datetime(table["timestamp"], utc=True).astype("datetime64[us, UTC]"),
            "score": pd.to_numeric(table[reference.column], errors="coerce").astype(np.float64),
        }
    ).sort_values("timestamp")
    wanted = rows[["asset_id", "timestamp"]].assign(position=np.arange(len(rows))).sort_values("timestamp")
    wanted["asset_id"] = wanted["asset_id"].astype(str)
    merged = pd.merge_asof(wanted, scores, on="timestamp", by="asset_id").sort_values("position")
    return np.asarray(merged["score"], dtype=np.float64)
