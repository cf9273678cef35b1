"""What a file or table is, and a first configuration that runs, or what only a person can know."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.ingest.prepare import prepare
from ml.inspect.__main__ import main
from ml.scripts import data_prep

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = os.environ.get("EAGLE_ML_DATA_DIR")
LARGEST = 1_500_000  # bytes of a file that is looked at and prepared here


def plant(hours: int = 300) -> pd.DataFrame:
    hour, rng = np.arange(hours), np.random.default_rng(1)
    rows = [
        pd.DataFrame(
            {
                "Datum": pd.date_range("2024-01-08", periods=hours, freq="h").strftime("%d.%m.%Y %H:%M:%S"),
                "Pumpe": name,
                "Druck": rng.normal(6, 0.1, hours).round(2),
                "Ventil": hour % 7 // 4,
                "Rezept": np.array(["A", "B", "C"])[hour % 3],
                "Stoerung": (hour % 100 >= 96).astype(int),
            }
        )
        for name in ("P1", "P2")
    ]
    return pd.concat(rows)


def inspected(*arguments: str, capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == status
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def needs(result: dict[str, Any]) -> list[str]:
    return [need["code"] for need in result["needs"]]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "workspace"))
    return tmp_path


def test_a_spreadsheet_becomes_a_configuration_that_runs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, config = workspace / "Werk Süd.csv", workspace / "config.json"
    plant().to_csv(file, index=False, sep=";", decimal=",", encoding="cp1252")
    result = inspected(str(file), "--write", str(config), capsys=capsys)
    assert result["ready"]
    assert result["notation"] == {"delimiter": ";", "decimalMark": ",", "timestampFormat": "%d.%m.%Y %H:%M:%S"}
    assert result["config"]["schemaConfig"] == {
        "timestampColumn": "Datum",
        "assetColumn": "Pumpe",
        "targetColumn": "Stoerung",
        "continuousColumns": ["Druck"],
        "booleanColumns": ["Ventil"],
    }
    assert {column["name"]: column["kind"] for column in result["columns"]}["Rezept"] == "words"
    assert result["intervalSeconds"] == {"P1": 3600, "P2": 3600}
    assert main([str(file), "--write", str(config)]) == 2, "an existing file is kept"
    assert "--force" in capsys.readouterr().out
    assert main([str(file), "--write", str(config), "--force"]) == 0
    assert data_prep.main([str(config)]) == 0
    capsys.readouterr()
    assert data_prep.main([str(config), "--inspect"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == "inspect"


def test_several_bits_of_failures_are_all_taken(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = plant().drop(columns="Stoerung")
    for at, name in enumerate(("heater_trip", "fan_trip")):
        table[name] = (np.arange(len(table)) % 50 == at).astype(int)
    table.to_csv(workspace / "line.csv", index=False)
    result = inspected(str(workspace / "line.csv"), capsys=capsys)
    assert result["config"]["failureConfig"] == {"columns": ["heater_trip", "fan_trip"]}
    assert "targetColumn" not in result["config"]["schemaConfig"]
    assert "heater_trip" not in result["config"]["schemaConfig"].get("booleanColumns", [])
    table.assign(failure=table["fan_trip"]).to_csv(workspace / "whole.csv", index=False)
    result = inspected(str(workspace / "whole.csv"), capsys=capsys)
    assert result["config"]["schemaConfig"]["targetColumn"] == "failure"


def test_an_export_with_one_field_after_the_other(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = 1_704_067_200 + 60 * np.arange(40_000)
    lines = [f"m,pump=P{at % 2} {name}={value} {time}" for name, value in (("heat", "1.5"), ("trip", "f"))
             for at, time in enumerate(seconds)]  # fmt: skip
    lines[-1] = lines[-1].replace("=f", "=t")
    lines[45_000] = lines[45_000].replace("=f", "=t")
    (workspace / "plant.lp").write_text("\n".join(lines))
    result = inspected(str(workspace / "plant.lp"), capsys=capsys)
    assert {column["name"]: column["kind"] for column in result["columns"]} == {
        "time": "time", "pump": "words", "heat": "constant", "trip": "two-state"
    }  # fmt: skip
    assert result["config"]["schemaConfig"]["targetColumn"] == "trip"


def test_a_table_of_a_database(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(workspace / "plant.db") as database:
        plant().assign(Datum=lambda frame: pd.to_datetime(frame["Datum"], dayfirst=True).astype(str)).to_sql(
            "readings", database, index=False
        )
    database.close()
    config = workspace / "source.json"
    source = {"driver": "sqlite", "database": str(workspace / "plant.db"), "table": "readings", "password": "hidden"}
    config.write_text(json.dumps({"organizationId": "plant", "scadaDbConfig": source}))
    result = inspected(str(config), capsys=capsys)
    assert "hidden" not in json.dumps(result)
    assert needs(result) == ["PASSWORD_LEFT_OUT"]
    assert result["config"]["schemaConfig"]["targetColumn"] == "Stoerung"
    assert len(prepare(OrganizationConfig.from_dict(result["config"])).frame) == 600


def test_what_a_configuration_says_stays(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant().to_csv(workspace / "data.csv", index=False)
    config = workspace / "mine.json"
    mine = {"schemaConfig": {"continuousColumns": ["Ventil"]}, "dataSource": {"path": str(workspace / "data.csv")}}
    config.write_text(json.dumps({"organizationId": "mine", **mine, "dataConfig": {"recoverySeconds": 60}}))
    result = inspected(str(config), capsys=capsys)["config"]
    assert result["schemaConfig"]["continuousColumns"] == ["Ventil"]
    assert result["dataConfig"] == {"recoverySeconds": 60}


@pytest.mark.parametrize(
    ("change", "codes", "field"),
    [
        ({"Stoerung": None}, ["FAILURES_UNKNOWN"], "schemaConfig.targetColumn"),
        ({"Stoerung": [0, 1, 2] * 200}, ["STATES_UNKNOWN"], "failureConfig.failureValues"),
        ({"Stoerung": ["OK", "FAULT", "WARTUNG"] * 200}, ["STATES_UNKNOWN"], "failureConfig.failureValues"),
        ({"Datum": "03/04/2024"}, ["TWO_READINGS"], "formatConfig.timestampFormat"),
        ({"Datum": "morgens"}, ["TIME_UNKNOWN"], "schemaConfig.timestampColumn"),
        ({"Druck": None, "Ventil": None}, ["SENSORS_UNKNOWN"], "schemaConfig.continuousColumns"),
        ({"Druck": ["1,234", "2,345"] * 300}, ["TWO_READINGS"], "formatConfig.decimalMark"),
    ],
)
def test_what_only_a_person_can_know(
    change: dict[str, Any], codes: list[str], field: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = plant().assign(**change).drop(columns=[name for name, value in change.items() if value is None])
    frame.to_csv(workspace / "data.csv", index=False)
    result = inspected(str(workspace / "data.csv"), capsys=capsys)
    assert needs(result) == codes
    assert result["needs"][0]["field"] == field
    assert not result["ready"]


def test_date_and_time_excel_and_units(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = plant()
    frame.insert(1, "Uhrzeit", frame["Datum"].str[11:])
    frame["Datum"] = frame["Datum"].str[:10]
    text = frame.to_csv(index=False).replace("\n", "\n,,,bar,,,\n", 1)
    (workspace / "data.csv").write_text(text)
    result = inspected(str(workspace / "data.csv"), capsys=capsys)
    assert result["ready"]
    assert result["config"]["formatConfig"] == {"timeOfDayColumn": "Uhrzeit"}
    assert result["config"]["schemaConfig"]["columnUnits"] == {"Druck": "bar"}
    assert len(prepare(OrganizationConfig.from_dict(result["config"])).frame) == 600


@pytest.mark.parametrize(("name", "status"), [("no.csv", 3), ("no.json", 2), ("folder.txt", 3)])
def test_what_cannot_be_read_at_all_has_the_usual_exit_code(name: str, status: int, workspace: Path) -> None:
    (workspace / "folder.txt").write_text("a,b\n")
    assert main([str(workspace / name)]) == status


def test_python_has_its_own_module_of_the_name_with_ml_as_working_directory() -> None:
    code = "import inspect, dataclasses; from config import OrganizationConfig; print(inspect.signature(len))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY / "ml", capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.startswith("(obj")


def public_files() -> list[Path]:
    if DATA is None:
        return []
    folders = (Path(DATA), Path(DATA).parent / "cases")
    files = [file for folder in folders for file in sorted(folder.rglob("*.*")) if folder.is_dir()]
    return [file for file in files if file.suffix in (".csv", ".gz", ".parquet") and file.stat().st_size < LARGEST][:60]


@pytest.mark.skipif(DATA is None, reason="EAGLE_ML_DATA_DIR is not set")
def test_public_files_have_a_configuration_that_runs_or_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    for file in public_files():
        result = inspected(str(file), capsys=capsys)
        if result["ready"]:
            assert prepare(OrganizationConfig.from_dict(result["config"])).summary["gridRows"] > 0, file
        else:
            assert result["needs"] or result["refusal"], file
            assert all(need["hint"] for need in result["needs"]), file
