"""A model trained by the backend's request, served as its unchanged server does: the features and bits are ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.export.session import open_model
from ml.export.window.parity import window_batch
from ml.features import FeatureEngineer
from simulation.station import Station
from tests.pipeline.backend import Json, predict_here, run_here, workspace_command
from tests.pipeline.backend_serving import (
    ORGANIZATION,
    VERSION,
    Comparison,
    compare,
    flat_request,
    open_deployed,
    probability,
)
from tests.pipeline.small_plant import CONTINUOUS, HORIZON_SECONDS, INTERVAL_SECONDS, write_json
from tests.reference.served import Server, model_input

COLUMNS, BOOLEANS = ["temp", "flow", "amps"], ["fan"]
LAGS, WINDOWS = [60, 120, 3600], [300, 3600]
ROWS, LIFE = 900, 90


def on_the_grid(seed: int = 0) -> pd.DataFrame:
    """Two machines, a row a minute, nothing missing; readings are float32 numbers; every 90 minutes one fails."""
    random = np.random.default_rng(seed)
    parts = []
    for number, asset in enumerate(("press-1", "press-2")):
        age = (np.arange(ROWS) + 31 * number) % LIFE
        wear = np.maximum(0, age - LIFE / 2)
        part = pd.DataFrame(
            {
                "created_timestamp": pd.date_range("2026-03-01", periods=ROWS, freq="min", tz="UTC"),
                "asset_id": asset,
                "temp": (60 + 0.3 * wear + random.normal(0, 2, ROWS)).astype(np.float32).astype(np.float64),
                "flow": (7 - 0.02 * wear + random.normal(0, 0.3, ROWS)).astype(np.float32).astype(np.float64),
                "amps": random.normal(11, 1, ROWS).astype(np.float32).astype(np.float64),
                "fan": (random.random(ROWS) < 0.2 + 0.5 * (wear > 20)).astype(int),
                "failure_indicator": (age >= LIFE - 3).astype(int),
            }
        )
        parts.append(part)
    return pd.concat(parts).sort_values("created_timestamp", kind="stable").reset_index(drop=True)


def request(source: Path) -> Json:
    return flat_request(
        COLUMNS,
        BOOLEANS,
        schemaConfig={"lagSeconds": LAGS, "rollingWindows": WINDOWS},
        dataSource={"path": str(source)},
        dataConfig={"samplingIntervalSeconds": 60, "predictionHorizonSeconds": 1200},
        hyperparameters={"numLeaves": 7, "numIterations": 40, "minDataInLeaf": 10},
        conversionConfig={"parityRows": 1000},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Json]:
    """The workspace, the request's file, and the result of training by it."""
    folder = tmp_path_factory.mktemp("serving")
    root = folder / "workspace"
    root.mkdir()
    on_the_grid().to_parquet(folder / "rows.parquet")
    file = write_json(folder / "request.json", request(folder / "rows.parquet"))
    outcome = run_here("train_model", file, root=root)
    assert outcome.exit_code == 0, outcome.document
    return root, file, outcome.document


def test_on_grid_instants_every_float32_and_every_probability_is_ours(
    trained: tuple[Path, Path, Json], tmp_path: Path
) -> None:
    root, file, document = trained
    metrics = json.loads((root / "artifacts" / ORGANIZATION / VERSION / "metrics.json").read_bytes())
    session = open_deployed(root / "models" / ORGANIZATION / f"model_{VERSION}.onnx")
    servers = {asset: Server(COLUMNS, BOOLEANS, LAGS, WINDOWS) for asset in ("press-1", "press-2")}
    fed: list[list[float]] = []
    scores: list[np.float32] = []
    for row in on_the_grid().to_dict("records"):
        features = servers[row["asset_id"]].push(row["created_timestamp"].timestamp(), row)
        assert set(features) == set(metrics["features"])
        fed.append(model_input(features, metrics["features"]))
        scores.append(probability(session, fed[-1]))
    served = on_the_grid()[["asset_id", "created_timestamp"]].assign(served=scores)
    served["row"] = np.arange(len(served))

    grid = pd.read_parquet(root / "artifacts" / ORGANIZATION / VERSION / "prepared_data.parquet")
    order = grid.merge(
        served, left_on=["asset_id", "timestamp"], right_on=["asset_id", "created_timestamp"], validate="1:1"
    )
    assert len(order) == len(grid) == 2 * ROWS
    folder = root / "models" / ORGANIZATION / "versions" / VERSION
    engineer = FeatureEngineer.from_dict(json.loads((folder / "metadata.json").read_bytes())["engine"])
    ours = np.ascontiguousarray(engineer.matrix(grid))
    assert ours.tobytes() == np.array(fed, dtype=np.float32)[order["row"]].tobytes()

    window, timestamp = window_batch(grid, engineer, np.arange(len(grid)))
    client = open_model((folder / "window.onnx").read_bytes())
    probabilities = client.run(None, {"window": window, "timestamp": timestamp})[0]
    assert probabilities[:, 1].tobytes() == order["served"].to_numpy(np.float32).tobytes()
    out = tmp_path / "scores.parquet"
    scored = predict_here(file, file.parent / "rows.parquet", out, "--version", VERSION, root=root)
    assert scored.exit_code == 0, scored.document
    assert pd.read_parquet(out)["probability"].to_numpy(np.float32).tobytes() == probabilities[:, 1].tobytes()
    assert len(set(scores)) > 100
    assert document["auc"] > 0.9


