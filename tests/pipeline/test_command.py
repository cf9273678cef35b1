"""The one command as a person types it: from another folder, on a terminal, with whatever Python is at hand."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from ml.errors import MissingLibraryError
from ml.workspace.process import requirements
from tests.chromium import address_of, chromium, find_chromium
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, plant_config, write_json

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "ml"]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "ML_BASE_PATH"}
    return kept | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}


def on_terminal(*arguments: str, cwd: Path) -> tuple[int, str]:
    """Exit status, and what is left on the screen at the end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], cwd=cwd, env=environment(), stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the process has ended
                break
    os.close(ours)
    lines = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.decode().replace("\r\n", "\n")).split("\n")
    return process.returncode, "\n".join(line.rpartition("\r")[2] for line in lines)


def piped(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=environment(), capture_output=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def plant(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and its data, which it names from there."""
    folder = tmp_path_factory.mktemp("plants") / "plant"
    folder.mkdir()
    shutil.copy(database, folder / "scada.sqlite")
    write_json(folder / "config.json", plant_config(Path("scada.sqlite")))
    return folder


def test_from_the_data_to_the_report_and_then_nothing_is_left_to_do(plant: Path, tmp_path: Path) -> None:
    status, shown = on_terminal("run", str(plant / "config.json"), cwd=tmp_path)
    assert status == 0, shown
    report = plant / "workspace/artifacts" / ORGANIZATION / "v1/validation_report.html"
    assert report.is_file()
    assert "4 assets" in shown
    assert re.search(r"^PASSED\. This model meets all", shown, re.MULTILINE)
    assert re.search(r"^  Failures detected +\d+ of \d+$", shown, re.MULTILINE)
    assert re.search(r"^  False alarms ", shown, re.MULTILINE)
    assert f"Report  {os.path.relpath(report, tmp_path)}" in shown or str(report) in shown
    assert re.search(r"^  Next +.* publish .*config\.json$", shown, re.MULTILINE)
    assert "{" not in shown

    again = piped("run", str(plant / "config.json"), cwd=plant / "workspace")
    result = json.loads(again.stdout)
    assert (again.returncode, result["status"], result["reportPath"]) == (0, "SUCCESS", str(report))
    assert [step["reused"] for step in result["steps"]] == [True, True, True]

    published = piped("publish", "config.json", cwd=plant)
    assert json.loads(published.stdout)["version"] == "v1"
    listed = json.loads(piped("list", "config.json", cwd=plant).stdout)["versions"]
    assert [(each["current"], each["verdict"], each["reportPath"]) for each in listed] == [
        (True, "PASSED", str(report))
    ]
    assert on_terminal("report", ORGANIZATION, cwd=plant)[1].strip() in (
        str(report), str(report.relative_to(plant)),
    )  # fmt: skip


def test_a_run_ends_as_the_step_that_fails(plant: Path, tmp_path: Path) -> None:
    config = plant_config(plant / "scada.sqlite", schemaConfig={"assetColumn": "machine"})
    file = write_json(tmp_path / "config.json", config)
    done = piped("run", "config.json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert (done.returncode, result["error"]["code"], result["failedStep"]) == (3, "COLUMN_MISSING", "data_prep")
    status, shown = on_terminal("run", str(file), cwd=tmp_path)
    assert status == 3
    assert shown.count("machine") == 1
    assert "COLUMN_MISSING (exit status 3)" in shown


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (["ml/scripts/train_model.py", "x.json"], "train_model"),
        (["-m", "ml.predict", "x.json", "a", "b"], "predict"),
        (["-m", "ml.workspace", "list", "x"], "workspace"),
        (["-m", "ml.fleet", "x"], "fleet"),
        (["-m", "ml", "run", "x.json"], "ml"),
    ],
)
def test_a_python_without_the_libraries_is_told_in_one_line(command: list[str], step: str) -> None:
    """-S: without what is installed."""
    done = subprocess.run(
        [sys.executable, "-S", *command], cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False
    )
    result, line = json.loads(done.stdout), json.loads(done.stderr)
    assert (done.returncode, result["step"]) == (MissingLibraryError.exit_code, step)
    assert result["error"]["code"] == line["code"] == MissingLibraryError.code
    assert "lacks pandas, numpy" in line["message"]
    assert ".venv/bin/python" in line["hint"]


def test_what_is_required_is_what_the_package_says_it_needs() -> None:
    named = re.findall(r'^  "([\w-]+)>=', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    imported = {"scikit-learn": "sklearn", "Jinja2": "jinja2", "SQLAlchemy": "sqlalchemy"}
    wanted = [imported.get(name, name.replace("-", "_")) for name in named[: named.index("SQLAlchemy") + 1]]
    assert sorted(requirements.MODULES) == sorted(wanted)


def test_bash_completes_the_commands() -> None:
    script = piped("completion", cwd=REPOSITORY).stdout
    typed = 'COMP_WORDS=(eagle-ml pu); COMP_CWORD=1; _eagle_ml; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script + typed], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "publish\n"


@pytest.fixture(scope="module")
def compared(two_versions: PipelineRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions, their comparison, and the pages that lead to it."""
    workspace = tmp_path_factory.mktemp("compared") / "workspace"
    shutil.copytree(two_versions.root, workspace, symlinks=True)
    done = piped("compare", ORGANIZATION, "v1", "v2", cwd=workspace)
    result = json.loads(done.stdout)
    assert (done.returncode, result["verdicts"][0]) == (0, "PASSED"), done.stdout
    assert result["comparisonPath"] == str(workspace / "artifacts" / ORGANIZATION / "v2/compared_with_v1.html")
    assert piped("index", cwd=workspace).returncode == 0
    return workspace


def test_two_versions_are_compared_on_the_rows_that_both_were_tested_on(compared: Path) -> None:
    artifacts = compared / "artifacts" / ORGANIZATION
    files = [artifacts / version / "predictions.parquet" for version in ("v1", "v2")]
    first, second = (pd.read_parquet(file) for file in files)
    both = first.merge(second, on=["asset_id", "timestamp", "label"])
    common = json.loads(piped("compare", ORGANIZATION, "v1", "v2", cwd=compared).stdout)["commonRows"]
    assert common["rows"] == len(both) > 0
    assert common["averagePrecision"] == pytest.approx(
        [average_precision_score(both["label"], both[f"probability_{side}"]) for side in "xy"], abs=1e-6
    )
    low, high = common["difference"]
    assert low <= common["averagePrecision"][1] - common["averagePrecision"][0] <= high
    same = json.loads(piped("compare", ORGANIZATION, "v2", "v2", cwd=compared).stdout)["commonRows"]
    assert same["difference"] == [0, 0]
    missing = piped("compare", ORGANIZATION, "v1", "v9", cwd=compared)
    assert (missing.returncode, json.loads(missing.stdout)["error"]["code"]) == (3, "ARTIFACT_MISSING")


def test_every_link_of_the_pages_leads_somewhere(compared: Path) -> None:
    pages = [
        compared / "index.html",
        *compared.glob("artifacts/*/index.html"),
        *compared.glob("artifacts/*/*/compared*"),
    ]
    assert len(pages) >= 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r'<a href="([^"]+)"', text)
        assert links
        assert [link for link in links if not (page.parent / link).is_file()] == []
        assert "http" not in text.replace("http-equiv", "")
    organization = (compared / "artifacts" / ORGANIZATION / "index.html").read_text(encoding="utf-8")
    assert organization.count("<polyline") == 3
    assert " is published" in organization


def test_the_pages_fit_a_phone(compared: Path) -> None:
    executable = find_chromium()
    if executable is None:
        pytest.skip("Chromium is not on the path")
    with chromium(executable) as browser:
        for file in (
            compared / "index.html",
            *compared.glob("artifacts/*/*.html"),
            *compared.glob("artifacts/*/*/comp*"),
        ):
            page = browser.new_page()
            page.show(address_of(file), width=390)
            assert page.errors == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
