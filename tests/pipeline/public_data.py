"""Public benchmark histories as organisations: their configurations, and test files with labels.

The data lies in the folder that ``EAGLE_ML_DATA_DIR`` names; see the README there.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ml.evaluation.checks.gates import GATES
from tests.pipeline.backend import Json, Outcome, spawn
from tests.pipeline.small_plant import write_json

VARIABLE = "EAGLE_ML_DATA_DIR"
QUICK_SEARCH: Json = {
    "nTrials": 3,
    "cvFolds": 2,
    "scoringMetric": "log_loss",
    # Faster learners than the default only, to stay within the time that a test may take.
    "searchSpace": {"learningRate": {"low": 0.04, "high": 0.12, "log": True}, "numLeaves": {"choices": [7, 15]}},
}
SEARCHES: dict[str, Json | None] = {"FD001": QUICK_SEARCH, "FD002": None}
"""`tuningConfig` of the tests; None: no search."""
HORIZON_CYCLES = 30
_HOUR = 3600
_LONGEST_STEP_SECONDS = 1800  # the project's own search, on a machine that others use
_SETTINGS = ["setting1", "setting2", "setting3"]
VALVE_SENSORS = [
    "accelerometer1rms",
    "accelerometer2rms",
    "current",
    "pressure",
    "temperature",
    "thermocouple",
    "voltage",
    "volume_flow_raterms",
]


@dataclass(frozen=True)
class BenchmarkRun:
    """What the steps left of one data set."""

    outcomes: dict[str, Outcome]
    predictions: pd.DataFrame
    threshold: float


def data_folder() -> Path | None:
    """Where the public data is, None if nobody said."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def run_turbofans(folder: Path, work: Path, name: str, search: Json | None) -> BenchmarkRun:
    """Train on every engine that ran to failure, and score every row of the engines of the test file.

    With `search`, a `tuningConfig`, by all five steps; without, by training and validation only.
    """
    train, test = (_find(folder / "cmapss", f"{part}_{name}") for part in ("train", "test"))
    labelled = work / "test.csv"
    label_rows(_read(test), pd.read_csv(folder / "cmapss" / f"rul_{name}.csv")).to_csv(labelled, index=False)
    config = turbofan_config(train, operating=name == "FD002")
    if search is not None:
        config["tuningConfig"] = search
    steps = _Steps(work, config)
    if search is not None:
        steps.run("data_prep")
        steps.run("hyperparameter_tuning")
        tuned = steps.outcomes["hyperparameter_tuning"].document["trainingConfigPath"]
        steps.config_file = Path(tuned)
    steps.run("train_model")
    scored = write_json(work / "scoring.json", with_label_column(steps.config_file, "fails_soon"))
    steps.run("validate_model", labelled, config=scored)
    if search is not None:
        steps.run("convert_to_onnx")
    return steps.result()


def run_valve(folder: Path, work: Path) -> BenchmarkRun:
    """Detection on the water-circulation rig through all five steps; runs held out whole."""
    steps = _Steps(work, valve_config(folder / "skab" / "valve1.csv"))
    for step in ("data_prep", "hyperparameter_tuning", "train_model", "validate_model", "convert_to_onnx"):
        steps.run(step)
    return steps.result()


def turbofan_config(source: Path, *, operating: bool) -> Json:
    """Engines that fail within 30 cycles; columns and parameters were chosen by cross-validation on training engines.

    ``cycle`` is what a plant calls service hours: a meter that every machine has.
    """
    schema: Json = {
        "assetColumn": "asset_id",
        "continuousColumns": ["cycle", *_SETTINGS, *(f"s{number:02d}" for number in range(1, 22))],
    }
    if operating:
        schema["operatingColumns"] = _SETTINGS
    return {
        "organizationId": "turbofans",
        "schemaConfig": schema,
        "dataSource": {"path": str(source)},
        "dataConfig": {
            "samplingIntervalSeconds": _HOUR,
            "predictionHorizonSeconds": HORIZON_CYCLES * _HOUR,
            "splitBy": "asset",
            "testSplit": 0.0,
        },
        "trainingConfig": {"refit": "validation", "threads": 1},
        # One row in seven is positive only, and rows just outside the horizon look like rows just inside it.
        # rows are what the published scores are about, so gates of alarms are off
        "validationConfig": {
            "minPrecision": 0.5,
            "minEventRecall": None,
            "maxFalseAlarmsPerAssetDay": None,
            "maxHealthyTimeInAlarm": None,
            "robustnessRows": 2000,
            "latencyRuns": 50,
        },
        "conversionConfig": {"parityRows": 2000},
    }


