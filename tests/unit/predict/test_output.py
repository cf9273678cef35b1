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
