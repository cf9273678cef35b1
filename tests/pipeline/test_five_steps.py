"""The five steps on a small plant: results, progress, files, and that what is shipped is what was measured."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ml.evaluation.report.page.document import MAX_BYTES
from ml.evaluation.report.verdict import WEAKNESSES
from ml.export.onnx_runtime import onnxruntime
from ml.features import FeatureEngineer
from tests.pipeline.backend import STEPS, Json, spawn, tree, workspace_command
from tests.pipeline.small_plant import BOOLEANS, CONTINUOUS, ORGANIZATION, PipelineRun

RESULT_KEYS = {
    "data_prep": {"preparedDataPath", "dataSummaryPath", "rows", "assets", "failureEvents"},
    "hyperparameter_tuning": {"trainingConfigPath", "bestParameters", "bestScore", "baselineScore", "trials"},
    "train_model": {"modelPath", "accuracy", "precision", "recall", "auc", "dataPoints", "features", "threshold"},
    "validate_model": {"verdict", "reportPath", "reportJsonPath", "predictionsPath", "metrics", "gates"},
    "convert_to_onnx": {"modelPath", "parity", "published", "previousVersion"},
}
ARTIFACTS = {
    "prepared_data.parquet",
    "data_summary.json",
    "metrics.json",
    "validation_report.json",
    "validation_report.html",
    "predictions.parquet",
    *(f"training_logs/{step}.log" for step in STEPS),
    *(f"validation_plots/{name}.png" for name in ("roc", "precision_recall", "confusion", "score_distribution")),
    *(f"hyperparameter_results/{name}" for name in ("trials.csv", "trials.json", "best_parameters.json")),
    "hyperparameter_results/training_config.json",
}
VERSION_FILES = {
    "model.onnx",
    "window.onnx",
    "reasons.onnx",
    "scaler.pkl",
    "metadata.json",
    "model.txt",
    "manifest.json",
}


@pytest.mark.parametrize("step", STEPS)
def test_the_step_succeeds_and_says_what_it_made(pipeline: PipelineRun, step: str) -> None:
    outcome = pipeline.outcomes[step]
    assert outcome.exit_code == 0, outcome.document
    assert outcome.document["status"] == "SUCCESS"
    assert (outcome.document["organizationId"], outcome.document["version"]) == (ORGANIZATION, "v1")
    assert RESULT_KEYS[step] <= outcome.document.keys()


@pytest.mark.parametrize("step", STEPS)
def test_the_step_tells_its_progress_in_json_lines(pipeline: PipelineRun, step: str) -> None:
    progress = pipeline.outcomes[step].progress
    assert progress
    for event in progress:
        assert {"event", "step", "done", "total", "etaSeconds"} <= event.keys()
        assert event["step"] == step
        assert 0 <= event["done"] <= event["total"]
    assert progress[-1]["done"] == progress[-1]["total"]


def test_every_path_in_a_result_exists_inside_the_organisation(pipeline: PipelineRun) -> None:
    paths = [
        value for outcome in pipeline.outcomes.values() for key, value in outcome.document.items() if "Path" in key
    ]
    assert len(paths) >= 8
    for path in paths:
        assert path.startswith((str(pipeline.artifacts), str(pipeline.models)))
        assert (pipeline.root / path).exists()


def test_all_files_are_where_the_backend_expects_them(pipeline: PipelineRun) -> None:
    assert tree(pipeline.artifacts).keys() >= ARTIFACTS
    assert {file.name for file in (pipeline.models / "versions" / "v1").iterdir()} == VERSION_FILES
    assert (pipeline.root / "artifacts" / ORGANIZATION / "audit.jsonl").is_file()


def test_nothing_temporary_is_left(pipeline: PipelineRun) -> None:
    hidden = {path for path in tree(pipeline.root) if path.rpartition("/")[2].startswith(".")}
    assert all("lock" in path for path in hidden), hidden


def test_links_are_relative_and_lead_to_the_version(pipeline: PipelineRun) -> None:
    version = pipeline.models / "versions" / "v1"
    current, model = pipeline.models / "current", pipeline.models / "model_v1.onnx"
    assert current.readlink().as_posix() == "versions/v1"
    assert current.resolve() == version.resolve()
    assert model.readlink().as_posix() == "versions/v1/model.onnx"
    assert model.resolve() == (version / "model.onnx").resolve()


def test_the_manifest_lists_every_byte_of_the_version(pipeline: PipelineRun) -> None:
    folder = pipeline.models / "versions" / "v1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["organizationId"], manifest["version"]) == (ORGANIZATION, "v1")
    assert manifest["files"].keys() == VERSION_FILES - {"manifest.json"}
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_prepared_data_is_the_narrow_grid(pipeline: PipelineRun) -> None:
    frame = pd.read_parquet(pipeline.artifacts / "prepared_data.parquet")
    labels = ["target", "event", "label", "status"]
    assert list(frame.columns) == ["asset_id", "timestamp", "segment", *CONTINUOUS, *BOOLEANS, *labels]
    document = pipeline.outcomes["data_prep"].document
    assert len(frame) == document["rows"]
    assert frame["asset_id"].nunique() == document["assets"] == 4


def test_metrics_repeat_the_training_result(pipeline: PipelineRun) -> None:
    metrics = json.loads((pipeline.artifacts / "metrics.json").read_text())
    assert {"accuracy", "precision", "recall", "auc", "dataPoints", "features"} <= metrics.keys()
    document = pipeline.outcomes["train_model"].document
    assert metrics == {key: document[key] for key in metrics}
    assert metrics["suspiciousColumns"] == []


def test_the_report_names_the_verdict(pipeline: PipelineRun) -> None:
    verdict = pipeline.outcomes["validate_model"].document["verdict"]
    report = json.loads((pipeline.artifacts / "validation_report.json").read_text())
    assert report["status"] == "PASSED"
    assert report["verdict"] == verdict
    page = (pipeline.artifacts / "validation_report.html").read_text(encoding="utf-8")
    sentence, _, weaknesses = verdict.partition(WEAKNESSES)
    assert sentence in page
    assert weaknesses in page


def test_the_report_is_one_page_of_the_promised_size_with_every_picture(pipeline: PipelineRun) -> None:
    page = (pipeline.artifacts / "validation_report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < MAX_BYTES
    assert page.count("<img ") == 13  # one for each kind of trouble; of parts and folds, too


def test_the_report_explains_every_missed_failure_and_false_alarm_that_it_counts(pipeline: PipelineRun) -> None:
    report = json.loads((pipeline.artifacts / "validation_report.json").read_text())
    events, explanation = report["events"], report["explanation"]
    assert explanation["falseAlarms"] == events["falseAlarms"]
    assert explanation["missedFailures"] == events["failures"] - events["detected"]
    assert len(explanation["falseAlarmList"]) == min(events["falseAlarms"], 20)
    assert sum(each["share"] for each in explanation["sensors"]) == pytest.approx(1)


def test_the_report_tells_the_drift_of_every_sensor_and_feature(pipeline: PipelineRun) -> None:
    drift = json.loads((pipeline.artifacts / "validation_report.json").read_text())["drift"]
    metadata = json.loads((pipeline.models / "versions" / "v1" / "metadata.json").read_text())
    names = {kind: {each["name"] for each in drift if each["kind"] == kind} for kind in ("sensor", "feature")}
    assert names == {"sensor": set(metadata["driftBaseline"]), "feature": set(metadata["features"])}


def test_predictions_are_the_held_out_rows(pipeline: PipelineRun) -> None:
    predictions = pd.read_parquet(pipeline.artifacts / "predictions.parquet")
    assert list(predictions.columns) == ["asset_id", "timestamp", "label", "probability"]
    split = json.loads((pipeline.artifacts / "metrics.json").read_text())["split"]
    assert len(predictions) == split["test"]["rows"]
    assert predictions["label"].sum() == split["test"]["positives"]
    assert predictions["timestamp"].min() > pd.Timestamp(split["validation"]["lastTime"])
    assert predictions["probability"].dtype == np.float32


def test_the_shipped_model_gives_the_predictions_bit_for_bit(pipeline: PipelineRun) -> None:
    metadata, frame, predictions = _shipped(pipeline)
    engineer = FeatureEngineer.from_dict(metadata["engine"])
    assert metadata["features"] == engineer.get_feature_names_out()
    wanted = _positions(frame, predictions)
    features = np.ascontiguousarray(engineer.matrix(frame)[wanted])
    session = _session(pipeline, "model.onnx")
    assert [output.name for output in session.get_outputs()] == ["probabilities", "label"]
    probabilities, label = session.run(None, {"input": features})
    assert probabilities.dtype == np.float32
    assert _bits(probabilities[:, 1]) == _bits(predictions["probability"].to_numpy())
    np.testing.assert_array_equal(label, predictions["probability"].to_numpy() >= np.float32(metadata["threshold"]))


def test_the_window_model_gives_the_predictions_from_raw_readings(pipeline: PipelineRun) -> None:
    metadata, frame, predictions = _shipped(pipeline)
    look_back, channels = metadata["window"]["lookBack"], [each["name"] for each in metadata["window"]["channels"]]
    readings, segment = frame[channels].to_numpy(np.float64), frame["segment"].to_numpy()
    position = _positions(frame, predictions)
    whole = (position >= look_back - 1) & (segment[position] == segment[np.maximum(position - look_back + 1, 0)])
    assert whole.sum() > 100
    chosen = position[whole][:200]
    windows = np.stack([readings[row - look_back + 1 : row + 1] for row in chosen])
    seconds = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)[chosen]
    probabilities, _, _ = _session(pipeline, "window.onnx").run(None, {"window": windows, "timestamp": seconds})
    assert _bits(probabilities[:, 1]) == _bits(predictions["probability"].to_numpy()[whole][:200])


def test_the_metadata_tells_a_client_how_to_make_windows_and_what_is_normal(pipeline: PipelineRun) -> None:
    metadata, frame, _ = _shipped(pipeline)
    assert metadata["grid"]["aggregation"] == "last"
    assert metadata["grid"]["maxGapSeconds"] == 7200
    channels = {each["name"]: each for each in metadata["window"]["channels"]}
    assert list(channels) == [*CONTINUOUS, *BOOLEANS]
    assert (channels["total_volume"]["kind"], channels["total_volume"]["unit"]) == ("counter", "l")
    assert (channels["pressure"]["kind"], channels["pressure"]["unit"]) == ("continuous", None)
    training_rows = metadata["training"]["rows"]
    assert list(metadata["driftBaseline"]) == list(channels)
    for name, baseline in metadata["driftBaseline"].items():
        assert sum(baseline["counts"]) + baseline["missing"] == training_rows, name
    # the share of missing pressures in training is about that of the whole history
    missing = metadata["driftBaseline"]["pressure"]["missing"] / training_rows
    assert missing == pytest.approx(frame["pressure"].isna().mean(), abs=0.02)


def test_the_audit_log_has_each_step_and_the_publication(pipeline: PipelineRun) -> None:
    lines = (pipeline.root / "artifacts" / ORGANIZATION / "audit.jsonl").read_text().splitlines()
    done = [record["operation"] for record in map(json.loads, lines) if record["result"] == "succeeded"]
    assert done == [*STEPS[:4], "publish", STEPS[4]]


def test_training_elsewhere_on_one_thread_gives_the_same_bytes(pipeline: PipelineRun, root: Path) -> None:
    again = spawn("train_model", pipeline.tuned_file, root=root, env={"OMP_NUM_THREADS": "1"})
    assert again.exit_code == 0, again.document
    models = root / "models" / ORGANIZATION
    assert tree(models / "versions") == tree(pipeline.models / "versions")
    assert not (models / "current").is_symlink()


def test_the_workspace_verifies(pipeline: PipelineRun) -> None:
    outcome = workspace_command("verify", ORGANIZATION, root=pipeline.root)
    assert outcome.exit_code == 0, outcome.document


def _shipped(pipeline: PipelineRun) -> tuple[Json, pd.DataFrame, pd.DataFrame]:
    metadata = json.loads((pipeline.models / "current" / "metadata.json").read_text())
    frame = pd.read_parquet(pipeline.artifacts / "prepared_data.parquet")
    return metadata, frame, pd.read_parquet(pipeline.artifacts / "predictions.parquet")


def _positions(frame: pd.DataFrame, predictions: pd.DataFrame) -> NDArray[np.int64]:
    """Where the predicted rows are in the prepared grid."""
    place = pd.Series(np.arange(len(frame)), index=pd.MultiIndex.from_frame(frame[["asset_id", "timestamp"]]))
    return place.loc[pd.MultiIndex.from_frame(predictions[["asset_id", "timestamp"]])].to_numpy()


def _session(pipeline: PipelineRun, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more threads may add up the trees in another order
    content = (pipeline.models / "current" / name).read_bytes()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _bits(values: NDArray[np.float32]) -> list[int]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).tolist()
