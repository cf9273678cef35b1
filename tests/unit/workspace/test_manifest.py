from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.errors import IntegrityError, MissingArtifactError
from ml.workspace.versions.manifest import FORMAT_VERSION, verify, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "v1"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "metadata.json").write_text("{}")
    write_manifest(folder, "plant_a", "v1")
    return folder


def edited(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def linked(folder: Path) -> None:
    (folder.parent / "elsewhere").write_bytes(b"model")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere")


TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed byte": (lambda f: (f / "model.onnx").write_bytes(b"modeL"), "model.onnx is not what"),
    "an appended byte": (lambda f: (f / "model.onnx").write_bytes(b"model "), "model.onnx is not what"),
    "a missing file": (lambda f: (f / "model.onnx").unlink(), "model.onnx is missing"),
    "an added file": (lambda f: (f / "scaler.pkl").touch(), "scaler.pkl is not in its manifest"),
    "an added folder": (lambda f: (f / "more").mkdir(), "more in v1 is not a regular file"),
    "a linked file": (linked, "model.onnx in v1 is not a regular file"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "not complete"),
    "a broken manifest": (lambda f: (f / "manifest.json").write_text("{"), "not valid JSON"),
    "another organisation": (lambda f: edited(f, organizationId="plant_b"), "another organisation"),
    "another version": (lambda f: edited(f, version="v2"), "another version"),
    "a newer format": (lambda f: edited(f, formatVersion=FORMAT_VERSION + 1), "this release reads up to"),
    "a format that is no number": (lambda f: edited(f, formatVersion="1"), "names no format version"),
    "no files": (lambda f: edited(f, files=[]), "lists no files"),
    "an entry that is no entry": (lambda f: edited(f, files={"model.onnx": 1, "metadata.json": 1}), "is not what"),
    "a path in an entry": (lambda f: edited(f, files={"../../x": {}}), "is missing"),
}


@pytest.mark.parametrize("case", TAMPERING)
def test_tampering_is_noticed(folder: Path, case: str) -> None:
    tamper, words = TAMPERING[case]
    verify(folder, "plant_a", "v1")
    tamper(folder)
    with pytest.raises(IntegrityError, match=words) as refusal:
        verify(folder, "plant_a", "v1")
    assert "plant_b" not in str(refusal.value.to_json())


def test_the_manifest_names_every_file_with_size_and_hash(folder: Path) -> None:
    manifest = verify(folder, "plant_a", "v1")
    assert manifest["files"]["model.onnx"] == {
        "sha256": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
        "bytes": 5,
    }
    assert set(manifest["files"]) == {"model.onnx", "metadata.json"}


def test_equal_files_give_equal_manifests(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere_v1"
    other.mkdir()
    (other / "metadata.json").write_text("{}")
    (other / "model.onnx").write_bytes(b"model")
    write_manifest(other, "plant_a", "v1")
    assert (other / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_a_link_is_never_put_into_a_manifest(folder: Path) -> None:
    linked(folder)
    with pytest.raises(IntegrityError, match="not a regular file"):
        write_manifest(folder, "plant_a", "v1")


def test_a_missing_version(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match='no version "v1"'):
        verify(tmp_path / "v1", "plant_a", "v1")
