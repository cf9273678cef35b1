"""The organisation of the furnace whose failures have four modes."""

from __future__ import annotations

from pathlib import Path

from simulation.furnace import COLUMNS, PAIRS, TABLE, WEAR
from tests.pipeline.backend import Json


def furnace_config(database: Path) -> Json:
    """Its configuration, small enough to train in seconds: a failure within ten minutes, at a row a minute."""
    return {
        "organizationId": "furnace",
        "version": "v1",
        "schemaConfig": {
            "continuousColumns": list(COLUMNS),
            "setPointPairs": [{"setPoint": f"{pair}sv", "value": f"{pair}pv"} for pair in PAIRS],
            "rollingWindows": [5, 10],
        },
        "scadaDbConfig": {"driver": "sqlite", "database": str(database), "table": TABLE},
        "failureConfig": {"columns": list(WEAR.values()), "modes": {part: [bit] for part, bit in WEAR.items()}},
        "dataConfig": {"samplingIntervalSeconds": 60, "predictionHorizonSeconds": 600, "recoverySeconds": 600},
        "trainingConfig": {
            "threads": 1,
            "minFailuresPerMode": 2,
            "lgbParams": {"numLeaves": 7, "numIterations": 60, "learningRate": 0.1, "minDataInLeaf": 20},
        },
        "validationConfig": {
            "untunedModel": True,
            "latencyRuns": 20,
            "robustnessRows": 300,
            "maxHealthyTimeInAlarm": 0.6,
            "minEventRecall": 0.2,
            "minAccuracy": 0.2,
            "minPrecision": 0.2,
            "minRecall": 0.2,
        },
        "conversionConfig": {"parityRows": 500, "publish": "always"},
    }
