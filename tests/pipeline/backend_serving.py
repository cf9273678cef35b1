"""The backend's flat request, and its server: rows one by one, features of its own, `model.onnx`, one probability each.

    python -m tests.pipeline.backend_serving

trains on a larger simulated station, serves its newest fifth both ways, and prints the figures.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ml.export.onnx_runtime import onnxruntime
from ml.export.session import open_model
from simulation.database import TABLE, write_sqlite
from simulation.station import TARGET, Station, simulate
from tests.pipeline.backend import Json, predict_here, run_here
from tests.pipeline.small_plant import write_json
from tests.reference.served import Server, model_input

ORGANIZATION, VERSION = "3f0c9b2e-5d0a-4a3e-9d7e-0d6f5a1c2b3d", "v2026-11-27T19-05-31-123Z_a1b2c3d4"
HISTORY_ROWS = 1000  # that the server keeps


def flat_request(columns: Sequence[str], booleans: Sequence[str], **sections: Json) -> Json:
    """A request as the TrainingService writes it; each of `sections` is laid over the section of that name."""
    request: Json = {
        "organizationId": ORGANIZATION,
        "version": VERSION,
        "dataRange": {"startDate": "2024-11-27T00:00:00.000Z", "endDate": "2026-11-27T00:00:00.000Z"},
        "hyperparameters": {
            "numLeaves": 31,
            "learningRate": 0.05,
            "featureFraction": 0.9,
            "baggingFraction": 0.8,
            "baggingFreq": 5,
            "minDataInLeaf": 20,
            "maxDepth": -1,
            "numIterations": 100,
            "objective": "binary",
            "metric": "binary_logloss",
            "verbosity": -1,
        },
        "validationSplit": 0.2,
        "targetColumn": "failure_indicator",
        "featureColumns": list(columns),
        "schemaConfig": {
            "assetColumn": "asset_id",
            "continuousColumns": list(columns),
            "booleanColumns": list(booleans),
        },
    }
    for name, changes in sections.items():
        request[name] = request.get(name, {}) | changes
    return request


def open_deployed(model: Path) -> onnxruntime.InferenceSession:
    """The model as the server opens it: by the name beside the versions."""
    return open_model(model.read_bytes())


def probability(session: onnxruntime.InferenceSession, features: Sequence[float]) -> np.float32:
    """Element 1 of the first output, of one row."""
    outputs = session.run(None, {"input": np.array([features], dtype=np.float32)})
    return np.float32(outputs[0].reshape(-1)[1])


def serve(readings: pd.DataFrame, request: Json, metrics: Json, model: Path, first: pd.Timestamp) -> pd.DataFrame:
    """What the server makes of each row from `first` on, after the rows of the day before: `served`, beside its time.

    `readings` are rows in the order of arrival; each machine has a history of its own.
    """
    session, schema = open_deployed(model), request["schemaConfig"]
    columns, booleans = schema["continuousColumns"], schema["booleanColumns"]
    result = []
    recent = readings[readings["created_timestamp"] >= first - pd.Timedelta(days=1)]
    for asset, rows in recent.groupby("asset_id", sort=True):
        server = Server(columns, booleans, schema["lagSeconds"], schema["rollingWindows"], keep=HISTORY_ROWS)
        times = rows["created_timestamp"]
        for time, cells in zip(times, rows[[*columns, *booleans]].to_dict("records"), strict=True):
            row = {name: None if math.isnan(cell) else cell for name, cell in cells.items()}
            if time < first:
                server.remember(time.timestamp(), row)
                continue
            features = server.push(time.timestamp(), row)
            result.append((asset, time, probability(session, model_input(features, metrics["features"]))))
    return pd.DataFrame(result, columns=["asset_id", "created_timestamp", "served"])


@dataclass(frozen=True)
class Comparison:
    """The same labelled rows of the test part, served by the backend's server and by this program's own client."""

    rows: int
    distinct: int
    served_auc: float
    own_auc: float


def compare(root: Path, folder: Path, station: Station, request: Json) -> Comparison:
    """Train by the request, serve the newest fifth of the station's time both ways."""
    database = folder / "scada.sqlite"
    write_sqlite(station, database)
    request = request | {"scadaDbConfig": {"driver": "sqlite", "database": str(database), "table": TABLE}}
    file = write_json(folder / "request.json", request)
    trained = run_here("train_model", file, root=root)
    assert trained.exit_code == 0, trained.document
    assert trained.document["servingProfile"] == "backend"

    readings = station.readings.sort_values("created_timestamp", kind="stable")
    times = readings["created_timestamp"]
    first = times.max() - (times.max() - times.min()) / 5
    served = serve(readings, request, trained.document, Path(trained.document["modelPath"]), first)

    readings.drop(columns=TARGET).to_parquet(folder / "readings.parquet")
    configuration = write_json(folder / "predict.json", request)
    scored = predict_here(
        configuration, folder / "readings.parquet", folder / "scores.parquet", "--version", VERSION, root=root
    )
    assert scored.exit_code == 0, scored.document
    own = pd.read_parquet(folder / "scores.parquet")[["asset_id", "timestamp", "probability"]]
    labels = pd.read_parquet(Path(trained.document["artifactsPath"]) / "prepared_data.parquet")
    rows = own.merge(labels[["asset_id", "timestamp", "label"]], on=["asset_id", "timestamp"])
    rows = rows[(rows["label"] >= 0) & (rows["timestamp"] > first)].sort_values("timestamp")
    interval = pd.Timedelta(seconds=int(labels["timestamp"].diff().dt.total_seconds().mode()[0]))
    served = served.sort_values("created_timestamp")
    served["created_timestamp"] = served["created_timestamp"].astype(rows["timestamp"].dtype)
    both = pd.merge_asof(
        rows, served, left_on="timestamp", right_on="created_timestamp", by="asset_id", tolerance=interval
    ).dropna(subset="served")
    label = both["label"].to_numpy()
    return Comparison(
        rows=len(both),
        distinct=both["served"].nunique(),
        served_auc=float(roc_auc_score(label, both["served"])),
        own_auc=float(roc_auc_score(label, both["probability"])),
    )


def main() -> None:
    """Print the comparison for a station of twelve pumps over sixty days."""
    columns = ["temperature", "pressure", "flow_rate", "vibration", "current", "voltage", "rpm", "power_consumption"]
    request = flat_request(
        columns,
        ["pump_status", "valve_open"],
        schemaConfig={"lagSeconds": [900, 3600, 14_400], "rollingWindows": [3600, 21_600, 86_400]},
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        root.mkdir()
        found = compare(root, Path(folder), simulate(days=60), request)
    print(
        f"{found.rows:,} labelled rows, {found.distinct:,} distinct probabilities: AUC {found.served_auc:.4f} by the "
        f"server's own features from rows as they come, {found.own_auc:.4f} by this program's client"
    )


if __name__ == "__main__":
    main()
