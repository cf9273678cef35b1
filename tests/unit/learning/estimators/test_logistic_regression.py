from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.errors import ConfigError, IntegrityError, TooFewFailuresError
from ml.learning import estimators
from ml.learning.estimators.base import Estimator
from ml.options.learning import TrainingConfig
from tests.unit.learning.estimators.fitting import fitted
from tests.unit.learning.feature_tables import feature_table, names


class TestLogisticRegression:
    SETTINGS = TrainingConfig.model_validate({"model_type": "logistic_regression"})

    def fitted(self, **options: Any) -> Estimator:
        return fitted(self.SETTINGS.model_copy(update=options))

    def test_it_ranks_new_rows_and_handles_missing_values(self) -> None:
        X, y = feature_table(seed=2)
        assert np.isnan(X).any()
        assert roc_auc_score(y, self.fitted().predict(X)) > 0.7

    def test_it_survives_saving_to_the_last_bit(self, tmp_path: Path) -> None:
        X, _ = feature_table(seed=2)
        model = self.fitted()
        model.save(tmp_path / "model.json")
        again = type(model).load(tmp_path / "model.json", self.SETTINGS, names=names())
        assert again.predict(X).tobytes() == model.predict(X).tobytes()
        assert (again.rounds, again.importances()) == (model.rounds, model.importances())
        assert sum(model.importances().values()) == pytest.approx(1.0)

    def test_balanced_classes_raise_probabilities(self) -> None:
        X, y = feature_table(seed=2)
        assert y.mean() < 0.4
        assert self.fitted(imbalance="balanced").predict(X).mean() > self.fitted().predict(X).mean()

    def test_one_class_only_is_refused(self) -> None:
        X, y = feature_table()
        with pytest.raises(TooFewFailuresError):
            estimators.get("logistic_regression")(self.SETTINGS).fit(X, y * 0, names=names())

    def test_an_unknown_parameter_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="penalty"):
            self.fitted(model_params={"penalty": 1})

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "{}",
            '{"center": [0], "scale": [1], "weight": [1, 2], "intercept": 0, "iterations": 1}',
            '{"center": [0], "scale": [0], "weight": [1], "intercept": 0, "iterations": 1}',
            '{"center": [[0]], "scale": [[1]], "weight": [[1]], "intercept": 0, "iterations": 1}',
            '{"center": [0], "scale": [1], "weight": ["x"], "intercept": 0, "iterations": 1}',
            '{"center": [0], "scale": [1], "weight": [1], "intercept": 0, "iterations": 1, "more": 1}',
        ],
    )
    def test_a_file_that_is_something_else_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(IntegrityError, match=r"model\.json"):
            type(self.fitted()).load(tmp_path / "model.json", self.SETTINGS)
