"""The name of a search, which only searches of the same owner with comparable scores share."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from ml.learning.search.feature_sets import FeatureTable, SearchRows
from ml.options.learning import TrainingConfig, TuningConfig

FINGERPRINT_ROWS = 1_000  # enough to notice other data; hashing all of it would take longer than a trial
_PROTOCOL = 4  # raised when trials are scored or kept in another way, so that old ones are not mixed with new scores
_NO_MATTER = {"n_trials", "workers", "timeout_seconds", "storage", "storage_password_env", "storage_password_file"}


def search_fingerprint(
    owner: str, table: FeatureTable, rows: SearchRows, training: TrainingConfig, tuning: TuningConfig
) -> str:
    """``owner/`` and a SHA-256 of rows, folds and settings.

    Parameters
    ----------
    owner
        ``organisation/version``. Identifiers hold no slash, so no two owners have a name in common.
    table
        Of the configured features.
    """
    settings = {
        "protocol": _PROTOCOL,
        "training": training.model_dump(mode="json", exclude={"threads", "export_onnx"}),
        "tuning": tuning.model_dump(mode="json", exclude=_NO_MATTER),
        "names": table.names,
        "shape": table.X.shape,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(table.X[:: max(1, len(table.X) // FINGERPRINT_ROWS)]).tobytes())
    digest.update(np.asarray(rows.labels, dtype=np.int8).tobytes())
    for train, held_out in rows.folds:
        digest.update(np.asarray(train, dtype=np.int64).tobytes())
        digest.update(np.asarray(held_out, dtype=np.int64).tobytes())
    return f"{owner}/{digest.hexdigest()}"
