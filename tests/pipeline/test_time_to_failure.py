"""The time to failure through the steps: trained, reported, exported again and given with alerts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ml.predict import load_model
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun


def test_a_version_has_times_and_their_figures_everywhere(two_versions: PipelineRun) -> None:
    folder = two_versions.root / "models" / ORGANIZATION / "versions" / "v2"
    artifacts = two_versions.root / "artifacts" / ORGANIZATION / "v2"
    manifest = json.loads((folder / "manifest.json").read_text())["files"]
    assert {"time_to_failure.onnx", "time_to_failure.txt", "time_to_failure.parquet"} <= set(manifest)
    metadata = json.loads((folder / "metadata.json").read_text())
    described = metadata["timeToFailure"]
    assert described["horizonsSeconds"] == [2700, 5400, 10800, 21600, 43200, 86400, 172800]
    assert described["parityRows"] == 1000
    training = two_versions.outcomes["train_model"].document["timeToFailure"]
    assert {key: training[key] for key in described["measured"]} == described["measured"]
    assert json.loads((artifacts / "validation_report.json").read_text())["timeToFailure"] == described["measured"]
    page = (artifacts / "validation_report.html").read_text()
    assert "When it fails" in page
    assert (artifacts / "validation_plots" / "time_to_failure.png").is_file()
    assert "When it fails" not in (artifacts.parent / "v1" / "validation_report.html").read_text()


def test_alerts_say_when(two_versions: PipelineRun, readings) -> None:
    table = pd.read_parquet(readings)
    model = load_model(ORGANIZATION, version="v2", root=two_versions.root)
    alerts = model.alerts(table)
    assert alerts
    for alert in alerts:
        found = alert.time_to_failure
        assert 0 <= found.p10 <= found.p50 <= found.p90
        assert set(alert.to_json()["timeToFailure"]) == {"p10", "p50", "p90"}
    assert np.median([alert.time_to_failure.p50 for alert in alerts]) < 2 * model.metadata.horizon_seconds
    before = load_model(ORGANIZATION, version="v1", root=two_versions.root).alerts(table)
    assert {alert.to_json()["timeToFailure"] for alert in before} == {None}
