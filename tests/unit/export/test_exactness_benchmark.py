"""The benchmark of exactness in small: every kind of model that it compares, with fewer trees and rows."""

from __future__ import annotations

import pytest

from benchmarks import exactness
from ml.errors import ParityError
from ml.export.graph import model


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "_TREES", 20)
    monkeypatch.setattr(exactness, "_TRAINING_ROWS", 2000)
    monkeypatch.setattr(exactness, "_CHUNK_ROWS", 4000)


@pytest.mark.parametrize("name", list(exactness.MODELS))
def test_no_leaf_and_no_bit_differs(name):
    _, train = exactness.MODELS[name]
    counts = exactness.compare_trees(name, 6000, train)
    assert (counts["rows"], counts["leaves"]) == (6000, 6000 * 20)
    assert counts["rowsWithNan"] > 5000
    assert (counts["differingLeaves"], counts["differingBits"], counts["differingLabels"]) == (0, 0, 0)


@pytest.mark.parametrize("name", ["LightGBM gbdt", "RandomForest", "XGBoost"])
def test_the_stock_converters_are_not_exact(name):
    _, train = exactness.MODELS[name]
    counts = exactness.compare_trees(name, 4000, train)
    assert counts["stockRows"] > 1000
    assert counts["stockDifferingBits"] > 0


def test_a_difference_ends_it(monkeypatch, capsys):
    broken = model.build_model

    def rounded(ensemble, **arguments):
        object.__setattr__(ensemble, "threshold", ensemble.threshold.astype("f4").astype("f8"))
        return broken(ensemble, **arguments)

    monkeypatch.setattr(exactness, "build_model", rounded)
    with pytest.raises(ParityError):
        exactness.compare_trees("LightGBM gbdt", 4000, exactness.boosted)
    assert exactness.main(["--scale", "0.001"]) == 1
    assert "NOT EXACT" in capsys.readouterr().out
