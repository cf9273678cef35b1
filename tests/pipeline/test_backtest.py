"""Every failure judged once, by models that had not seen it, and a shipped model that has seen all rows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.pipeline.backend import run_here
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json


def test_the_recipe_is_judged_and_the_model_of_all_rows_is_shipped(database: Path, tmp_path: Path) -> None:
    sections = {"scheme": "backtest", "untunedModel": True}
    config = write_json(tmp_path / "config.json", plant_config(database, validationConfig=sections))
    version = tmp_path / "models" / ORGANIZATION / "versions" / "v1"
    trained = run_here("train_model", config, root=tmp_path)
    assert trained.exit_code == 0, trained.document
    assert (trained.document["scheme"], trained.document["seen"]) == ("backtest", "all")
    first = run_here("validate_model", config, root=tmp_path)
    kept = (version / "held_out.parquet").read_bytes()
    assert run_here("convert_to_onnx", config, root=tmp_path).exit_code == 0
    assert (version / "held_out.parquet").read_bytes() == kept
    metadata = json.loads((version / "metadata.json").read_text())
    assert metadata["training"]["seen"] == "all"

    report = json.loads(Path(first.document["reportJsonPath"]).read_text())
    answers = pd.read_parquet(first.document["predictionsPath"])
    assert "RECIPE_JUDGED" in {warning["code"] for warning in report["warnings"]}
    folds = [report["split"][f"fold {number}"] for number in range(1, 6)]
    for key, total in (("failures", "failures"), ("detected", "detected"), ("falseAlarms", "falseAlarms")):
        assert sum(fold[key] for fold in folds) == report["events"][total]
    assert sum(fold["rows"] for fold in folds) == len(answers) == report["testSet"]["rows"]
    assert not answers.duplicated(["asset_id", "timestamp"]).any()
    assert report["robustness"] == report["drift"] == []
    assert report["explanation"] is None
    again = run_here("validate_model", config, root=tmp_path).document["metrics"]
    assert again == first.document["metrics"]
