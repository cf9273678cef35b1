from __future__ import annotations

import tomllib
from pathlib import Path

import ml
from ml.export.metadata import library_versions

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_the_version_in_metadata_is_the_projects() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert library_versions()["eagle-ml"] == ml.__version__ == project["version"]
