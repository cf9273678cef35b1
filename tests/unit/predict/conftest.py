from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import publish
from tests.unit.predict.installed import install


@pytest.fixture(scope="session")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("installed")
    paths = OrganizationPaths("plant_a", root)
    for seed, version in enumerate(("v1", "v2", "v3")):
        install(paths, version, seed=seed, times=version == "v1")
    install(paths, "plain", onnx=False)
    install(OrganizationPaths("plant_b", root), "v1", seed=9)
    publish(paths, "v1")
    return root


@pytest.fixture
def root(_installed: Path, tmp_path: Path) -> Path:
    """A workspace with v1 (published), v2 and v3 of plant_a, one without ONNX, and v1 of plant_b; free to change."""
    return Path(shutil.copytree(_installed, tmp_path / "workspace", symlinks=True))


@pytest.fixture
def paths(root: Path) -> OrganizationPaths:
    return OrganizationPaths("plant_a", root)
