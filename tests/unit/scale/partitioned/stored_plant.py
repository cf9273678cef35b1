"""A small plant with every kind of sensor, in memory and as a prepared file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig
from ml.ingest.prepared.data import Prepared
from ml.ingest.prepared.label_columns import STATUSES
from ml.scale.partitioned.stored import Stored
from ml.workspace.files import sha256
from tests.prepared_file import write_prepared
from tests.unit.learning.grid_frames import regular_plant

INTERVAL, HORIZON = 60, 600
ORGANIZATION = "plant_a"


def plant() -> pd.DataFrame:
    """Five machines whose sensors rise before failures, at two loads, with gaps, a counter and a switch."""
    frame = regular_plant(5, 2400, 120, horizon=HORIZON)
    random = np.random.default_rng(0)
    n_rows = len(frame)
    frame["segment"] = (frame["asset_id"].factorize()[0] * 3 + np.arange(n_rows) % 2400 // 900).astype(np.int32)
    load = np.repeat(random.choice([10.0, 50.0], n_rows // 100), 100)
    for sensor, spread in (("pressure", 1.0), ("temperature", 2.0), ("vibration", 3.0)):
        values = load + random.normal(size=n_rows) * spread + 3 * (frame["label"] == 1)
        values[random.random(n_rows) < 0.02] = np.nan
        frame[sensor] = values.astype(np.float32)
    frame["load"] = (load + random.normal(0, 0.1, n_rows)).astype(np.float32)
    frame["volume"] = 2.5e8 + np.cumsum(random.integers(0, 4, n_rows)).astype(np.float64)
    frame["pump"] = np.repeat(random.integers(0, 2, n_rows // 20), 20).astype(np.float32)
    frame["status"] = pd.Categorical([STATUSES[0]] * n_rows, categories=list(STATUSES))
    sensors = ["pressure", "temperature", "vibration", "load", "volume", "pump"]
    return frame[["asset_id", "timestamp", "segment", *sensors, "target", "event", "label", "status"]]


def config(**sections: Any) -> OrganizationConfig:
    """The organisation's configuration, with a source and a password that no worker may see."""
    training = {
        "engine": "dask",
        "threads": 1,
        "earlyStoppingRounds": 10,
        "lgbParams": {"numLeaves": 7, "learningRate": 0.1, "numIterations": 20, "minDataInLeaf": 20},
    }
    return OrganizationConfig.from_dict(
        {
            "organizationId": ORGANIZATION,
            "version": "v1",
            "schemaConfig": {
                "continuousColumns": ["pressure", "temperature", "vibration", "load", "volume"],
                "booleanColumns": ["pump"],
                "counterColumns": ["volume"],
                "operatingColumns": ["load"],
                "columnRoles": {"pressure": "pressure", "temperature": "temperature"},
                "rollingWindows": [5, 20],
                "lagSeconds": [60],
            },
            "scadaDbConfig": {
                "driver": "postgresql", "host": "db.example", "database": "scada", "table": "readings",
                "user": "reader", "password": SECRET,
            },
            "dataConfig": {"predictionHorizonSeconds": HORIZON},
            "trainingConfig": training | sections.pop("training", {}),
            **sections,
        }
    )  # fmt: skip


SECRET = "a-password-that-no-task-may-hold"


def stored_in(folder: Path, frame: pd.DataFrame) -> Stored:
    """The frame as a prepared file."""
    path = folder / "prepared_data.parquet"
    prepared = Prepared(frame, {"horizonSeconds": HORIZON}, INTERVAL, 2 * INTERVAL)
    write_prepared(path, prepared, organization_id=ORGANIZATION, config_digest="0" * 64)
    return Stored(str(path), ORGANIZATION, sha256(path))
