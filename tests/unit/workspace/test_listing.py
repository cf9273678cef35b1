"""The listing beside the name for the backend: what stands in it, that it stays right, and goes with its version."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from ml.errors import IntegrityError
from ml.workspace.files import write_json
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.pruning import prune
from ml.workspace.versions.store import link_model, stage_version
from ml.workspace.versions.verification import verify_organization

VALIDATION = {"accuracy": 0.9, "precision": 0.5, "recall": 0.4, "auc": 0.8}
TEST = {"accuracy": 0.7, "precision": 0.6, "recall": 0.3, "auc": 0.75}


def install(paths: OrganizationPaths, version: str, content: str = "model") -> Path:
    with stage_version(paths, version) as folder:
        (folder / "model.onnx").write_text(content)
        metadata = {
            "features": ["b", "a"],
            "metrics": VALIDATION,
            "suggestedThreshold": 0.4,
            "servingProfile": "backend",
        }
        (folder / "metadata.json").write_text(json.dumps(metadata))
    link_model(paths, version)
    return paths.models / f"model_{version}.onnx.metadata.json"


def test_it_holds_what_the_backend_lists_a_model_by(paths: OrganizationPaths) -> None:
    write_json(paths.metrics("v1"), TEST | {"validation": VALIDATION})
    listing = install(paths, "v1")
    found = json.loads(listing.read_bytes())
    assert found.pop("createdAt")[-6:] == "+00:00"
    assert found == {
        "organizationId": "plant_a",
        "version": "v1",
        **TEST,
        "size": 5,
        "checksum": hashlib.sha256(b"model").hexdigest(),
        "features": ["b", "a"],
        "servingProfile": "backend",
        "suggestedThreshold": 0.4,
        "encrypted": False,
    }
    assert listing.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in paths.version("v1").iterdir()) == [
        "manifest.json", "metadata.json", "model.onnx",
    ]  # fmt: skip


@pytest.mark.parametrize("metrics", [None, TEST | {"validation": TEST}])
def test_scores_of_another_model_are_not_taken_for_its_own(
    paths: OrganizationPaths, metrics: dict[str, object] | None
) -> None:
    if metrics is not None:
        write_json(paths.metrics("v1"), metrics)
    found = json.loads(install(paths, "v1").read_bytes())
    assert {name: found[name] for name in VALIDATION} == VALIDATION


def test_the_same_version_listed_again_has_the_same_bytes(paths: OrganizationPaths) -> None:
    listing = install(paths, "v1")
    before = listing.read_bytes()
    install(paths, "v1")
    assert listing.read_bytes() == before
    install(paths, "v1", "another")
    assert listing.read_bytes() != before


def test_it_goes_with_its_version(paths: OrganizationPaths) -> None:
    for number, version in enumerate(("v1", "v2")):
        install(paths, version)
        os.utime(paths.version(version), (1e9 + number, 1e9 + number))
    prune(paths, keep=1)
    left = sorted(entry.name for entry in paths.models.iterdir() if not entry.name.startswith("."))
    assert left == ["model_v2.onnx", "model_v2.onnx.metadata.json", "versions"]


@pytest.mark.parametrize(
    ("key", "value"), [("features", ["a", "b"]), ("version", "v2"), ("organizationId", "plant_b"), ("size", 6)]
)
def test_verify_sees_one_that_describes_another_model(paths: OrganizationPaths, key: str, value: object) -> None:
    listing = install(paths, "v1")
    assert verify_organization(paths)["versions"] == 1
    listing.write_text(json.dumps(json.loads(listing.read_bytes()) | {key: value}))
    with pytest.raises(IntegrityError, match=f'does not describe version "v1": {key} differs'):
        verify_organization(paths)
    listing.write_text("{")
    with pytest.raises(IntegrityError, match="is not valid JSON"):
        verify_organization(paths)
    listing.unlink()
    assert verify_organization(paths)["versions"] == 1


def test_a_link_out_of_the_organisation_is_not_followed(paths: OrganizationPaths, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("untouched")
    paths.models.mkdir(parents=True, exist_ok=True)
    (paths.models / "model_v1.onnx.metadata.json").symlink_to(outside)
    with pytest.raises(Exception, match="leads out of the organisation's folders"):
        install(paths, "v1")
    assert outside.read_text() == "untouched"