def test_what_the_backend_reads_names_the_profile(trained: tuple[Path, Path, Json]) -> None:
    root, _, document = trained
    models = root / "models" / ORGANIZATION
    metrics = json.loads((root / "artifacts" / ORGANIZATION / VERSION / "metrics.json").read_bytes())
    metadata = json.loads((models / "versions" / VERSION / "metadata.json").read_bytes())
    listing = json.loads((models / f"model_{VERSION}.onnx.metadata.json").read_bytes())
    for found in (metrics, metadata, listing, document):
        assert found["servingProfile"] == "backend"
        assert found["suggestedThreshold"] == metadata["threshold"]
        assert found["features"] == metrics["features"]
    assert {name: listing[name] for name in ("accuracy", "precision", "recall", "auc")} == {
        name: metrics[name] for name in ("accuracy", "precision", "recall", "auc")
    }
    assert listing["size"] == (models / f"model_{VERSION}.onnx").stat().st_size
    warnings = {warning["code"]: warning for warning in document["warnings"]}
    assert {"SERVING_PROFILE_CHOSEN", "SERVING_WINDOWS_TO_REPEAT", "SERVING_THRESHOLD"} <= set(warnings)
    assert "0.85" in warnings["SERVING_THRESHOLD"]["message"]
    assert warnings["SERVING_WINDOWS_TO_REPEAT"]["hint"].endswith("mlModelConfig.rollingWindows to [300, 3600]")
    assert workspace_command("verify", ORGANIZATION, root=root).exit_code == 0


def test_training_again_changes_no_byte_of_what_the_backend_reads(trained: tuple[Path, Path, Json]) -> None:
    root, file, _ = trained
    models = root / "models" / ORGANIZATION
    names = [f"model_{VERSION}.onnx", f"model_{VERSION}.onnx.metadata.json", f"versions/{VERSION}/metadata.json"]
    before = [(models / name).read_bytes() for name in names]
    assert run_here("train_model", file, root=root).exit_code == 0
    assert [(models / name).read_bytes() for name in names] == before


@pytest.fixture(scope="module")
def irregular(station: Station, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("irregular")
    root = folder / "workspace"
    root.mkdir()
    wanted = flat_request(
        [name for name in CONTINUOUS if name != "total_volume"],
        ["pump_status"],
        schemaConfig={"lagSeconds": [1800, 7200], "rollingWindows": [7200, 21_600]},
        dataConfig={
            "samplingIntervalSeconds": INTERVAL_SECONDS,
            "maxGapSeconds": 7200,
            "predictionHorizonSeconds": HORIZON_SECONDS,
        },
        hyperparameters={"numLeaves": 7, "numIterations": 60},
        conversionConfig={"parityRows": 1000},
    )
    return compare(root, folder, station, wanted)


def test_on_irregular_readings_with_gaps_the_server_is_as_good_as_our_client(irregular: Comparison) -> None:
    """The plant is small: `python -m tests.pipeline.backend_serving` gives the figures of a larger one."""
    assert irregular.rows > 500
    assert irregular.distinct > irregular.rows / 20
    assert irregular.own_auc > 0.85
    assert abs(irregular.served_auc - irregular.own_auc) <= 0.01


def test_windows_written_for_another_unit_are_told_with_values_that_would_do(tmp_path: Path) -> None:
    """The seed's windows of 5, 10 and 20 are samples; read as seconds on a grid of a minute they hold one row."""
    root = tmp_path / "workspace"
    root.mkdir()
    on_the_grid().to_parquet(tmp_path / "rows.parquet")
    wanted = request(tmp_path / "rows.parquet")
    wanted["schemaConfig"] |= {"lagSeconds": [10, 90, 86_400], "rollingWindows": [5, 10, 20]}
    outcome = run_here("train_model", write_json(tmp_path / "request.json", wanted), root=root)
    assert outcome.exit_code == 0, outcome.document
    warnings = {warning["code"]: warning for warning in outcome.document["warnings"]}
    window, lag = warnings["SERVING_WINDOW_OF_ONE_ROW"], warnings["SERVING_LAG_OF_NEWEST_ROW"]
    assert "5, 10, 20 s hold one row of a grid of 60 s" in window["message"]
    assert window["hint"] == "in seconds, such as 300, 1200, 4800"
    assert "lagSeconds 10 are nearest" in lag["message"]
    assert "1,441 rows" in warnings["SERVING_HISTORY_TOO_SHORT"]["message"]
