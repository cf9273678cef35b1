from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import DataError, MissingColumnError, NoRowsError
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared
from ml.ingest.prepared_csv import is_prepared_csv, read_prepared_csv, write_prepared_csv
from tests.prepared_file import write_prepared


@pytest.fixture
def config() -> OrganizationConfig:
    schema = {
        "continuousColumns": ["temp", "total"],
        "booleanColumns": ["on"],
        "counterColumns": ["total"],
        "assetColumn": "pump",
    }
    return OrganizationConfig.from_dict(
        {"organizationId": "plant", "schemaConfig": schema, "dataConfig": {"predictionHorizonSeconds": 120}}
    )


@pytest.fixture
def prepared(config: OrganizationConfig, tmp_path: Path) -> Prepared:
    minutes = pd.date_range("2025-01-01", periods=60, freq="min", tz="UTC").astype(str).tolist()
    rows = pd.DataFrame(
        {
            "pump": np.repeat(["0007", "p,2"], 60),
            "timestamp": minutes * 2,
            "temp": np.linspace(0.1, 7.7, 120),
            "total": np.arange(120) * 1e9 + 0.1,
            "on": [0, 1] * 60,
            "failure_indicator": ([0] * 40 + [1] * 5 + [0] * 15) * 2,
        }
    )
    rows.loc[10:18, "temp"] = np.nan
    rows.drop(index=range(25, 33)).to_csv(tmp_path / "readings.csv", index=False)
    return prepare(config, source_path=tmp_path / "readings.csv")


@pytest.fixture
def file(prepared: Prepared, tmp_path: Path) -> Path:
    write_prepared(tmp_path / "p.parquet", prepared, organization_id="plant", config_digest="d")
    write_prepared_csv(tmp_path / "p.parquet", tmp_path / "prepared_data.csv")
    return tmp_path / "prepared_data.csv"


def test_it_comes_back_to_the_bit(file: Path, prepared: Prepared, config: OrganizationConfig) -> None:
    again = read_prepared_csv(file, config)
    pd.testing.assert_frame_equal(again.frame, prepared.frame, check_exact=True)
    assert (again.interval, again.max_gap) == (60, 300)
    assert again.summary["failureEvents"]["total"] == 2


def test_only_its_own_header_is_taken_for_one(file: Path, tmp_path: Path) -> None:
    assert is_prepared_csv(file)
    assert not is_prepared_csv(tmp_path / "readings.csv")
    assert not is_prepared_csv(tmp_path / "p.parquet")
    assert not is_prepared_csv(tmp_path / "nowhere.csv")


def test_rows_that_were_taken_out_begin_a_segment(file: Path, prepared: Prepared, config: OrganizationConfig) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:1] + lines[:4:-1] + lines[1:3]))  # newest first, and two rows fewer
    again = read_prepared_csv(file, config).frame
    assert len(again) == len(prepared.frame) - 2
    assert again["segment"].nunique() == prepared.frame["segment"].nunique() + 1
    assert again["timestamp"].is_monotonic_increasing or again["asset_id"].nunique() == 2


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda text: text.replace("temp", "heat"), MissingColumnError),
        (lambda text: text.splitlines()[0] + "\n", NoRowsError),
        (lambda text: text.replace("labelled", "good"), DataError),
        (lambda text: text.replace("T00:07:00Z", "T00:07:30Z"), DataError),
        (lambda text: text.replace("2025-01-01T00:07:00Z", "yesterday"), DataError),
        (lambda text: text + text.splitlines()[1] + "\n", DataError),
    ],
    ids=["sensor", "empty", "status", "off the grid", "time", "twice"],
)
def test_what_was_spoilt_is_refused(change, kind, file: Path, config: OrganizationConfig) -> None:  # type: ignore[no-untyped-def]
    file.write_text(change(file.read_text()))
    with pytest.raises(kind):
        read_prepared_csv(file, config)
