"""A small raw history in every form that a source can have."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig


def raw_history(rows: int = 300, seed: int = 7) -> pd.DataFrame:
    """Two pumps, one row a minute, with a pause, losses and two failures each; times as ISO text."""
    rng = np.random.default_rng(seed)
    frames = []
    for asset in ("P-1", "P-2"):
        time = pd.date_range("2024-01-01", periods=rows, freq="min").delete(slice(100, 140))
        failed = np.zeros(len(time), dtype=int)
        failed[[80, 81, 82, 200, 201]] = 1
        frame = pd.DataFrame(
            {
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S"),
                "machine": asset,
                "temperature": rng.normal(80, 5, len(time)).round(3),
                "volume": 2.5e8 + np.arange(len(time)) * 0.37,
                "alarm_active": rng.integers(0, 2, len(time)),
                "remark": 'a "quoted" remark, with comma',
                "failure_indicator": failed,
            }
        )
        frame.loc[rng.random(len(time)) < 0.1, "temperature"] = np.nan
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def to_sqlite(frame: pd.DataFrame, path: Path, table: str = "readings") -> Path:
    """Write a table without declared types, so that it holds whatever the frame holds."""
    quoted = ['"' + str(name).replace('"', '""') + '"' for name in frame.columns]
    name = '"' + table.replace('"', '""') + '"'
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"CREATE TABLE {name} ({', '.join(quoted)})")
        connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(quoted))})", values)
    connection.close()
    return path


def config(path: Path, **sections: dict[str, Any]) -> OrganizationConfig:
    """The configuration that reads `raw_history` from `path`; sections are merged over it."""
    sqlite = path.suffix == ".db"
    whole: dict[str, Any] = {
        "organizationId": "plant_a",
        "schemaConfig": {
            "continuousColumns": ["temperature", "volume"],
            "booleanColumns": ["alarm_active"],
            "counterColumns": ["volume"],
            "assetColumn": "machine",
        },
        "dataConfig": {"predictionHorizonSeconds": 600},
        "scadaDbConfig" if sqlite else "dataSource": {"driver": "sqlite", "database": str(path), "table": "readings"}
        if sqlite
        else {"path": str(path)},
    }
    for name, section in sections.items():
        whole[name] = {**whole.get(name, {}), **section}
    return OrganizationConfig.from_dict(whole)
