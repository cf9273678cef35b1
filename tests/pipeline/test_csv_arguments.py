"""The commands as the seed's README writes them: CSV files by their bare names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.pipeline.backend import run_here
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json


def test_prepared_test_and_sample_data_as_csv(published: Path, database: Path) -> None:
    root, folder = published, published.parent
    wanted = plant_config(database, dataConfig={"preparedFormat": "csv"}, tuningConfig={"nTrials": 1})
    config = write_json(folder / "config.json", wanted)
    run = root / "artifacts" / ORGANIZATION / "v1"

    prepared = run_here("data_prep", config, root=root)
    assert prepared.exit_code == 0, prepared.document
    result = prepared.document
    assert result["dataFile"] == str(run / "prepared_data.csv")
    assert result["dataPoints"] == result["rows"]
    assert result["features"] == [
        *wanted["schemaConfig"]["continuousColumns"],
        *wanted["schemaConfig"]["booleanColumns"],
    ]
    assert result["dateRange"]["start"] < result["dateRange"]["end"]
    summary = json.loads((run / "data_summary.json").read_text())
    assert result["failureRate"] == summary["positiveRate"]
    assert len((run / "prepared_data.csv").read_text().splitlines()) == result["rows"] + 1

    tuned = run_here("hyperparameter_tuning", config, "prepared_data.csv", root=root)
    assert tuned.exit_code == 0, tuned.document
    shutil.copy(run / "prepared_data.csv", folder / "test_data.csv")
    shutil.copy(run / "prepared_data.csv", folder / "sample_data.csv")
    validated = run_here("validate_model", config, "test_data.csv", root=root)
    assert validated.exit_code == 0, validated.document
    report = json.loads((run / "validation_report.json").read_text())
    assert report["testSet"]["source"] == "test_data.csv"
    model = root / "models" / ORGANIZATION / "versions" / "v1" / "model.txt"
    converted = run_here("convert_to_onnx", config, model, "sample_data.csv", root=root)
    assert converted.exit_code == 0, converted.document

    write_json(config, plant_config(database))
    assert run_here("data_prep", config, root=root).document["dataFile"] == str(run / "prepared_data.parquet")
    assert not (run / "prepared_data.csv").exists()
