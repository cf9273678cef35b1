"""A small history in a PostgreSQL table, and the configuration that reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import sql

from ml.config import OrganizationConfig
from tests.databases.server import Database

START = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = ("created_timestamp", "asset", "temperature", "pressure", "alarm", "failure_indicator")
TYPES = ("timestamptz", "text", "double precision", "real", "boolean", "integer")
Row = tuple[Any, ...]


def readings(hours: int = 48, assets: int = 2, seed: int = 3) -> list[Row]:
    """One row an hour and asset, in order of time, with a failure of two hours every day and some missing values."""
    rng = np.random.default_rng(seed)
    return [
        (
            START + timedelta(hours=hour),
            f"P-{asset}",
            None if rng.random() < 0.05 else round(float(rng.normal(80, 5)), 3),
            round(float(rng.normal(3, 0.2)), 2),
            bool(rng.random() < 0.1),
            int(hour % 24 in (12, 13)),
        )
        for hour in range(hours)
        for asset in range(assets)
    ]


def create_table(
    database: Database, rows: list[Row], name: str = "readings", columns: Any = COLUMNS, types: Any = TYPES
) -> None:
    """Create, fill and index a table that the read-only role may read."""
    table = sql.Identifier(*name.split("."))
    declared = [
        sql.SQL("{} " + kind).format(sql.Identifier(column)) for column, kind in zip(columns, types, strict=True)
    ]
    database.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(declared)))
    database.insert(name, columns, rows)
    database.execute(sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.Identifier(columns[0])))
    database.let_read(name)


def document(database: Database, connection: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """The configuration as JSON; `connection` is laid over scadaDbConfig, `sections` over the section of that name."""
    whole: dict[str, Any] = {
        "organizationId": "plant_a",
        "schemaConfig": {
            "continuousColumns": ["temperature", "pressure"],
            "booleanColumns": ["alarm"],
            "assetColumn": "asset",
        },
        "scadaDbConfig": database.settings(**(connection or {})),
        "dataConfig": {"predictionHorizonSeconds": 14_400, "samplingIntervalSeconds": 3600},
    }
    for name, section in sections.items():
        whole[name] = {**whole[name], **section} if isinstance(section, dict) and name in whole else section
    return whole


def config(database: Database, connection: dict[str, Any] | None = None, **sections: Any) -> OrganizationConfig:
    """As `document`, checked."""
    return OrganizationConfig.from_dict(document(database, connection, **sections))
