"""A file that cannot be understood gives no scores, and one that is odd gives scores and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.errors import DataError
from ml.predict import load_model
from ml.predict.model import LoadedModel
from ml.predict.scoring import Scored, score_file
from ml.progress import silent
from tests.unit.predict.irregular import config, readings


def score(root: Path, table: pd.DataFrame, folder: Path, *, model: LoadedModel | None = None, **options: Any) -> Scored:
    table.to_csv(folder / "data.csv", index=False, **options)
    (folder / "scratch").mkdir(exist_ok=True)
    model = model or load_model("plant_a", root=root)
    return score_file(
        model, config(), folder / "data.csv", folder / "o.csv", scratch=folder / "scratch", progress=silent
    )


def test_what_cannot_be_scored_is_refused_and_what_is_odd_is_told(root: Path, tmp_path: Path) -> None:
    table = readings(4).groupby(["machine", "timestamp"], as_index=False).last()
    odd = table.astype({"temp": "object"})
    odd.loc[::10, "temp"] = "warm"
    found = score(root, pd.concat([odd, odd[odd["vib"].notna()].iloc[[3]].assign(vib=99.0)]), tmp_path).to_json()
    assert [each["code"] for each in found["warnings"]] == ["ROWS_DISAGREE", "VALUES_UNREADABLE"]
    assert "'warm'" in found["warnings"][1]["message"]
    for wrong, words in (
        (table.assign(timestamp=range(len(table))), "before 1990"),
        (table.assign(temp="hot"), 'no value of the column "temp" can be read as a number'),
        (table.assign(temp=None, vib=None, total=None, pump=None), "no sensor has a value"),
    ):
        with pytest.raises(DataError, match=words):
            score(root, wrong, tmp_path)
    score(root, table, tmp_path)
    plain = (tmp_path / "o.csv").read_text()
    score(root, table, tmp_path, decimal=",", sep=";")
    assert (tmp_path / "o.csv").read_text() == plain


def test_a_machine_known_to_log_slowly_keeps_its_history_and_another_is_told(root: Path, tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h", tz="UTC")
    slow = pd.DataFrame({"machine": "S", "timestamp": times, "temp": 20.0, "vib": 5.0, "total": 1.0, "pump": 0.0})
    unknown = score(root, slow, tmp_path).to_json()
    assert (unknown["rows"], [each["code"] for each in unknown["warnings"]]) == (30, ["ASSETS_SAMPLED_SLOWLY"])
    loaded = load_model("plant_a", root=root)
    grid = loaded.metadata.grid.model_copy(update={"own_gaps": {"S": 18_000}})
    knowing = replace(loaded, metadata=loaded.metadata.model_copy(update={"grid": grid}))
    known = score(root, slow, tmp_path, model=knowing).to_json()
    assert (known["rows"], known["warnings"]) == (29 * 60 + 1, [])
    written = pd.read_csv(tmp_path / "o.csv")["probability"].astype("float32")
    assert written.equals(knowing.predict(slow)["probability"].astype("float32"))


def test_times_that_a_short_file_leaves_open_are_read_as_those_of_the_training(root: Path, tmp_path: Path) -> None:
    table = readings(4).groupby(["machine", "timestamp"], as_index=False).last()
    times = pd.to_datetime(table["timestamp"], utc=True)
    first = times.min().replace(day=3, month=5, hour=0)
    table["timestamp"] = (times - times.min() + first).dt.strftime("%m/%d/%Y %I:%M %p")
    with pytest.raises(DataError, match="no row tells which"):
        score(root, table, tmp_path)
    model = load_model("plant_a", root=root)
    known = model.metadata.data.model_copy(update={"notation": {"timestampFormat": "%m/%d/%Y %I:%M %p"}})
    score(root, table, tmp_path, model=replace(model, metadata=model.metadata.model_copy(update={"data": known})))
    assert pd.read_csv(tmp_path / "o.csv")["timestamp"].iloc[0].startswith(f"{first:%Y-05-03}")


def test_rows_without_the_past_that_features_look_back_are_told(root: Path, tmp_path: Path) -> None:
    model = load_model("plant_a", root=root)
    times = pd.date_range(
        "2024-01-01", periods=20 * model.engineer.look_back, freq=f"{model.engineer.interval}s", tz="UTC"
    )
    table = pd.DataFrame({"machine": "A", "timestamp": times, "temp": 20.0, "vib": 5.0, "total": 1.0, "pump": 0.0})
    assert score(root, table, tmp_path).findings == []
    (finding,) = score(root, table.iloc[: 5 * model.engineer.look_back], tmp_path).findings
    assert finding.code == "SHORT_HISTORY"
    assert finding.message.startswith(f"{model.engineer.look_back - 1:,} of ")
