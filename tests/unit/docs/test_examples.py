"""The examples run as they are written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig
from ml.ingest.prepare import prepare

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_a_view_of_a_maintenance_log_is_a_list_of_failures(tmp_path: Path) -> None:
    times = pd.date_range("2024-03-01", periods=24 * 20, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    readings = pd.concat(
        [
            pd.DataFrame({"machine": name, "time": times, "temperature": np.arange(len(times)) % 7, "vibration": 1.5})
            for name in ("press 1", "press 2")
        ]
    )
    log = pd.DataFrame(
        [
            ("press 1", "breakdown", "2024-03-05 10:00:00", "2024-03-05 14:00:00", " Pump"),
            ("press 1", "inspection", "2024-03-07 10:00:00", "2024-03-07 11:00:00", "pump"),
            ("press 2", "breakdown", "2024-03-09 08:30:00", None, "VALVE"),
            ("press 2", "breakdown", None, None, "valve"),
        ],
        columns=["machine", "kind", "reported_at", "repaired_at", "component"],
    )
    with closing(sqlite3.connect(tmp_path / "plant.db")) as database:
        readings.to_sql("readings", database, index=False)
        log.to_sql("maintenance_log", database, index=False)
        database.executescript((EXAMPLES / "maintenance_log.sql").read_text(encoding="utf-8"))
    text = (EXAMPLES / "maintenance_log.json").read_text(encoding="utf-8")
    config = OrganizationConfig.from_json(text.replace("plant.db", str(tmp_path / "plant.db")))
    failures = prepare(config).summary["failureEvents"]
    assert failures["perMode"] == {"pump": 1, "valve": 1}
    assert [event["asset"] for event in failures["events"]] == ["press 1", "press 2"]
