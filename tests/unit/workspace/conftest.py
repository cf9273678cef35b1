from __future__ import annotations

from pathlib import Path

import pytest

from ml.workspace.paths import OrganizationPaths


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace, also for code that asks the environment."""
    folder = tmp_path / "workspace"
    (folder / "models").mkdir(parents=True)
    (folder / "artifacts").mkdir()
    monkeypatch.setenv("ML_BASE_PATH", str(folder))
    return folder


@pytest.fixture
def paths(root: Path) -> OrganizationPaths:
    return OrganizationPaths("plant_a", root)
