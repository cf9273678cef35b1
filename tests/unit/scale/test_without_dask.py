"""Dask is an extra: only what uses a cluster that is there already needs it, and says what to install."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
BLOCKED = "import sys; sys.modules.update(dict.fromkeys(['dask', 'distributed'])); "


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", BLOCKED + code, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False)


def test_the_fleet_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    done = run(
        "from ml.scale.fleet.command import main; sys.exit(main(sys.argv[1:]))",
        str(tmp_path),
        "--scheduler",
        "tcp://127.0.0.1:1",
    )
    assert done.returncode == 4, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "LIBRARY_MISSING"
    assert error["hint"] == "pip install -r requirements-fleet.txt"
    assert (REPOSITORY / "requirements-fleet.txt").is_file()


def test_training_by_partitions_says_what_to_install(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "organizationId": "plant_a",
                "schemaConfig": {"continuousColumns": ["a"]},
                "trainingConfig": {"engine": "dask"},
            }
        )
    )
    code = f"import os; os.environ.update(ML_BASE_PATH={str(tmp_path)!r}, DASK_SCHEDULER_ADDRESS='tcp://127.0.0.1:1'); "
    done = run(code + "from ml.scripts.train_model import main; sys.exit(main(sys.argv[1:]))", str(config))
    assert done.returncode == 4, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["hint"]) == ("LIBRARY_MISSING", "pip install -r requirements-fleet.txt")
    assert "DASK_SCHEDULER_ADDRESS" in error["message"]


@pytest.mark.parametrize(
    "step", ["data_prep", "hyperparameter_tuning", "train_model", "validate_model", "convert_to_onnx"]
)
def test_a_step_starts_without_it(step: str) -> None:
    done = run(f"from ml.scripts.{step} import main; sys.exit(main(sys.argv[1:]))", "--help")
    assert done.returncode == 0, done.stderr
    assert "config" in done.stdout


def test_only_what_works_on_a_cluster_imports_it() -> None:
    importers = {
        file.relative_to(REPOSITORY / "ml").parts[0]
        for file in (REPOSITORY / "ml").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in _imported(node)
        if name.split(".")[0] in {"dask", "distributed"}
    }
    assert importers == {"scale"}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
