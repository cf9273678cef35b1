"""``python -m ml.predict`` as a process: the same bits as validation, any order of rows, refusals, memory, stopping."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from ml.workspace.versions.manifest import write_manifest
from tests.pipeline.backend import (
    REPOSITORY,
    Json,
    environment,
    predict,
    predict_here,
    spawn,
    tree,
    workspace_command,
)
from tests.pipeline.small_plant import INTERVAL_SECONDS, ORGANIZATION, PipelineRun, write_json


def same_bits(left: pd.Series, right: pd.Series) -> bool:
    return left.to_numpy(np.float32).tobytes() == right.to_numpy(np.float32).tobytes()


def test_scores_have_the_bits_of_the_validation(
    pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
) -> None:
    outcome = predict(pipeline.config_file, readings, tmp_path / "scores.parquet", root=published)
    assert outcome.exit_code == 0, outcome.document
    assert outcome.progress
    scored = pd.read_parquet(tmp_path / "scores.parquet")
    document = outcome.document
    assert document["rows"] == len(scored)
    assert document["alarms"] == scored["label"].sum() > 0
    assert (document["version"], document["assets"]) == ("v1", 4)
    validated = pd.read_parquet(pipeline.artifacts / "predictions.parquet")
    both = validated.merge(scored, on=["asset_id", "timestamp"], suffixes=("_validated", "_scored"))
    assert len(both) == len(validated) > 0
    assert same_bits(both["probability_validated"], both["probability_scored"])


def test_any_order_and_format_of_readings_gives_the_same_scores(
    pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
) -> None:
    table = pd.read_parquet(readings).drop_duplicates(["asset_id", "created_timestamp"])
    table.to_parquet(tmp_path / "sorted.parquet")
    table.sample(frac=1.0, random_state=3).to_csv(tmp_path / "shuffled.csv", index=False)
    for data, out in (("sorted.parquet", "a.parquet"), ("shuffled.csv", "b.csv")):
        assert predict_here(pipeline.config_file, tmp_path / data, tmp_path / out, root=published).exit_code == 0
    first = pd.read_parquet(tmp_path / "a.parquet")
    second = pd.read_csv(tmp_path / "b.csv", dtype={"probability": np.float32}, parse_dates=["timestamp"])
    assert (first["timestamp"] == second["timestamp"]).all()
    assert (first["asset_id"] == second["asset_id"]).all()
    assert same_bits(first["probability"], second["probability"])


def test_readings_in_another_layout_give_the_same_scores(
    pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
) -> None:
    table = pd.read_parquet(readings).drop_duplicates(["asset_id", "created_timestamp"])
    table.to_parquet(tmp_path / "wide.parquet")
    schema = (config := json.loads(pipeline.config_file.read_text()))["schemaConfig"]
    sensors = [*schema["continuousColumns"], *schema["booleanColumns"]]
    table[sensors] = table[sensors].astype(float)
    long = table.melt(["asset_id", "created_timestamp"], sensors, "tag").dropna()
    long.sort_values("created_timestamp", kind="stable").to_parquet(tmp_path / "long.parquet")
    layout = {"layout": "long", "tagColumn": "tag", "valueColumn": "value"}
    named = write_json(tmp_path / "config.json", {**config, "layoutConfig": layout})
    found = predict_here(named, tmp_path / "long.parquet", tmp_path / "a.parquet", root=published)
    assert found.exit_code == 0, found.document
    assert "TAGS_ABSENT" not in [each["code"] for each in found.document["warnings"]]
    assert (
        predict_here(pipeline.config_file, tmp_path / "wide.parquet", tmp_path / "b.parquet", root=published).exit_code
        == 0
    )
    first, second = (pd.read_parquet(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert same_bits(first["probability"], second["probability"])
    foreign = published / "artifacts/other_plant/v1"
    foreign.mkdir(parents=True)
    (foreign / "errors.csv").write_text("asset_id,created_timestamp,code\n")
    table = {"kind": "counts", "path": str(foreign / "errors.csv"), "countColumn": "code"}
    named = write_json(tmp_path / "config.json", {**config, "layoutConfig": {"tables": {"errors": table}}})
    refused = predict_here(named, tmp_path / "wide.parquet", tmp_path / "c.parquet", root=published)
    shutil.rmtree(foreign.parent)
    assert refused.exit_code == 6


def test_the_run_is_on_record_and_leaves_nothing_else(
    pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
) -> None:
    before = tree(published)
    outcome = predict_here(pipeline.config_file, readings, tmp_path / "scores.csv", root=published)
    after = tree(published)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    artifacts = f"artifacts/{ORGANIZATION}"
    assert changed == {f"{artifacts}/audit.jsonl", f"{artifacts}/v1/training_logs/predict.log"}
    records = [json.loads(line) for line in (published / artifacts / "audit.jsonl").read_text().splitlines()[-2:]]
    assert [(record["operation"], record["version"]) for record in records] == [("predict", "v1")] * 2
    assert records[-1]["dataDigest"] == outcome.document["dataDigest"]


def test_another_version_is_scored_where_it_is_named(two_versions: PipelineRun, readings: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(two_versions.root, tmp_path / "two", symlinks=True))
    scores = {}
    for version in ("v1", "v2"):
        out = tmp_path / f"{version}.parquet"
        outcome = predict_here(two_versions.config_file, readings, out, "--version", version, root=root)
        assert (outcome.exit_code, outcome.document["version"]) == (0, version)
        scores[version] = pd.read_parquet(out)["probability"]
    out = tmp_path / "current.parquet"
    assert predict_here(two_versions.config_file, readings, out, root=root).document["version"] == "v2"
    assert same_bits(pd.read_parquet(out)["probability"], scores["v2"])
    assert not same_bits(scores["v1"], scores["v2"])


def test_a_run_that_trains_does_not_keep_others_from_scoring(
    pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
) -> None:
    from ml.workspace.locks import version_lock
    from ml.workspace.paths import OrganizationPaths

    with version_lock(OrganizationPaths(ORGANIZATION, published), "v1"):
        outcome = predict(pipeline.config_file, readings, tmp_path / "scores.csv", root=published)
    assert outcome.exit_code == 0, outcome.document


class TestRefusals:
    """Exit status 6, no output, nothing executed."""

    @staticmethod
    def refused(pipeline: PipelineRun, root: Path, readings: Path, out: Path, code: str = "INTEGRITY_REFUSED") -> Json:
        outcome = predict_here(pipeline.config_file, readings, out, root=root)
        assert (outcome.exit_code, outcome.error["code"]) == (6, code), outcome.document
        assert not out.exists() or root in out.parents
        return outcome.error

    def test_a_model_with_a_changed_byte(
        self, pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
    ) -> None:
        model = published / "models" / ORGANIZATION / "versions" / "v1" / "model.onnx"
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
        assert "model.onnx" in self.refused(pipeline, published, readings, tmp_path / "out.csv")["message"]

    def test_a_model_with_external_data(
        self, pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
    ) -> None:
        folder = published / "models" / ORGANIZATION / "versions" / "v1"
        model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        write_manifest(folder, ORGANIZATION, "v1")
        assert "external_data" in self.refused(pipeline, published, readings, tmp_path / "out.csv")["message"]

    def test_a_manifest_of_another_organisation(
        self, pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
    ) -> None:
        write_manifest(published / "models" / ORGANIZATION / "versions" / "v1", "plant_b", "v1")
        assert "another organisation" in self.refused(pipeline, published, readings, tmp_path / "out.csv")["message"]

    def test_readings_of_another_organisation(
        self, pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path
    ) -> None:
        theirs = published / "artifacts" / "plant_b" / "v1" / "readings.parquet"
        theirs.parent.mkdir(parents=True)
        shutil.copyfile(readings, theirs)
        self.refused(pipeline, published, theirs, tmp_path / "out.csv", "ISOLATION_REFUSED")

    @pytest.mark.parametrize(
        "out", [f"models/{ORGANIZATION}/versions/v1/scores.csv", "artifacts/plant_b/v1/scores/scores.csv"]
    )
    def test_an_output_among_files_that_are_kept(
        self, pipeline: PipelineRun, published: Path, readings: Path, out: str
    ) -> None:
        before = tree(published / "models")
        self.refused(pipeline, published, readings, published / out, "ISOLATION_REFUSED")
        assert tree(published / "models") == before
        assert not (published / out).exists()

    def test_a_pickle_is_never_opened(self, two_versions: PipelineRun, readings: Path, tmp_path: Path) -> None:
        """As an argument, and in the places of the scaler and of the forest, with a manifest that lists it."""
        root = Path(shutil.copytree(two_versions.root, tmp_path / "two", symlinks=True))
        trace = tmp_path / "trace"
        folder = root / "models" / ORGANIZATION / "versions" / "v2"
        hostile = pickle.dumps(_Command(f"touch {trace}"))
        (tmp_path / "model.pkl").write_bytes(hostile)
        asked = spawn("convert_to_onnx", two_versions.config_file, tmp_path / "model.pkl", root=root)
        assert "is a pickle" in asked.error["message"]
        for name in ("model.parquet", "scaler.pkl"):
            (folder / name).write_bytes(hostile)
        write_manifest(folder, ORGANIZATION, "v2")
        planted = [spawn(step, two_versions.config_file, root=root) for step in ("validate_model", "convert_to_onnx")]
        for outcome in (asked, *planted):
            assert (outcome.exit_code, outcome.error["code"]) == (6, "INTEGRITY_REFUSED"), outcome.document
        # Predictions read neither.
        assert predict(two_versions.config_file, readings, tmp_path / "out.csv", root=root).exit_code == 0
        assert not trace.exists()


class _Command:
    """Pickles as a call of the shell."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_what_cannot_be_scored_says_why(pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path) -> None:
    config, prepared = pipeline.config_file, published / "artifacts" / ORGANIZATION / "v1" / "prepared_data.parquet"
    pd.read_parquet(readings).drop(columns="vibration").to_parquet(tmp_path / "narrow.parquet")
    pd.read_parquet(readings).iloc[:0].to_parquet(tmp_path / "empty.parquet")
    for data, out, status, code, words in (
        (readings, "scores.xlsx", 2, "USAGE", ".parquet or .csv"),
        (tmp_path / "narrow.parquet", "narrow.parquet", 2, "USAGE", "the data itself"),
        (tmp_path / "narrow.parquet", "out.csv", 3, "COLUMN_MISSING", "vibration"),
        (tmp_path / "empty.parquet", "out.csv", 3, "NO_ROWS", "no usable rows"),
        (tmp_path / "none.parquet", "out.csv", 3, "ARTIFACT_MISSING", "none.parquet"),
        (prepared, "out.csv", 3, "DATA_INVALID", "prepared data"),
    ):
        outcome = predict_here(config, data, tmp_path / out, root=published)
        assert (outcome.exit_code, outcome.error["code"]) == (status, code), outcome.document
        assert words in outcome.error["message"]
        assert not (tmp_path / "out.csv").exists()
    assert workspace_command("verify", ORGANIZATION, root=published).exit_code == 0


