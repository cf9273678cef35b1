"""Model types are files: found by name, and one more joins by one more file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from ml.errors import ConfigError, InternalError
from ml.learning import estimators
from tests.unit.learning.estimators.fitting import TYPES, config
from tests.unit.learning.feature_tables import feature_table, names

NEW_TYPE = '''
import numpy as np

from ml.learning.estimators.base import Estimator
from ml.options.base import Section
from ml.options.learning import SearchRange


class Params(Section):
    """Parameters."""

    slope: float = 1.0


class Slope(Estimator):
    """A logistic curve of the first feature."""

    model_type = "slope"
    model_file = "model.txt"
    params_type = Params
    rounds = 1

    @classmethod
    def search_space(cls):
        return {"slope": SearchRange(low=0.1, high=10.0, log=True)}

    def _fit(self, X, y, valid, on_round):
        pass

    def predict(self, X):
        first = np.nan_to_num(X[:, 0].astype(np.float64))
        return 1 / (1 + np.exp(-self.parameters(self.config).slope * first))

    def leaves(self, X):
        raise NotImplementedError

    def importances(self):
        return dict.fromkeys(self.names, 0.0)

    def save(self, path):
        raise NotImplementedError

    def _read(self, path):
        raise NotImplementedError

    def ensemble(self):
        raise NotImplementedError
'''


@pytest.fixture
def slope_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "slope.py").write_text(NEW_TYPE)
    (tmp_path / "hollow.py").write_text("")
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(tmp_path)])
    for name in ("slope", "hollow"):
        monkeypatch.delitem(sys.modules, f"ml.learning.estimators.{name}", raising=False)
    return "slope"


def test_both_types_are_found_without_loading_their_libraries() -> None:
    assert set(TYPES) <= set(estimators.available())
    assert "base" not in estimators.available()


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"lightgbm, .*normal_behaviour, random_forest, xgboost") as caught:
        estimators.get("randomforest")
    assert caught.value.hint == 'did you mean "random_forest"?'


def test_one_file_adds_a_model_type(slope_type: str) -> None:
    assert slope_type in estimators.available()
    settings = config(slope_type, model_params={"slope": 2.0})
    kind = estimators.get(slope_type)
    X, y = feature_table()
    assert roc_auc_score(y, kind(settings).fit(X, y, names=names()).predict(X)) > 0.8
    assert kind.with_parameters(settings, {"slope": 3.0}).model_params == {"slope": 3.0}
    with pytest.raises(ConfigError, match="slop") as caught:
        kind.with_parameters(settings, {"slop": 3.0})
    assert caught.value.hint == 'did you mean "slope"?'


@pytest.mark.usefixtures("slope_type")
def test_a_file_without_its_type_is_our_bug() -> None:
    with pytest.raises(InternalError, match="hollow"):
        estimators.get("hollow")
