"""Stored models that are damaged, of another kind or of another width are refused before a library trusts them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightgbm as lgb
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from ml.errors import IntegrityError
from ml.export.pickles import dump
from ml.learning import estimators
from tests.unit.learning.feature_tables import feature_table, names
from tests.unit.learning.fitting import TYPES, config, fitted


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


def damaged_forest(damage: str) -> Any:
    forest = fitted(config("random_forest")).forest
    nodes = forest.estimators_[0].tree_
    match damage:
        case "scaler":
            return StandardScaler()
        case "unfitted":
            return RandomForestClassifier()
        case "width":
            forest.n_features_in_ = 7
        case "feature":
            nodes.feature[0] = 9999
        case "loop":
            nodes.children_left[0] = 0
        case "classes":
            del forest.n_classes_
    return forest


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("scaler", "holds a StandardScaler"),
        ("unfitted", "it has no trees"),
        ("width", "tree 0 has 5 features and the forest 7"),
        ("feature", "tree 0 has nodes, features or values that cannot be"),
        ("loop", "tree 0 has nodes, features or values that cannot be"),
        ("classes", "it cannot predict"),
    ],
)
def test_a_pickle_that_is_no_sound_forest_is_refused(tmp_path: Path, damage: str, words: str) -> None:
    dump(damaged_forest(damage), tmp_path / "model.pkl")
    refused(tmp_path / "model.pkl", "random_forest", words)
