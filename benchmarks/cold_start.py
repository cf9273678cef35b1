"""What a new process spends on compiled kernels once an earlier process has compiled them.

    python -m benchmarks.cold_start

Two processes compute the same features with every kernel; the second one's first call, less a later call, is what it
spends on loading compiled code. Prints seconds as JSON, the median of five such processes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import run
from benchmarks.results import median

if TYPE_CHECKING:
    from ml.config import OrganizationConfig

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 5


def main() -> int:
    """Measure and print."""
    if "--once" in sys.argv[1:]:
        sys.stdout.write(json.dumps(_first_and_later()))
        return 0
    command = [sys.executable, "-m", "benchmarks.cold_start", "--once"]
    run(command, folder=ROOT)  # compiles, where nobody has yet
    loading = [
        first - later for first, later in (json.loads(run(command, folder=ROOT).output) for _ in range(PROCESSES))
    ]
    sys.stdout.write(json.dumps({"secondsOnKernels": round(median(loading), 3), "worst": round(max(loading), 3)}))
    return 0


def _first_and_later() -> tuple[float, float]:
    import numpy as np
    import pandas as pd
    import scipy.linalg  # noqa: F401 - numba asks for it; LightGBM and scikit-learn have loaded it in every step

    from ml.config import OrganizationConfig
    from ml.features import FeatureEngineer

    config = OrganizationConfig.from_dict(
        {
            "organizationId": "benchmark",
            "schemaConfig": {
                "continuousColumns": ["load", "pressure", "flow", "voltage", "current", "vibration", "total"],
                "booleanColumns": ["pump"],
                "counterColumns": ["total"],
                "operatingColumns": ["load"],
                "columnRoles": {
                    "pressure": "pressure", "flow": "flow", "voltage": "voltage", "current": "current",
                    "vibration": "vibration",
                },
                "rollingWindows": [5, 80],
                "lagSeconds": [60],
            },
            "dataConfig": {"samplingIntervalSeconds": 60},
            "featureConfig": {"families": {"time": True, "regime": {"count": 2}}},
        }
    )  # fmt: skip
    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.normal(50, 10, 500) for name in config.schema_config.sensor_columns})
    frame["pump"] = 1.0
    frame["total"] = np.arange(500.0)
    frame = frame.astype({name: np.float32 for name in frame.columns if name != "total"})
    frame["segment"] = 0
    frame["timestamp"] = pd.date_range("2024-01-01", periods=500, freq="min", tz="UTC")
    state = _state(config)
    began = time.perf_counter()
    FeatureEngineer.from_dict(state).matrix(frame)
    first = time.perf_counter()
    FeatureEngineer.from_dict(state).matrix(frame)
    return first - began, time.perf_counter() - first


def _state(config: OrganizationConfig) -> dict[str, Any]:
    """A fitted state as a stored version has it, made without a kernel: constants and regimes are invented."""
    from ml.features import STATE_FORMAT, FeatureEngineer

    schema = config.schema_config
    pair = [50.0, 10.0]
    return {
        "formatVersion": STATE_FORMAT,
        "config": config.model_dump(mode="json", by_alias=True),
        "interval": 60,
        "constants": dict.fromkeys(schema.continuous_columns, pair),
        "sensors": dict.fromkeys(schema.continuous_columns, pair),
        "regimes": {
            "columns": ["load"],
            "scaling": [pair],
            "centroids": [[-1.0], [1.0]],
            "constants": {name: [pair] * 3 for name in schema.continuous_columns if name != "load"},
        },
        "features": FeatureEngineer(config).get_feature_names_out(),
        "scaling": {"method": "none", "center": [], "scale": []},
    }


if __name__ == "__main__":
    raise SystemExit(main())