def many_readings(file: Path, instants: int) -> Path:
    """Readings of four pumps by time, in turns, as a historian exports them; made of a few hundred that repeat."""
    random = np.random.default_rng(0)
    times = pd.date_range("2005-01-01", periods=instants, freq=f"{INTERVAL_SECONDS}s", tz="UTC").repeat(4)
    values = random.normal(50, 10, size=(500, 6)).round(1)[np.arange(len(times)) % 500]
    table = pd.DataFrame(
        values, columns=["temperature", "pressure", "flow_rate", "vibration", "current", "load_setpoint"]
    )
    table["total_volume"] = 2.5e8 + np.arange(len(times))
    table["pump_status"], table["alarm_active"] = 1, 0
    table["asset_id"], table["timestamp"] = [f"PUMP-0{number}" for number in (1, 2, 3, 4)] * instants, times
    table.to_parquet(file, row_group_size=50_000)
    return file


# VmHWM and not getrusage, whose peak begins with that of the process that has started this one
_PEAK = """
import sys
from ml.predict.__main__ import main
status = main(sys.argv[1:])
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
sys.stderr.write(f"\\n{peak}")
sys.exit(status)
"""


def test_memory_does_not_grow_with_the_file(pipeline: PipelineRun, published: Path, tmp_path: Path) -> None:
    peaks = []
    for instants in (50_000, 250_000):
        data = many_readings(tmp_path / f"{instants}.parquet", instants)
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(pipeline.config_file), str(data), str(tmp_path / "out.parquet")],
            cwd=REPOSITORY,
            env=environment(published),
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert json.loads(done.stdout)["rows"] == 4 * instants
        peaks.append(int(done.stderr.rpartition("\n")[2]) / 1024)
    small, large = peaks
    # A million rows of 100 features are 400 MB more than 200,000 of them, if they are held at once.
    assert large < small + 150, peaks
    assert large < 1000, peaks


def test_stopped_in_the_middle_it_leaves_nothing(pipeline: PipelineRun, published: Path, tmp_path: Path) -> None:
    data = many_readings(tmp_path / "many.parquet", 100_000)
    before = tree(published / "artifacts" / ORGANIZATION / "v1").keys()
    outcome = predict(
        pipeline.config_file,
        data,
        tmp_path / "out.parquet",
        root=published,
        terminate_on=lambda event: "readings scored" in event.get("message", ""),
    )
    assert (outcome.exit_code, outcome.error["code"]) == (143, "STOPPED")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.parquet", "published"]
    left = tree(published / "artifacts" / ORGANIZATION / "v1").keys() - before
    assert left <= {"training_logs/predict.log"}


def test_a_configuration_that_is_wrong_is_told_before_anything_is_read(published: Path, tmp_path: Path) -> None:
    wrong = write_json(tmp_path / "wrong.json", {"organizationId": ORGANIZATION, "schemaConfg": {}})
    outcome = predict_here(wrong, tmp_path / "none.csv", tmp_path / "out.csv", root=published)
    assert (outcome.exit_code, outcome.error["code"]) == (2, "CONFIG_INVALID")
