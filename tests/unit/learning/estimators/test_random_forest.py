from __future__ import annotations

from pathlib import Path

import pytest

from ml.learning import estimators
from tests.unit.learning.estimators.fitting import config, fitted
from tests.unit.learning.feature_tables import feature_table, names


@pytest.mark.usefixtures("several_threads")
def test_a_forest_does_not_depend_on_threads_or_on_being_watched() -> None:
    X, _ = feature_table(seed=2)
    alone = fitted(config("random_forest")).predict(X)
    seen: list[tuple[int, int]] = []
    watched = fitted(config("random_forest", threads=2), on_round=lambda *done: seen.append(done)).predict(X)
    assert alone.tobytes() == watched.tobytes()
    assert seen[-1] == (30, 30)
    assert len(seen) > 5


def test_a_forest_survives_saving(tmp_path: Path) -> None:
    settings = config("random_forest")
    model = fitted(settings)
    model.save(tmp_path / "model.parquet")
    again = estimators.get("random_forest").load(tmp_path / "model.parquet", settings, names=names())
    X, _ = feature_table(seed=2)
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert again.importances() == model.importances()


def test_a_forest_scores_probabilities_and_has_no_contributions() -> None:
    model = fitted(config("random_forest"))
    X, _ = feature_table(seed=2)
    assert model.contributions(X) is None
    assert model.scores(X).tobytes() == model.predict(X).tobytes()
