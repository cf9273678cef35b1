"""Irregular readings with everything that the grid has a rule for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig

INTERVAL = 60
MAX_GAP = 240


def config(aggregation: str = "last") -> OrganizationConfig:
    """Two sensors, a totaliser and a switch, with features that look back 20 samples and further."""
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {
                "assetColumn": "machine",
                "continuousColumns": ["temp", "vib", "total"],
                "booleanColumns": ["pump"],
                "counterColumns": ["total"],
                "lagSeconds": [60, 1200],
                "rollingWindows": [3, 20],
            },
            "dataConfig": {"samplingIntervalSeconds": INTERVAL, "maxGapSeconds": MAX_GAP, "aggregation": aggregation},
        }
    )


def readings(seed: int, n_rows: int = 400, n_assets: int = 3) -> pd.DataFrame:
    """Readings of several machines as a source has them: any spacing, pauses, losses, repeated instants, by machine."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(n_assets):
        rows = int(random.integers(1, n_rows))
        spacing = random.choice(
            [0, 1, 30, 60, 61, 239, 240, 241, 900], rows, p=[0.02, 0.1, 0.2, 0.4, 0.1] + [0.045] * 4
        )
        seconds = 1_700_000_000 + int(random.integers(0, 120)) + np.cumsum(spacing)
        frame = pd.DataFrame({"machine": f"M{number}", "timestamp": pd.to_datetime(seconds, unit="s", utc=True)})
        for name in ("temp", "vib"):
            frame[name] = np.where(random.random(rows) < 0.1, np.nan, random.normal(20, 5, rows).round(1))
        frame["total"] = 2.5e8 + 3.0 * np.cumsum(random.integers(0, 3, rows))
        frame["pump"] = random.choice([0.0, 1.0, np.nan], rows, p=[0.6, 0.3, 0.1])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
