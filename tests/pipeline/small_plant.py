"""A pumping station small enough to train on in seconds, and the configuration of its organisation."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

from simulation.database import TABLE
from simulation.station import Station, simulate
from simulation.wear import WearLaw
from tests.pipeline.backend import Json, Outcome

ORGANIZATION = "plant_a"
INTERVAL_SECONDS = 1800
HORIZON_SECONDS = 43_200
CONTINUOUS = ["temperature", "pressure", "flow_rate", "vibration", "current", "total_volume", "load_setpoint"]
BOOLEANS = ["pump_status", "alarm_active"]


@dataclass(frozen=True)
class PipelineRun:
    """One run of all five steps, in order, with one configuration."""

    root: Path
    config: Json = field(repr=False)
    config_file: Path
    """The configuration that tuning was given."""
    tuned_file: Path
    """The configuration that tuning wrote, which the later steps were given."""
    outcomes: dict[str, Outcome] = field(repr=False)

    @property
    def artifacts(self) -> Path:
        """The artifacts of version v1."""
        return self.root / "artifacts" / ORGANIZATION / "v1"

    @property
    def models(self) -> Path:
        """The organisation's models folder."""
        return self.root / "models" / ORGANIZATION


def simulate_small_plant() -> Station:
    """Four pumps over 24 days that wear out within three: some thirty failures, with gaps and lost readings."""
    return simulate(seed=5, n_assets=4, days=24, interval_seconds=INTERVAL_SECONDS, law=WearLaw(mean_life_days=3.0))


def plant_config(database: Path, **sections: Json) -> Json:
    """The organisation's configuration; each of `sections` is laid over the section of that name."""
    config = copy.deepcopy(_CONFIG)
    config["scadaDbConfig"]["database"] = str(database)
    for name, changes in sections.items():
        config[name] = config.get(name, {}) | changes
    return config


def write_json(path: Path, config: Json) -> Path:
    """Write a configuration, and return its path."""
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return path


_CONFIG: Json = {
    "organizationId": ORGANIZATION,
    "version": "v1",
    "schemaConfig": {
        "assetColumn": "asset_id",
        "continuousColumns": CONTINUOUS,
        "booleanColumns": BOOLEANS,
        "counterColumns": ["total_volume"],
        "operatingColumns": ["load_setpoint"],
        "columnRoles": {
            "temperature": "temperature",
            "pressure": "pressure",
            "flow_rate": "flow",
            "vibration": "vibration",
            "current": "current",
        },
        "columnUnits": {"temperature": "°C", "total_volume": "l"},
        "lagSeconds": [1800, 7200],
        "rollingWindows": [4, 12],
    },
    "scadaDbConfig": {"driver": "sqlite", "table": TABLE},
    "failureConfig": {"allowAsFeatures": ["pump_status"]},  # in so few days a pump stops for failures only
    "dataConfig": {
        "samplingIntervalSeconds": INTERVAL_SECONDS,
        "maxGapSeconds": 7200,
        "predictionHorizonSeconds": HORIZON_SECONDS,
        "recoverySeconds": 3600,
    },
    "featureConfig": {"scaling": "robust"},
    "trainingConfig": {
        # One thread: the steps are many and small, and other tests may run beside them.
        "threads": 1,
        "lgbParams": {"numLeaves": 7, "learningRate": 0.1, "numIterations": 60, "minDataInLeaf": 20},
        "rfParams": {"nEstimators": 20, "minSamplesLeaf": 20},
        "earlyStoppingRounds": 10,
    },
    "tuningConfig": {"searchMethod": "optuna", "nTrials": 2, "cvFolds": 2},
    # A plant this small decides nothing about quality; gates are under test, not the model.
    "validationConfig": {
        "maxHealthyTimeInAlarm": 0.4,
        "minPrecision": 0.3,
        "minRecall": 0.3,
        "robustnessRows": 500,
        "latencyRuns": 20,
        "untunedModel": True,
    },
    "conversionConfig": {"parityRows": 1000},
}