def valve_config(source: Path) -> Json:
    """Is the valve closed right now? No horizon: the label is the target."""
    return {
        "organizationId": "water_rig",
        "schemaConfig": {
            "assetColumn": "asset_id",
            "continuousColumns": VALVE_SENSORS,
            "rollingWindows": [10, 30],
            "lagSeconds": [10, 30],
        },
        "dataSource": {"path": str(source)},
        "dataConfig": {"samplingIntervalSeconds": 1, "predictionHorizonSeconds": 0, "splitBy": "asset"},
        "trainingConfig": {"threads": 1, "lgbParams": {"numLeaves": 7, "learningRate": 0.1, "numIterations": 100}},
        "tuningConfig": {"nTrials": 2, "cvFolds": 2},
        "validationConfig": dict.fromkeys(GATES) | {"scheme": "holdout", "robustnessRows": 2000, "latencyRuns": 50},
        "conversionConfig": {"parityRows": 2000},
    }


def machines_config(folder: Path, split: str) -> Json:
    """Machines with lists of failures and replaced components, failures two days ahead."""
    day, errors = 86_400, [f"errorID_error{number}" for number in range(1, 6)]
    return {
        "organizationId": "machines",
        "dataSource": {"path": str(folder / "telemetry_daily.csv")},
        "schemaConfig": {
            "assetColumn": "machineID",
            "continuousColumns": ["volt", "rotate", "pressure", "vibration", *errors, "age"],
        },
        "layoutConfig": {
            "tables": {
                "errors": {
                    "kind": "counts",
                    "path": str(folder / "errors.csv"),
                    "timestampColumn": "datetime",
                    "countColumn": "errorID",
                    "countSeconds": day,
                },
                "machines": {"kind": "attributes", "path": str(folder / "machines.csv")},
            }
        },
        "failureConfig": {
            "events": {"path": str(folder / "failures.csv"), "startColumn": "datetime", "modeColumn": "failure"},
            # Replaced on a schedule, so a row before it is healthy unless the list of failures says otherwise.
            "maintenance": {
                "path": str(folder / "maint.csv"),
                "startColumn": "datetime",
                "modeColumn": "comp",
                "prevents": [],
            },
        },
        "dataConfig": {
            "samplingIntervalSeconds": day,
            "predictionHorizonSeconds": 2 * day,
            "splitBy": split,
            "timezone": "UTC",
        },
        "trainingConfig": {"refit": "validation", "threads": 1},
    }


def label_rows(rows: pd.DataFrame, left_at_end: pd.DataFrame) -> pd.DataFrame:
    """The rows with ``fails_soon``: whether at most 30 cycles are left."""
    after = left_at_end.set_index("asset_id")["rul_after_last_cycle"]
    last = rows.groupby("asset_id")["cycle"].transform("max")
    left = last - rows["cycle"] + rows["asset_id"].map(after)
    return rows.assign(fails_soon=(left <= HORIZON_CYCLES).astype(int))


def with_label_column(config_file: Path, column: str) -> Json:
    """The configuration for rows that carry their label."""
    config: Json = json.loads(config_file.read_text())
    config["dataConfig"]["labelColumn"] = column
    return config


class _Steps:
    """Steps of one organisation in a workspace of its own; a step that fails ends the run."""

    def __init__(self, work: Path, config: Json) -> None:
        self.work, self.root = work, work / "workspace"
        self.root.mkdir()
        self.config_file = write_json(work / "config.json", config)
        self.organization = config["organizationId"]
        self.outcomes: dict[str, Outcome] = {}

    def run(self, step: str, *arguments: Path, config: Path | None = None) -> None:
        outcome = spawn(step, config or self.config_file, *arguments, root=self.root, within=_LONGEST_STEP_SECONDS)
        assert outcome.exit_code == 0, outcome.document
        self.outcomes[step] = outcome

    def result(self) -> BenchmarkRun:
        predictions = pd.read_parquet(self.outcomes["validate_model"].document["predictionsPath"])
        return BenchmarkRun(self.outcomes, predictions, self.outcomes["train_model"].document["threshold"])


def _find(folder: Path, stem: str) -> Path:
    return next(path for path in (folder / f"{stem}.csv", folder / f"{stem}.parquet") if path.is_file())


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
