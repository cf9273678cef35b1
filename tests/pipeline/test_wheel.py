"""The wheel has all that the command needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy, because setuptools builds in the source's folder and keeps what it built
    for package in ("ml", "simulation"):
        shutil.copytree(REPOSITORY / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", source)
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, stdin=subprocess.DEVNULL)
    (wheel,) = folder.glob("eagle_ml-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def eagle_ml(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from ml.__main__ import main; sys.exit(main())"
    environment = {name: value for name, value in os.environ.items() if name != "ML_BASE_PATH"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(installed)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_command_helps(installed: Path, tmp_path: Path) -> None:
    done = eagle_ml(installed, tmp_path, "--help")
    assert done.returncode == 0
    assert "validate" in done.stdout


def test_an_unknown_command_is_named(installed: Path, tmp_path: Path) -> None:
    done = eagle_ml(installed, tmp_path, "trian")
    assert done.returncode == 2
    assert "'trian'" in done.stderr


def test_a_step_keeps_its_results_in_the_working_directory(installed: Path, tmp_path: Path, database: Path) -> None:
    config = write_json(tmp_path / "config.json", plant_config(database))
    done = eagle_ml(installed, tmp_path, "prep", str(config))
    result = json.loads(done.stdout)
    assert result["status"] == "SUCCESS"
    folder = tmp_path / "workspace" / "artifacts" / ORGANIZATION / "v1"
    assert Path(result["dataSummaryPath"]) == folder / "data_summary.json"
    assert not (installed / "ml" / "artifacts").exists()


def test_the_workspace_can_be_named(installed: Path, tmp_path: Path) -> None:
    done = eagle_ml(installed, tmp_path, "--workspace", "elsewhere", "list", ORGANIZATION, "--json")
    assert json.loads(done.stdout)["step"] == "workspace"
    assert not (tmp_path / "workspace").exists()
