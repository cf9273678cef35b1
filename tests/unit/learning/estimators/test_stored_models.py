"""Stored models that are damaged, of another kind or of another width are refused before a library trusts them."""

from __future__ import annotations

import pickle
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.errors import IntegrityError
from ml.export.trees import stored_forest
from ml.learning import estimators
from tests.unit.learning.estimators.fitting import TYPES, config, fitted
from tests.unit.learning.feature_tables import feature_table, names


def refused(path: Path, model_type: str, words: str) -> None:
    with pytest.raises(IntegrityError, match=words) as caught:
        estimators.get(model_type).load(path, config(model_type), names=names())
    assert path.name in caught.value.message


def test_a_file_that_is_no_lightgbm_model_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.txt"
    path.write_text("not a model")
    with pytest.raises(IntegrityError, match=r"model\.txt is not a LightGBM model"):
        estimators.get("lightgbm").load(path, config("lightgbm"))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("split_feature", "9999", "split_feature names a feature that is not one of its 5"),
        ("left_child", "0", "do not reach every node"),
        ("threshold", "nan", "threshold holds something else than numbers"),
    ],
)
def test_a_changed_lightgbm_text_never_reaches_lightgbm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, value: str, words: str
) -> None:
    text = fitted(config("lightgbm", lgb_params={"num_iterations": 1})).booster.model_to_string()
    size = int(re.search(r"tree_sizes=(\d+)", text)[1])
    changed = re.sub(rf"\n{field}=\S+", f"\n{field}={value}", text, count=1)
    changed = changed.replace(f"tree_sizes={size}", f"tree_sizes={size + len(changed) - len(text)}")
    path = tmp_path / "model.txt"
    path.write_text(changed)
    monkeypatch.setattr(lgb, "Booster", lambda **_: pytest.fail("LightGBM was given the text"))
    refused(path, "lightgbm", words)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_off_lightgbm_text_is_refused(tmp_path: Path, share: float) -> None:
    text = fitted(config("lightgbm")).booster.model_to_string()
    path = tmp_path / "model.txt"
    path.write_text(text[: round(share * len(text))])
    refused(path, "lightgbm", r"model\.txt is not a LightGBM model")


@pytest.mark.parametrize("model_type", TYPES)
def test_a_stored_model_of_another_width_is_refused_with_both_numbers(tmp_path: Path, model_type: str) -> None:
    X, y = feature_table(n_features=4)
    kind = estimators.get(model_type)
    path = tmp_path / kind.model_file
    kind(config(model_type)).fit(X, y, names=names(4)).save(path)
    refused(path, model_type, r"a model of 4 features, and this version has 5")
    assert len(kind.load(path, config(model_type)).names) == 4


def stored_table() -> pa.Table:
    """The nodes of a fitted forest."""
    forest = fitted(config("random_forest"))
    with tempfile.TemporaryDirectory() as folder:
        forest.save(Path(folder) / "model.parquet")
        return pq.read_table(Path(folder) / "model.parquet")


def changed_cell(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    cells = table.column(column).to_pylist()
    cells[row] = value
    at = table.column_names.index(column)
    return table.set_column(at, table.schema.field(column), pa.array(cells, type=table.schema.field(column).type))


DAMAGES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "no rows": (lambda table: table.slice(0, 0), "its trees do not come one after the other"),
    "trees in another order": (lambda table: changed_cell(table, "tree", 0, 3), "do not come one after the other"),
    "another column": (lambda table: table.drop_columns(["share_1"]), "other columns than a forest"),
    "an empty cell": (lambda table: changed_cell(table, "threshold", 0, None), "empty cells"),
    "a foreign feature": (lambda table: changed_cell(table, "feature", 0, 9999), "tree 0 has nodes, features or"),
    "a loop": (lambda table: changed_cell(table, "left_child", 0, 0), "tree 0 has nodes, features or values"),
    "a child beyond the end": (lambda table: changed_cell(table, "right_child", 0, 10**6), "tree 0 has nodes"),
    "half a leaf": (lambda table: changed_cell(table, "left_child", 0, -1), "tree 0 has nodes"),
    "no threshold": (lambda table: changed_cell(table, "threshold", 0, float("nan")), "tree 0 has nodes"),
    "no share": (lambda table: changed_cell(table, "share_1", 0, float("inf")), "tree 0 has nodes"),
    "no width": (lambda table: table.replace_schema_metadata({}), "other columns than a forest"),
    "a width that is no number": (lambda table: table.replace_schema_metadata({"n_features": "x"}), "not a table"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_table_that_is_no_sound_forest_is_refused(tmp_path: Path, damage: str) -> None:
    change, words = DAMAGES[damage]
    pq.write_table(change(stored_table()), tmp_path / "model.parquet")
    refused(tmp_path / "model.parquet", "random_forest", words)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.parquet").write_bytes(pickle.dumps({"a": 1}))
    refused(tmp_path / "model.parquet", "random_forest", "not a table that this program wrote")


def test_a_forest_of_too_many_nodes_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_forest, "MAX_NODES", 10)
    pq.write_table(stored_table(), tmp_path / "model.parquet")
    refused(tmp_path / "model.parquet", "random_forest", "allowed are 10")


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_a_stored_forest_gives_the_same_bits_with_missing_values(tmp_path: Path, criterion: str) -> None:
    model = fitted(config("random_forest", rf_params={"criterion": criterion}))
    path = tmp_path / "model.parquet"
    model.save(path)
    again = estimators.get("random_forest").load(path, config("random_forest"), names=names())
    X, _ = feature_table(seed=4)
    X = X.copy()
    X[::3, 1] = np.nan
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert again.leaves(X).tobytes() == model.leaves(X).tobytes()
    assert again.importances() == model.importances()
    again.save(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()
