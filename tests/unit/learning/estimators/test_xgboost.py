"""What holds for XGBoost's trees alone: early stopping, its own sums, files, the missing library."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.errors import IntegrityError, MissingLibraryError, ParityError
from ml.learning import estimators
from tests.unit.learning.estimators.fitting import config, fitted
from tests.unit.learning.feature_tables import feature_table, names


def test_early_stopping_cuts_back_to_the_best_round() -> None:
    settings = config("xgboost", model_params={"numIterations": 400, "learningRate": 0.3}, early_stopping_rounds=5)
    assert 0 < fitted(settings, valid=True).rounds < 100


def test_the_score_is_xgboosts_own_but_for_its_rounding() -> None:
    model = fitted(config("xgboost"))
    X, _ = feature_table(seed=2)
    own = model.booster.predict(model._matrix(X))
    np.testing.assert_allclose(model.predict(X), own, rtol=2e-6)
    contributions = model.contributions(X)
    np.testing.assert_allclose(contributions.sum(axis=1), model.scores(X), atol=1e-5)


def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    stored = []
    for threads in (1, 2):
        path = tmp_path / f"{threads}.json"
        fitted(config("xgboost", threads=threads)).save(path)
        stored.append(path.read_bytes())
    assert stored[0] == stored[1]


def test_infinite_values_are_larger_than_any_other() -> None:
    model = fitted(config("xgboost"))
    rows = np.zeros((4, 5), dtype=np.float32)
    rows[:, 0] = [np.inf, 1e30, -np.inf, -1e30]
    probability = model.predict(rows)
    assert probability[0] == probability[1] > probability[2] == probability[3]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    fitted(config("xgboost")).save(tmp_path / "model.json")
    return tmp_path / "model.json"


def test_it_survives_saving_to_the_last_bit(stored: Path) -> None:
    again = estimators.get("xgboost").load(stored, config("xgboost"), names=names())
    X, _ = feature_table(seed=2)
    assert again.predict(X).tobytes() == fitted(config("xgboost")).predict(X).tobytes()
    assert again.importances() == fitted(config("xgboost")).importances()


@pytest.mark.parametrize(
    ("part", "at", "value"),
    [
        ("left_children", 0, 0),
        ("right_children", 0, 10**9),
        ("left_children", 0, -1),
        ("split_indices", 0, 5),
        ("split_conditions", 1, None),
        ("default_left", slice(None), [1]),
        ("left_children", slice(None), []),
    ],
)
def test_a_tree_that_cannot_be_never_reaches_xgboost(stored: Path, part: str, at: Any, value: Any) -> None:
    content = json.loads(stored.read_text())
    content["learner"]["gradient_booster"]["model"]["trees"][0][part][at] = value
    stored.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=r"model\.json is no XGBoost model"):
        estimators.get("xgboost").load(stored, config("xgboost"), names=names())


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b'{"learner": {}}'])
def test_what_is_no_model_is_refused(stored: Path, content: bytes) -> None:
    stored.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model\.json is no XGBoost model"):
        estimators.get("xgboost").load(stored, config("xgboost"), names=names())


def test_another_objective_is_refused(stored: Path) -> None:
    stored.write_text(stored.read_text().replace("binary:logistic", "reg:squarederror"))
    with pytest.raises(ParityError, match="reg:squarederror"):
        estimators.get("xgboost").load(stored, config("xgboost"), names=names())


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingLibraryError, match="not installed") as caught:
        fitted(config("xgboost"))
    assert "xgboost" in str(caught.value.hint)
