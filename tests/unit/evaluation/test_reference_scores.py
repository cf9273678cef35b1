from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from ml.errors import DataError, IsolationError, MissingColumnError
from ml.evaluation.reference_scores import read_reference
from ml.ingest.prepared.fingerprint import Fingerprint
from ml.options.delivery import ReferenceScore
from ml.workspace.paths import OrganizationPaths

FIELD = "validationConfig.referenceScores (alarm)"


@pytest.fixture
def paths(tmp_path: Path) -> OrganizationPaths:
    return OrganizationPaths("plant", root=tmp_path / "workspace")


def rows(*keys: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "asset_id": [asset for asset, _ in keys],
            "timestamp": pd.to_datetime([time for _, time in keys], utc=True, format="ISO8601").as_unit("us"),
        }
    )


ROWS = rows(("b", "2024-01-01T02:00"), ("a", "2024-01-01T02:00"), ("a", "2024-01-01T00:30"), ("a", "2024-01-01T03:00"))


def reference(path: Path, **options: Any) -> ReferenceScore:
    return ReferenceScore(name="alarm", path=str(path), **options)


def csv(tmp_path: Path, *lines: str) -> ReferenceScore:
    file = tmp_path / "scores.csv"
    file.write_text("\n".join(("asset_id,timestamp,score", *lines)) + "\n", encoding="utf-8")
    return reference(file)


def test_each_row_sees_the_latest_score_of_its_asset(tmp_path: Path, paths: OrganizationPaths) -> None:
    scores = csv(tmp_path, "a,2024-01-01T03:00,3", "a,2024-01-01T01:00,1", "b,2024-01-01T02:00:01,9")
    np.testing.assert_array_equal(read_reference(scores, ROWS, paths), [np.nan, 1, np.nan, 3])


def test_parquet_says_the_same(tmp_path: Path, paths: OrganizationPaths) -> None:
    table = rows(("a", "2024-01-01T03:00"), ("a", "2024-01-01T01:00")).assign(score=[3, 1])
    table.to_parquet(tmp_path / "scores.parquet")
    found = read_reference(reference(tmp_path / "scores.parquet"), ROWS, paths)
    np.testing.assert_array_equal(found, [np.nan, 1, np.nan, 3])


def test_zones_may_be_mixed(tmp_path: Path, paths: OrganizationPaths) -> None:
    scores = csv(tmp_path, "a,2024-01-01T03:00:00+02:00,1", "a,2024-01-01 02:30:00.5,2", "a,2024-01-01T03:00Z,3")
    np.testing.assert_array_equal(read_reference(scores, ROWS, paths), [np.nan, 1, np.nan, 3])


def test_assets_keep_their_names(tmp_path: Path, paths: OrganizationPaths) -> None:
    scores = csv(tmp_path, "007,2024-01-01T01:00Z,1", "7,2024-01-01T01:00Z,2")
    found = read_reference(scores, rows(("7", "2024-01-01T02:00"), ("007", "2024-01-01T02:00")), paths)
    np.testing.assert_array_equal(found, [2, 1])


def test_unusable_rows_are_left_out(tmp_path: Path, paths: OrganizationPaths, caplog: pytest.LogCaptureFixture) -> None:
    scores = csv(tmp_path, "a,foo,7", "a,,8", ",2024-01-01T01:30Z,9", "a,2024-01-01T01:00Z,1", "a,2024-01-01T03:00Z,x")
    np.testing.assert_array_equal(read_reference(scores, ROWS, paths), [np.nan, 1, np.nan, np.nan])
    assert "3 of 5 rows" in caplog.text


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,foo,1", "a,,2"], "none of the 2 rows"),
        ([",2024-01-01T01:00Z,1"], "none of the 1 rows"),
        ([], "has no rows"),
        (['a,"', "b"], "cannot be read as a table"),
    ],
)
def test_a_file_without_a_usable_row_is_refused(
    lines: list[str], words: str, tmp_path: Path, paths: OrganizationPaths
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_reference(csv(tmp_path, *lines), ROWS, paths)
    assert caught.value.field == FIELD


def test_an_empty_file_is_refused(tmp_path: Path, paths: OrganizationPaths) -> None:
    for name in ("scores.csv", "scores.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match="cannot be read as a table"):
            read_reference(reference(tmp_path / name), ROWS, paths)


@pytest.mark.parametrize(
    "columns",
    [
        {"timestamp": [True, False]},
        {"timestamp": [[1], [2]]},
        {"asset_id": ["a", None], "timestamp": [None, "2024-01-01T00:00Z"]},
    ],
    ids=str,
)
def test_values_of_a_strange_kind_are_refused(
    columns: dict[str, Any], tmp_path: Path, paths: OrganizationPaths
) -> None:
    table = {"asset_id": ["a", "a"], "timestamp": ["2024-01-01T00:00Z"] * 2, "score": [1.0, 2.0]} | columns
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "scores.parquet")
    with pytest.raises(DataError) as caught:
        read_reference(reference(tmp_path / "scores.parquet"), ROWS, paths)
    assert caught.value.field == FIELD


def test_a_missing_column_is_named(tmp_path: Path, paths: OrganizationPaths) -> None:
    csv(tmp_path, "a,2024-01-01T00:00Z,1")
    with pytest.raises(MissingColumnError, match=r'scores\.csv has no column "wear"'):
        read_reference(reference(tmp_path / "scores.csv", column="wear"), ROWS, paths)


@pytest.mark.parametrize("owner", ["plant", "rival"])
def test_prepared_data_of_another_organisation_is_refused(owner: str, tmp_path: Path, paths: OrganizationPaths) -> None:
    origin = Fingerprint.model_validate(
        {"organizationId": owner, "interval": 60, "maxGap": 300, "horizon": 60}
        | {"configDigest": "", "sensors": ("x",), "summary": {}, "ownGaps": {}}
    )
    table = pa.Table.from_pandas(rows(("a", "2024-01-01T01:00")).assign(x=[5.0]))
    table = table.replace_schema_metadata({**table.schema.metadata, **origin.to_metadata()})
    pyarrow.parquet.write_table(table, tmp_path / "prepared.parquet")
    asked = reference(tmp_path / "prepared.parquet", column="x")
    if owner == "plant":
        np.testing.assert_array_equal(read_reference(asked, ROWS, paths), [np.nan, 5, np.nan, 5])
        return
    with pytest.raises(IsolationError, match="another organisation") as caught:
        read_reference(asked, ROWS, paths)
    assert owner not in caught.value.message
