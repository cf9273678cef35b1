from __future__ import annotations

import os
import stat
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ml
from ml.config import OrganizationConfig
from ml.errors import DataError, IsolationError, MissingArtifactError
from ml.workspace.paths import OrganizationPaths, for_config, workspace_root

HOSTILE = ["", ".", "..", "../x", "a/b", "a\\b", "/etc", "x\0", "x\n", "-x", ".x", "a..b", "x.", "con", "NUL.txt"]
HOSTILE += ["%2e%2e", "~", "\u0430cme", "a" * 129, "file:x", "x y", "x;y", "$HOME"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_path_is_built_from_a_hostile_id(root: Path, hostile: str) -> None:
    with pytest.raises(IsolationError, match="organizationId is not a safe identifier"):
        OrganizationPaths(hostile, root)
    safe = OrganizationPaths("plant_a", root)
    for method in (safe.version, safe.run, safe.model_link, safe.version_lock, safe.logs, safe.prepared_data):
        with pytest.raises(IsolationError, match="version is not a safe identifier"):
            method(hostile)


@given(text=st.text(max_size=20))
def test_any_text_is_refused_or_a_plain_folder(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.getbasetemp()
    try:
        paths = OrganizationPaths(text, root)
    except IsolationError:
        return
    assert paths.models.parent == root / "models"
    assert paths.version(text) == root / "models" / text / "versions" / text


def test_where_things_lie(root: Path, paths: OrganizationPaths) -> None:
    assert paths.current == root / "models/plant_a/current"
    assert paths.version("v1") == root / "models/plant_a/versions/v1"
    assert paths.model_link("v1") == root / "models/plant_a/model_v1.onnx"
    assert paths.audit_log == root / "artifacts/plant_a/audit.jsonl"
    assert paths.validation_report("v1", ".html") == root / "artifacts/plant_a/v1/validation_report.html"
    names = [path.name for path in (paths.prepared_data("v1"), paths.data_summary("v1"), paths.metrics("v1"))]
    assert names == ["prepared_data.parquet", "data_summary.json", "metrics.json"]
    assert paths.predictions("v1").name == "predictions.parquet"
    folders = [path.name for path in (paths.logs("v1"), paths.plots("v1"), paths.tuning("v1"))]
    assert folders == ["training_logs", "validation_plots", "hyperparameter_results"]


def test_building_paths_creates_nothing(root: Path, paths: OrganizationPaths) -> None:
    paths.prepared_data("v1")
    assert sorted(root.rglob("*")) == [root / "artifacts", root / "models"]
    with pytest.raises(FrozenInstanceError):
        paths.organization_id = "plant_b"  # type: ignore[misc]


def test_root_is_the_environment_or_the_package(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace_root() == root
    monkeypatch.delenv("ML_BASE_PATH")
    assert workspace_root() == Path(ml.__file__).parent


def test_a_version_cannot_take_the_place_of_the_audit_log(paths: OrganizationPaths) -> None:
    with pytest.raises(IsolationError, match="audit log"):
        paths.run("Audit.JSONL")


@pytest.mark.parametrize("kind", ["models", "artifacts"])
def test_a_twin_in_other_case_is_refused_and_not_named(root: Path, kind: str) -> None:
    (root / kind / "Plant_A").mkdir()
    with pytest.raises(IsolationError) as refusal:
        OrganizationPaths("plant_a", root)
    assert "Plant_A" not in str(refusal.value.to_json())
    OrganizationPaths("Plant_A", root)


def test_output_path_names_the_folder_of_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = root / "artifacts/plant_a/night_run"
    assert OrganizationPaths("plant_a", root, str(wanted)).metrics("v1") == wanted / "metrics.json"
    monkeypatch.chdir(root)
    assert OrganizationPaths("plant_a", root, "artifacts/plant_a/night_run").run("v1") == wanted
    config = OrganizationConfig.from_dict(
        {"organizationId": "plant_a", "outputPath": str(wanted), "schemaConfig": {"continuousColumns": ["t"]}}
    )
    assert for_config(config).run("v1") == wanted


ELSEWHERE = ["", ".", "/tmp", "{root}", "{root}/artifacts", "{root}/artifacts/plant_a", "{root}/models/plant_a/v1"]
ELSEWHERE += ["{root}/artifacts/plant_b/v1", "{root}/artifacts/plant_a/../plant_b/v1", "{root}/artifacts/plant_a/v1/x"]
ELSEWHERE += ["{root}/artifacts/plant_a/audit.jsonl", "{root}/artifacts/plant_a/.v1", "{root}/artifacts/plant_a/v1\0"]


@pytest.mark.parametrize("output_path", ELSEWHERE)
def test_output_path_elsewhere_is_refused(root: Path, output_path: str) -> None:
    with pytest.raises(IsolationError) as refusal:
        OrganizationPaths("plant_a", root, output_path.format(root=root))
    assert refusal.value.field == "outputPath"
    assert "plant_b" not in str(refusal.value)


def test_output_path_may_not_be_a_link_out(root: Path, tmp_path: Path) -> None:
    (root / "artifacts/plant_a").mkdir()
    (root / "artifacts/plant_a/night").symlink_to(tmp_path)
    with pytest.raises(IsolationError):
        OrganizationPaths("plant_a", root, str(root / "artifacts/plant_a/night"))


@pytest.mark.parametrize("kind", ["models", "artifacts"])
def test_an_organisation_that_is_a_link_is_refused(root: Path, kind: str) -> None:
    (root / kind / "plant_b").mkdir()
    (root / kind / "plant_a").symlink_to(root / kind / "plant_b")
    with pytest.raises(IsolationError) as refusal:
        OrganizationPaths("plant_a", root)
    assert "plant_b" not in str(refusal.value.to_json())


def test_links_inside_the_organisation_may_not_lead_out(root: Path, paths: OrganizationPaths) -> None:
    foreign = root / "artifacts/plant_b/v1"
    foreign.mkdir(parents=True)
    (foreign / "metrics.json").write_text("{}")
    paths.artifacts.mkdir()
    (paths.artifacts / "v1").symlink_to(foreign)
    with pytest.raises(IsolationError):
        paths.metrics("v1")
    (paths.artifacts / "v2").mkdir()
    (paths.artifacts / "v2" / "metrics.json").symlink_to(foreign / "metrics.json")
    with pytest.raises(IsolationError):
        paths.metrics("v2")
    paths.models.mkdir()
    paths.current.symlink_to(root)
    with pytest.raises(IsolationError):
        _ = paths.current


@pytest.mark.parametrize("target", ["artifacts/plant_b/v1/journal.log", "artifacts/plant_a/audit.jsonl", "nowhere"])
def test_a_file_of_the_search_may_not_be_a_link(root: Path, paths: OrganizationPaths, target: str) -> None:
    assert paths.tuning_file("v1", "journal.log") == root / "artifacts/plant_a/v1/hyperparameter_results/journal.log"
    paths.tuning("v1").mkdir(parents=True)
    (paths.tuning("v1") / "journal.log").symlink_to(root / target)
    with pytest.raises(IsolationError) as refusal:
        paths.tuning_file("v1", "journal.log")
    assert "plant_b" not in str(refusal.value.to_json())


def test_the_workspace_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert OrganizationPaths("plant_a", tmp_path / "alias").models == root / "models/plant_a"


def foreign_file(root: Path) -> Path:
    file = root / "artifacts/plant_b/v1/data.csv"
    file.parent.mkdir(parents=True)
    file.write_text("secret")
    return file


def test_files_anywhere_outside_the_workspace_and_own_files_are_readable(
    tmp_path: Path, paths: OrganizationPaths
) -> None:
    outside = tmp_path / "data.csv"
    outside.write_text("x")
    assert paths.readable_file(outside, "the data") == outside
    (tmp_path / "link.csv").symlink_to(outside)
    assert paths.readable_file(str(tmp_path / "link.csv"), "the data") == outside
    own = paths.artifacts / "v1" / "data.csv"
    own.parent.mkdir(parents=True)
    own.write_text("x")
    assert paths.readable_file(own, "the data") == own


def test_another_organisations_file_is_refused_however_it_is_named(
    root: Path, tmp_path: Path, paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = foreign_file(root)
    paths.artifacts.mkdir()
    (tmp_path / "file_link").symlink_to(foreign)
    (tmp_path / "folder_link").symlink_to(foreign.parent)
    (tmp_path / "chain").symlink_to(tmp_path / "file_link")
    monkeypatch.chdir(paths.artifacts)
    names = [foreign, tmp_path / "file_link", tmp_path / "folder_link/data.csv", tmp_path / "chain"]
    names += [Path("../plant_b/v1/data.csv"), Path("/proc/self/root", *foreign.parts[1:]), Path("/", *foreign.parts)]
    names += [root / "artifacts/plant_b/v1/does_not_exist.csv", root / "artifacts/plant_b"]
    for name in names:
        with pytest.raises(IsolationError) as refusal:
            paths.readable_file(name, "the test data")
        assert "plant_b" not in str(refusal.value.to_json())
        assert "the test data" in refusal.value.message


def test_links_across_the_organisations_border_are_refused(
    root: Path, tmp_path: Path, paths: OrganizationPaths
) -> None:
    outside = tmp_path / "passwords"
    outside.write_text("x")
    for folder in (paths.artifacts, root / "artifacts/plant_b"):
        folder.mkdir()
        (folder / "link").symlink_to(outside)
        with pytest.raises(IsolationError):
            paths.readable_file(folder / "link", "the data")


def test_what_is_not_a_readable_file_is_refused_by_name(tmp_path: Path, paths: OrganizationPaths) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(MissingArtifactError, match=r"the data \(none.csv\) does not exist"):
        paths.readable_file(tmp_path / "none.csv", "the data")
    with pytest.raises(MissingArtifactError):
        paths.readable_file(tmp_path / "loop", "the data")
    for name in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DataError, match="not a regular file"):
            paths.readable_file(name, "the data")
    with pytest.raises(DataError, match="zero byte"):
        paths.readable_file("a\0b", "the data")
    with pytest.raises(DataError, match="cannot be read"):
        paths.readable_file("a" * 5000, "the data")


def test_folders_and_files_are_private(paths: OrganizationPaths) -> None:
    from ml.workspace.files import write_text

    write_text(paths.metrics("v1"), "{}")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (paths.artifacts, paths.run("v1"), paths.metrics("v1"))]
    assert modes == [0o700, 0o700, 0o600]


def test_a_file_to_write_lies_outside_the_workspace_or_in_the_scores_of_a_version(
    root: Path, paths: OrganizationPaths, tmp_path: Path
) -> None:
    outside = tmp_path / "out.parquet"
    own = root / "artifacts/plant_a/v1/scores/out.csv"
    assert paths.writable_file(outside, "the output") == outside
    assert paths.writable_file(own, "the output") == own
    assert list(root.rglob("*out*")) == []


@pytest.mark.parametrize(
    "name",
    [
        "models/plant_a/versions/v1/model.onnx",
        "models/plant_a/current",
        "artifacts/plant_a/audit.jsonl",
        "artifacts/plant_a/v1/prepared_data.parquet",
        "artifacts/plant_a/v1/scores/../metrics.json",
        "artifacts/plant_a/scores/out.csv",
        "artifacts/plant_b/v1/scores/out.csv",
        "models/out.csv",
    ],
)
def test_a_file_that_the_steps_keep_is_not_written(root: Path, paths: OrganizationPaths, name: str) -> None:
    with pytest.raises(IsolationError, match="must not lie among the files"):
        paths.writable_file(root / name, "the output")


def test_a_link_does_not_lead_a_file_to_write_into_or_out_of_the_workspace(
    root: Path, paths: OrganizationPaths, tmp_path: Path
) -> None:
    (root / "artifacts/plant_b/v1").mkdir(parents=True)
    (tmp_path / "into").symlink_to(root / "artifacts/plant_b/v1")
    (root / "artifacts/plant_a/v1").mkdir(parents=True)
    (root / "artifacts/plant_a/v1/scores").symlink_to(tmp_path)
    for folder in (tmp_path / "into", root / "artifacts/plant_a/v1/scores"):
        with pytest.raises(IsolationError):
            paths.writable_file(folder / "out.csv", "the output")


@pytest.mark.parametrize("name", ["", "..", "a\0b"])
def test_what_names_no_file_is_not_written(paths: OrganizationPaths, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        paths.writable_file(f"{tmp_path}/{name}" if name else "", "the output")
    with pytest.raises(DataError, match="folder"):
        paths.writable_file(tmp_path, "the output")
