"""The newest row's features from its window alone, as a client that scores every new reading would ask for them.

    python -m benchmarks.latest_row

Prints microseconds per call as JSON, over windows that all differ, and how many cells differ from the batch.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig
from ml.features import FeatureEngineer

CALLS = 3_000
SENSORS = 8
INTERVAL = 60


def main() -> int:
    """Measure and print."""
    names = [f"s{number}" for number in range(SENSORS)]
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "benchmark",
            "schemaConfig": {
                "continuousColumns": names,
                "rollingWindows": [5, 20, 60, 150, 300],
                "lagSeconds": [60, 300, 1200],
            },
            "dataConfig": {"samplingIntervalSeconds": INTERVAL},
        }
    )
    random = np.random.default_rng(0)
    rows = CALLS + 400
    frame = pd.DataFrame({name: random.normal(50, 10, rows).astype(np.float32) for name in names})
    frame["segment"] = 0
    frame["timestamp"] = pd.date_range("2024-01-01", periods=rows, freq=f"{INTERVAL}s", tz="UTC")
    engineer = FeatureEngineer(config).fit(frame)
    batch = engineer.matrix(frame)
    values, length = frame[names].to_numpy(np.float64), engineer.look_back
    microseconds, differing = [], 0
    for t in range(rows - CALLS, rows):
        window = np.ascontiguousarray(values[t - length + 1 : t + 1])
        began = time.perf_counter()
        latest = engineer.latest(window)
        microseconds.append((time.perf_counter() - began) * 1e6)
        differing += int((latest.view(np.uint32) != np.ascontiguousarray(batch[t]).view(np.uint32)).sum())
    figures = {
        "features": len(engineer.features),
        "window": length,
        "p50Us": round(float(np.median(microseconds)), 1),
        "p99Us": round(float(np.quantile(microseconds, 0.99)), 1),
        "differingCells": differing,
    }
    sys.stdout.write(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
